// SPDX-License-Identifier: Apache-2.0
//! How the collection of blobs that nobody needs goes, and asking for one.

use hythe_access::{Granted, kinds};
use hythe_meta::{CollectionBacklog, CollectionRun, CollectionTotals, StoreError};
use hythe_model::{AccountId, fail_point};
use jiff::SignedDuration;

use crate::ControlPlane;

/// How many runs are shown with the state.
const SHOWN_RUNS: usize = 10;

/// How a process collects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectionSettings {
    /// Whether it does so all the time.
    pub is_enabled: bool,
    /// How long a blob stays that no image needs.
    pub grace: SignedDuration,
    /// The most blobs that it deletes in a second; 0 sets no bound.
    pub max_blobs_per_second: u32,
}

/// How collection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GarbageCollection {
    /// How this process collects.
    pub settings: CollectionSettings,
    /// What waits.
    pub backlog: CollectionBacklog,
    /// What was done since the deployment began.
    pub totals: CollectionTotals,
    /// How long it will take to look at all that is due, as fast as it went lately; `None` if that is not known.
    pub remaining: Option<SignedDuration>,
    /// The last collections that somebody asked for, newest first.
    pub runs: Vec<CollectionRun>,
}

/// Why collection was not looked at or asked for.
#[derive(Debug, thiserror::Error)]
pub enum GarbageCollectionError {
    /// Another account than the deployment's default was meant.
    #[error("garbage collection belongs to the deployment: it is in the registry of its default account")]
    NotDefaultAccount,
    /// There was no such run, or it is long forgotten.
    #[error("the garbage collection run `{0}` does not exist")]
    RunUnknown(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlPlane {
    /// How collection goes.
    #[tracing::instrument(name = "collection.get", level = "debug", skip_all)]
    pub async fn garbage_collection(
        &self,
        granted: &Granted<kinds::GetGarbageCollection>,
    ) -> Result<GarbageCollection, GarbageCollectionError> {
        self.require_collector(granted.resource())?;
        let backlog = self.store().collection_backlog(self.now()).await?;
        let seconds = match backlog.due {
            0 => Some(0),
            due => due.saturating_mul(60).checked_div(backlog.reviews_per_minute),
        };
        Ok(GarbageCollection {
            settings: self.collection(),
            backlog,
            totals: self.store().collection_totals().await?,
            remaining: seconds.map(|seconds| SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))),
            runs: self.store().collection_runs(SHOWN_RUNS).await?,
        })
    }

    /// A collection that somebody asked for.
    #[tracing::instrument(name = "collection.get_run", level = "debug", skip_all)]
    pub async fn garbage_collection_run(
        &self,
        granted: &Granted<kinds::GetGarbageCollection>,
        id: &str,
    ) -> Result<CollectionRun, GarbageCollectionError> {
        self.require_collector(granted.resource())?;
        let run = self.store().collection_run(id).await?;
        run.ok_or_else(|| GarbageCollectionError::RunUnknown(id.into()))
    }

    /// Lets everything that is due be looked at at once, whether or not this is done all the time. If a run goes on, it is
    /// that one.
    #[tracing::instrument(name = "collection.run", skip_all)]
    pub async fn run_garbage_collection(
        &self,
        granted: &Granted<kinds::RunGarbageCollection>,
    ) -> Result<CollectionRun, GarbageCollectionError> {
        self.require_collector(granted.resource())?;
        let by = granted.caller().principal.to_string();
        let run = self.store().start_collection_run(&by, self.now()).await?;
        fail_point("collection.run.recorded");
        Ok(run)
    }

    fn require_collector(&self, account: &AccountId) -> Result<(), GarbageCollectionError> {
        if *account == self.settings().default_account {
            Ok(())
        } else {
            Err(GarbageCollectionError::NotDefaultAccount)
        }
    }
}
