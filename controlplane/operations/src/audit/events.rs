// SPDX-License-Identifier: Apache-2.0
//! Reading the audit log, and its settings.

use std::sync::Arc;

use hythe_access::{Granted, Principal, RequestId, kinds};
use hythe_meta::{AuditEventKey, AuditFilter, AuditPage, AuditSettings, AuditTail, PutAuditSettingsError, StoreError};
use hythe_model::{AccountId, Digest, RepositoryName, RepositoryPath};
use jiff::Timestamp;

use crate::ControlPlane;

/// Which records are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// The ARN of who asked, or the name of a user of the account.
    pub principal: Option<String>,
    /// The name of the event.
    pub event: Option<String>,
    /// The repository.
    pub repository: Option<RepositoryName>,
    /// The digest that was read, stored or deleted, or that a tag has left.
    pub digest: Option<Digest>,
    /// The code of the error.
    pub error: Option<String>,
    /// The id of the request.
    pub request: Option<RequestId>,
    /// Of all accounts, which only the administrator of the deployment may ask for.
    pub is_of_all_accounts: bool,
}

/// Why the audit log was not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum AuditEventsError {
    /// The log is one for the whole deployment.
    #[error(
        "only the default account of this deployment may do this: its settings and its chain are those of all accounts"
    )]
    OtherAccount,
    /// The records of all accounts are asked for by somebody of the default account.
    #[error("only the administrator of the deployment may read the records of all accounts")]
    NotAdministrator,
    /// A repository is looked for in all accounts.
    #[error("`repository` goes with one account, not with all of them")]
    RepositoryOfAllAccounts,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlPlane {
    fn filter(
        &self,
        granted: &Granted<kinds::LookupEvents>,
        query: AuditQuery,
    ) -> Result<AuditFilter, AuditEventsError> {
        let account = granted.resource();
        if query.is_of_all_accounts {
            self.require_default_account(account)?;
            // No policy of the default account gives rights in others: their records are for its administrator alone.
            if granted.caller().principal != Principal::Root(self.settings().default_account.clone()) {
                return Err(AuditEventsError::NotAdministrator);
            }
            if query.repository.is_some() {
                return Err(AuditEventsError::RepositoryOfAllAccounts);
            }
        }
        let principal = query.principal.map(|principal| match principal.as_str() {
            "*" => principal,
            arn if arn.starts_with("arn:") => principal,
            "root" => format!("arn:aws:iam::{account}:root"),
            user => format!("arn:aws:iam::{account}:user/{user}"),
        });
        Ok(AuditFilter {
            account: (!query.is_of_all_accounts).then(|| account.clone()),
            since: query.since,
            until: query.until,
            principal,
            event: query.event,
            repository: query.repository.map(|name| RepositoryPath {
                account: account.clone(),
                name,
            }),
            digest: query.digest,
            error: query.error,
            request: query.request,
        })
    }

    pub(super) fn require_default_account(&self, account: &AccountId) -> Result<(), AuditEventsError> {
        if *account == self.settings().default_account {
            Ok(())
        } else {
            Err(AuditEventsError::OtherAccount)
        }
    }

    /// Writes the records that this node still holds, so that whoever reads the log sees what went before.
    pub(super) async fn flush_audit(&self) -> Result<(), StoreError> {
        match self.audit() {
            Some(queue) => Arc::clone(queue).flush_to_the_end().await,
            None => Ok(()),
        }
    }

    /// The records of the account that fit, newest first.
    #[tracing::instrument(name = "audit.list", level = "debug", skip_all)]
    pub async fn audit_events(
        &self,
        granted: &Granted<kinds::LookupEvents>,
        query: AuditQuery,
        after: Option<&AuditEventKey>,
        limit: usize,
    ) -> Result<AuditPage, AuditEventsError> {
        let filter = self.filter(granted, query)?;
        if after.is_none() {
            self.flush_audit().await?;
        }
        Ok(self.store().audit_events(&filter, after, limit).await?)
    }

    /// The records of the account that fit, in the order of the chain, after the one with the number `after`.
    #[tracing::instrument(name = "audit.follow", level = "debug", skip_all)]
    pub async fn audit_events_in_order(
        &self,
        granted: &Granted<kinds::LookupEvents>,
        query: AuditQuery,
        after: u64,
        limit: usize,
    ) -> Result<AuditTail, AuditEventsError> {
        let filter = self.filter(granted, query)?;
        self.flush_audit().await?;
        Ok(self.store().audit_events_in_order(&filter, after, limit).await?)
    }

    /// The settings of the audit log.
    #[tracing::instrument(name = "audit.describe_settings", level = "debug", skip_all)]
    pub async fn audit_settings(
        &self,
        granted: &Granted<kinds::GetEventSettings>,
    ) -> Result<AuditSettings, AuditEventsError> {
        self.require_default_account(granted.resource())?;
        Ok(self.store().audit_settings().await?)
    }

    /// Changes for how many days records are kept; 0 for ever.
    #[tracing::instrument(name = "audit.put_settings", skip_all)]
    pub async fn put_audit_settings(
        &self,
        granted: &Granted<kinds::PutEventSettings>,
        retention_days: u32,
        expected_version: Option<i64>,
    ) -> Result<Result<AuditSettings, PutAuditSettingsError>, AuditEventsError> {
        self.require_default_account(granted.resource())?;
        Ok(self.store().put_audit_settings(retention_days, expected_version).await)
    }
}
