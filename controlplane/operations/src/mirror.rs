// SPDX-License-Identifier: Apache-2.0
//! Runs of mirrors: what comes by a pull-through cache rule on a schedule. What does them is in `hythe_jobs`.

use std::sync::Arc;

use hythe_access::{AuditLog as _, Facts, Granted, Trail, kinds};
use hythe_meta::{MirrorRunNote, MirrorRunRecord, StartMirrorRunError as Refused, StoreError};
use hythe_model::{AccountId, RepositoryName, RepositoryPrefix};

use crate::{ControlPlane, Page, UnknownCacheRule};

/// Why a run was not started or not found.
#[derive(Debug, thiserror::Error)]
pub enum MirrorRunError {
    /// There is no rule for this prefix.
    #[error(transparent)]
    UnknownRule(#[from] UnknownCacheRule),
    /// By the rule nothing comes without a pull.
    #[error("the pull through cache rule with prefix '{0}' has no mirror: set one first")]
    NotConfigured(RepositoryPrefix),
    /// One is running: its id.
    #[error("the mirror run '{0}' of the rule is running: wait for its end")]
    Running(String),
    /// The rule has no such run.
    #[error("the pull through cache rule with prefix '{1}' has no mirror run with id '{0}'")]
    Unknown(String, RepositoryPrefix),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A run, with what it has noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorRunReport {
    /// The run.
    pub run: MirrorRunRecord,
    /// What it has skipped, could not bring, and removed; the first of each.
    pub notes: Vec<MirrorRunNote>,
}

impl ControlPlane {
    /// Starts a run; some node takes it up within about a second.
    #[tracing::instrument(name = "mirror_run.start", skip_all, fields(rule.prefix = %prefix))]
    pub async fn start_mirror_run(
        &self,
        granted: &Granted<kinds::StartMirrorRun>,
        prefix: &RepositoryPrefix,
    ) -> Result<MirrorRunRecord, MirrorRunError> {
        let account = granted.resource();
        let by = granted.caller().principal.to_string();
        let started = self
            .store()
            .start_mirror_run(account, prefix, &by, self.stored_now())
            .await;
        started.map_err(|error| match error {
            Refused::UnknownRule => UnknownCacheRule(prefix.clone(), account.clone()).into(),
            Refused::NotConfigured => MirrorRunError::NotConfigured(prefix.clone()),
            Refused::Running(id) => MirrorRunError::Running(id),
            Refused::Store(error) => error.into(),
        })
    }

    /// The runs of a rule before `before`, newest first.
    #[tracing::instrument(name = "mirror_run.list", skip_all, fields(rule.prefix = %prefix))]
    pub async fn mirror_runs(
        &self,
        granted: &Granted<kinds::DescribeMirrorRuns>,
        prefix: &RepositoryPrefix,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Page<MirrorRunRecord, String>, MirrorRunError> {
        let account = granted.resource();
        self.require_rule(account, prefix).await?;
        let runs = self.store().mirror_runs(account, prefix, before, limit + 1).await?;
        Ok(Page::of(runs, limit, |last| last.id.clone()))
    }

    /// A run of a rule, with what it has noted.
    #[tracing::instrument(name = "mirror_run.describe", skip_all, fields(rule.prefix = %prefix, run.id = id))]
    pub async fn mirror_run(
        &self,
        granted: &Granted<kinds::DescribeMirrorRuns>,
        prefix: &RepositoryPrefix,
        id: &str,
    ) -> Result<MirrorRunReport, MirrorRunError> {
        let account = granted.resource();
        self.require_rule(account, prefix).await?;
        let found = self.store().mirror_run(account, prefix, id).await?;
        let run = found.ok_or_else(|| MirrorRunError::Unknown(id.to_owned(), prefix.clone()))?;
        let notes = self.store().mirror_run_notes(id).await?;
        Ok(MirrorRunReport { run, notes })
    }

    async fn require_rule(&self, account: &AccountId, prefix: &RepositoryPrefix) -> Result<(), MirrorRunError> {
        match self.store().cache_rule(account, prefix).await? {
            Some(_) => Ok(()),
            None => Err(UnknownCacheRule(prefix.clone(), account.clone()).into()),
        }
    }

    /// A trail for what the server does by itself, on behalf of nobody.
    #[must_use]
    pub fn service_trail(
        &self,
        event: &'static str,
        account: &AccountId,
        repository: Option<&RepositoryName>,
    ) -> Trail {
        let now = self.now();
        let facts = Facts {
            operation: "mirror.run",
            event: Some(event),
            default_event: event,
            is_change: true,
            account: Some(account.clone()),
            repository: repository.map(|name| name.as_str().into()),
            service_details: Some(Arc::from("{}")),
            ..Facts::default()
        };
        let trail = Trail::without_id(now, facts);
        if let Some(queue) = self.audit() {
            trail.request_or(|| queue.next_request(now));
        }
        trail
    }
}
