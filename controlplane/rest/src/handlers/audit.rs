// SPDX-License-Identifier: Apache-2.0
//! `/audit-events`, `/audit-verifications`, `/audit-settings`.

use http::StatusCode;
use hythe_access::{RequestId, kinds};
use hythe_operations::{AuditExpectation, AuditQuery, AuditRecord, ChainPosition};
use hythe_wire::{
    AuditFinding, AuditPosition, AuditSettings, AuditVerification, InRegistry, ListAuditEvents, VerifyAudit,
};
use serde_json::{Value, json};

use super::{Handled, json};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;
use crate::page::PageRequest;

/// The longest that records are kept, in days; 0 is for ever.
const MAX_RETENTION_DAYS: u32 = 36_500;
/// The longest text of a filter, in bytes.
const MAX_FILTER_BYTES: usize = 512;

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListAuditEvents = context.query()?;
    let account = context.account(query.registry_id.clone());
    let granted = context.authorize::<kinds::LookupEvents>(account.clone()).await?;
    for (name, text) in [
        ("principal", &query.principal),
        ("eventName", &query.event_name),
        ("errorCode", &query.error_code),
        ("requestId", &query.request_id),
    ] {
        if text.as_ref().is_some_and(|text| text.len() > MAX_FILTER_BYTES) {
            let reason = format!("it must have at most {MAX_FILTER_BYTES} bytes");
            return Err(Problem::invalid(name, reason));
        }
    }
    // A token is good for the same question only.
    let mut asked = query.clone();
    (asked.next_token, asked.max_results) = (None, None);
    let asked = serde_json::to_string(&asked).map_err(|error| Problem::internal(&error))?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[&asked])?;
    let wanted = AuditQuery {
        since: query.start_time,
        until: query.end_time,
        principal: query.principal,
        event: query.event_name,
        repository: query.repository,
        digest: query.digest,
        error: query.error_code,
        request: query.request_id.as_deref().map(RequestId::new),
        is_of_all_accounts: query.all_accounts,
    };
    let answer = if let Some(after) = query.after_sequence {
        let plane = &context.plane;
        let tail = plane.audit_events_in_order(&granted, wanted, after, page.limit).await?;
        json!({
            "auditEvents": shape(&tail.records)?,
            "lastSequence": tail.through,
            "hasMore": tail.has_more,
        })
    } else {
        let after = page.after()?;
        let found = context
            .plane
            .audit_events(&granted, wanted, after.as_ref(), page.limit)
            .await?;
        let mut answer = json!({ "auditEvents": shape(&found.records)? });
        if let (Some(token), Some(answer)) = (page.token(context.plane.gate(), found.next), answer.as_object_mut()) {
            answer.insert("nextToken".into(), token.into());
        }
        answer
    };
    json(StatusCode::OK, &answer, None)
}

/// The records with every member and in the order that their hashes are over.
fn shape(records: &[AuditRecord]) -> Result<Vec<Value>, Problem> {
    let shape = |record: &AuditRecord| {
        let mut value: Value = serde_json::from_str(&record.json).map_err(|error| Problem::internal(&error))?;
        if let (Some((before, after)), Some(members)) = (&record.sealed, value.as_object_mut()) {
            let integrity = json!({
                "sequence": after.sequence,
                "previousHash": before.hash_text(),
                "hash": after.hash_text(),
            });
            members.insert("integrity".into(), integrity);
        }
        Ok(value)
    };
    records.iter().map(shape).collect()
}

pub(crate) async fn verify(context: Context, Json(body): Json<VerifyAudit>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let granted = context.authorize::<kinds::LookupEvents>(account.clone()).await?;
    let page: PageRequest = context.page(None, body.next_token.as_deref(), &account, &[])?;
    let from = page.after.as_deref().map(read_position).transpose()?;
    let expected = body
        .expected
        .map(|AuditPosition { sequence, hash }| AuditExpectation { sequence, hash });
    let found = context.plane.verify_audit(&granted, from, expected.as_ref()).await?;
    let has_next = !found.is_complete && found.finding.is_none();
    let next = has_next.then(|| format!("{}/{}", found.through.sequence, found.through.hash_text()));
    let answer = AuditVerification {
        from: position(&found.from),
        through: position(&found.through),
        records: found.records,
        is_complete: found.is_complete,
        finding: found.finding.map(|found| AuditFinding {
            sequence: found.sequence,
            reason: found.reason,
        }),
        next_token: page.token(context.plane.gate(), next),
    };
    json(StatusCode::OK, &answer, None)
}

/// The key in a token, which nobody else can have made.
fn read_position(key: &str) -> Result<ChainPosition, Problem> {
    let wrong = || Problem::invalid_member("/nextToken", "it must be the nextToken of the part before");
    let (sequence, hash) = key.split_once('/').ok_or_else(wrong)?;
    ChainPosition::new(sequence.parse().map_err(|_| wrong())?, hash).ok_or_else(wrong)
}

fn position(position: &ChainPosition) -> AuditPosition {
    AuditPosition {
        sequence: position.sequence,
        hash: position.hash_text(),
    }
}

pub(crate) async fn settings(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::GetEventSettings>(context.account(registry_id))
        .await?;
    let settings = context.plane.audit_settings(&granted).await?;
    let answer = AuditSettings {
        retention_days: settings.retention_days,
    };
    json(StatusCode::OK, &answer, Some(settings.version))
}

pub(crate) async fn put_settings(context: Context, Json(body): Json<AuditSettings>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::PutEventSettings>(context.account(registry_id))
        .await?;
    if body.retention_days > MAX_RETENTION_DAYS {
        let reason = format!("it must be at most {MAX_RETENTION_DAYS}");
        return Err(Problem::invalid_member("/retentionDays", reason));
    }
    let version = context.if_match()?;
    let settings = context
        .plane
        .put_audit_settings(&granted, body.retention_days, version)
        .await??;
    let answer = AuditSettings {
        retention_days: settings.retention_days,
    };
    json(StatusCode::OK, &answer, Some(settings.version))
}
