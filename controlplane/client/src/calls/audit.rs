// SPDX-License-Identifier: Apache-2.0
//! The audit log.

use futures::Stream;
use hythe_wire::{AuditEvent, AuditEventPage, AuditSettings, AuditVerification, ListAuditEvents, VerifyAudit, path};
use reqwest::Method;
use serde_json::Value;

use super::page::entries;
use crate::{Client, ClientError, ETag, Versioned};

/// Records in the order of their chain, with every member that the server gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditTail {
    /// The records, as JSON objects: what their hashes are over, and `integrity`.
    pub records: Vec<Value>,
    /// The number after which the next ones start.
    pub last_sequence: u64,
    /// Whether there are more already.
    pub has_more: bool,
}

impl Client {
    /// One page of records, newest first.
    pub async fn audit_events(&self, query: &ListAuditEvents) -> Result<AuditEventPage, ClientError> {
        self.get(&path::audit_events()).query(query).json().await
    }

    /// All records that fit, newest first, page after page.
    pub fn all_audit_events(
        &self,
        query: ListAuditEvents,
    ) -> impl Stream<Item = Result<AuditEvent, ClientError>> + Send + use<> {
        entries(self, move |client, next_token| {
            let query = ListAuditEvents {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.audit_events(&query).await?;
                Ok((page.audit_events, page.next_token))
            }
        })
    }

    /// The records that fit, in the order of their chain, after the one with the number `after`. There may be none
    /// although there are more.
    pub async fn audit_events_after(&self, query: &ListAuditEvents, after: u64) -> Result<AuditTail, ClientError> {
        let query = ListAuditEvents {
            after_sequence: Some(after),
            ..query.clone()
        };
        // Not as the typed page: what a newer server adds is a part of what the hash is over.
        let mut page: Value = self.get(&path::audit_events()).query(&query).json().await?;
        let records = page.get_mut("auditEvents").map(Value::take);
        let Some(Value::Array(records)) = records else {
            return Err(self.decode_error("a page of the audit log without records"));
        };
        Ok(AuditTail {
            records,
            last_sequence: page.get("lastSequence").and_then(Value::as_u64).unwrap_or(after),
            has_more: page.get("hasMore").and_then(Value::as_bool).unwrap_or(false),
        })
    }

    /// Checks a part of the chain of records.
    pub async fn verify_audit(&self, request: &VerifyAudit) -> Result<AuditVerification, ClientError> {
        self.request(Method::POST, &path::audit_verifications())
            .body(request)
            .json()
            .await
    }

    /// How long records are kept.
    pub async fn audit_settings(&self) -> Result<Versioned<AuditSettings>, ClientError> {
        self.get(&path::audit_settings()).versioned().await
    }

    /// Changes how long records are kept.
    pub async fn put_audit_settings(
        &self,
        settings: &AuditSettings,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<AuditSettings>, ClientError> {
        self.request(Method::PUT, &path::audit_settings())
            .body(settings)
            .if_match(if_match)
            .versioned()
            .await
    }
}
