// SPDX-License-Identifier: Apache-2.0
//! Checking that the audit log is as it was written.

use hythe_access::{Granted, kinds};
use hythe_meta::{AuditFinding, AuditVerification, ChainPosition};

use super::events::AuditEventsError;
use crate::ControlPlane;

/// How many records one call checks, at least, if there are so many.
const RECORDS_PER_CALL: u64 = 50_000;

/// A record that somebody has noted elsewhere, with its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditExpectation {
    /// Its number.
    pub sequence: u64,
    /// Its hash, in hexadecimal digits.
    pub hash: String,
}

impl ControlPlane {
    /// Checks a part of the chain after `from`, or from its start. `expected`: what must be in it, however well the
    /// rest fits together.
    #[tracing::instrument(name = "audit.verify", skip_all)]
    pub async fn verify_audit(
        &self,
        granted: &Granted<kinds::LookupEvents>,
        from: Option<ChainPosition>,
        expected: Option<&AuditExpectation>,
    ) -> Result<AuditVerification, AuditEventsError> {
        self.require_default_account(granted.resource())?;
        if from.is_none() {
            self.flush_audit().await?;
        }
        let mut verification = self.store().verify_audit_events(from, RECORDS_PER_CALL).await?;
        if let Some(expected) = expected.filter(|_| from.is_none() && verification.finding.is_none())
            && let Some(found) = self.compare(expected, &verification).await?
        {
            verification.finding = Some(found);
            verification.is_complete = false;
        }
        Ok(verification)
    }

    /// What is wrong with the record that was noted elsewhere.
    async fn compare(
        &self,
        expected: &AuditExpectation,
        verification: &AuditVerification,
    ) -> Result<Option<AuditFinding>, AuditEventsError> {
        let AuditExpectation { sequence, hash } = expected;
        if *sequence <= verification.from.sequence {
            // It was deleted in due time, or is the place where the chain begins.
            let is_start = *sequence == verification.from.sequence;
            let is_other = is_start && *hash != verification.from.hash_text();
            return Ok(is_other.then(|| wrong(*sequence)));
        }
        let filter = hythe_meta::AuditFilter::default();
        let tail = self.store().audit_events_in_order(&filter, sequence - 1, 1).await?;
        let after = tail
            .records
            .first()
            .and_then(|record| record.sealed)
            .map(|(_, after)| after);
        let is_there = after.is_some_and(|after| after.sequence == *sequence && after.hash_text() == *hash);
        Ok((!is_there).then(|| wrong(*sequence)))
    }
}

fn wrong(sequence: u64) -> AuditFinding {
    AuditFinding {
        sequence,
        reason: format!("record {sequence} is not the one that was expected, or is not there"),
    }
}
