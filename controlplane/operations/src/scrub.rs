// SPDX-License-Identifier: Apache-2.0
//! Checks of everything that is stored: start, look at, cancel. What does them is in `verifier.rs`, and what is wrong
//! is decided in `judge.rs`.

mod judge;
mod throttle;
mod verifier;

use hythe_access::{Granted, kinds};
use hythe_meta::{ScrubFinding, ScrubRecord, StartScrubError as Refused, StoreError};
use hythe_model::AccountId;

use crate::{ControlPlane, Page};

pub use judge::FindingKind;
pub use verifier::{ScrubMetrics, Verifier, VerifierSettings, VerifyError};

/// What a scrub shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubRequest {
    /// Of how many blobs the bytes are hashed, in percent. Whether they are there is looked at of all.
    pub sample_percent: u32,
    /// Whether damaged files are put aside.
    pub quarantine: bool,
}

/// A scrub with some of its findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrubReport {
    /// The scrub.
    pub scrub: ScrubRecord,
    /// Its findings, in the order in which they were found.
    pub findings: Page<ScrubFinding, u64>,
}

/// Why a scrub was not started, found or cancelled.
#[derive(Debug, thiserror::Error)]
pub enum ScrubError {
    /// Another account than the deployment's default was meant.
    #[error("scrubs are about the deployment: they are in the registry of its default account")]
    NotDefaultAccount,
    /// More than all blobs.
    #[error("a sample is 0 to 100 percent")]
    Sample,
    /// There is none.
    #[error("there is no scrub `{0}`")]
    Unknown(String),
    /// One is running: its id.
    #[error("scrub `{0}` is running: wait for it, or cancel it")]
    Running(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlPlane {
    /// Starts a scrub. A node takes it up within about a second.
    #[tracing::instrument(name = "scrub.start", skip_all)]
    pub async fn start_scrub(
        &self,
        granted: &Granted<kinds::StartScrub>,
        request: ScrubRequest,
    ) -> Result<ScrubRecord, ScrubError> {
        self.require_deployment(granted.resource())?;
        if request.sample_percent > 100 {
            return Err(ScrubError::Sample);
        }
        let by = granted.caller().principal.to_string();
        let started = self
            .store()
            .start_scrub(&by, request.sample_percent, request.quarantine, self.now())
            .await;
        started.map_err(|error| match error {
            Refused::Running(id) => ScrubError::Running(id),
            Refused::Store(error) => error.into(),
        })
    }

    /// The scrubs before `before`, newest first.
    pub async fn scrubs(
        &self,
        granted: &Granted<kinds::GetScrub>,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Page<ScrubRecord, String>, ScrubError> {
        self.require_deployment(granted.resource())?;
        let scrubs = self.store().scrubs(before, limit + 1).await?;
        Ok(Page::of(scrubs, limit, |last| last.id.clone()))
    }

    /// A scrub, with its findings after `after`.
    pub async fn scrub(
        &self,
        granted: &Granted<kinds::GetScrub>,
        id: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<ScrubReport, ScrubError> {
        self.require_deployment(granted.resource())?;
        let unknown = || ScrubError::Unknown(id.to_owned());
        let scrub = self.store().scrub(id).await?.ok_or_else(unknown)?;
        let findings = self.store().scrub_findings(id, after.unwrap_or(0), limit + 1).await?;
        Ok(ScrubReport {
            scrub,
            findings: Page::of(findings, limit, |last| last.sequence),
        })
    }

    /// Ends a scrub. One that has ended stays as it is.
    #[tracing::instrument(name = "scrub.cancel", skip_all)]
    pub async fn cancel_scrub(
        &self,
        granted: &Granted<kinds::StartScrub>,
        id: &str,
    ) -> Result<ScrubRecord, ScrubError> {
        self.require_deployment(granted.resource())?;
        let cancelled = self.store().cancel_scrub(id, self.now()).await?;
        cancelled.ok_or_else(|| ScrubError::Unknown(id.to_owned()))
    }

    fn require_deployment(&self, account: &AccountId) -> Result<(), ScrubError> {
        if *account == self.settings().default_account {
            Ok(())
        } else {
            Err(ScrubError::NotDefaultAccount)
        }
    }
}
