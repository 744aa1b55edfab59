// SPDX-License-Identifier: Apache-2.0
//! Runs of lifecycle policies: start, list, show.

use hythe_access::{Granted, kinds};
use hythe_meta::{LifecycleRunImage, LifecycleRunRecord, StartRunError, StoreError};

use super::cursor::LifecycleCursor;
use super::policy::NoLifecyclePolicy;
use crate::{ControlPlane, Page, UnknownRepository};

/// How many pages of a run are read in one go; each has a batch of images.
const PAGES: usize = 64;

/// Why no run was started.
#[derive(Debug, thiserror::Error)]
pub enum StartLifecycleRunError {
    /// There is no such repository.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// It has no policy.
    #[error(transparent)]
    NoPolicy(#[from] NoLifecyclePolicy),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why runs were not shown.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleRunError {
    /// There is no such repository.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// It has no such run.
    #[error("there is no run `{0}` of the lifecycle policy; runs are forgotten after a while")]
    Unknown(String),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A run, and some of its images.
#[derive(Debug)]
pub struct LifecycleRunPages {
    /// The run.
    pub run: LifecycleRunRecord,
    /// The images, in the order in which rules took them.
    pub images: Page<LifecycleRunImage, LifecycleCursor>,
}

impl ControlPlane {
    /// Evaluates the stored policy now; a run that waits or is under way comes back in place of another.
    #[tracing::instrument(name = "lifecycle_run.start", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn start_lifecycle_run(
        &self,
        granted: &Granted<kinds::StartLifecycleRun>,
    ) -> Result<LifecycleRunRecord, StartLifecycleRunError> {
        let path = granted.resource();
        let requested_by = granted.caller().principal.to_string();
        let started = self.store().start_lifecycle_run(path, &requested_by, self.now()).await;
        let run = started.map_err(|error| match error {
            StartRunError::UnknownRepository => StartLifecycleRunError::from(UnknownRepository(path.clone())),
            StartRunError::NoPolicy => NoLifecyclePolicy(path.clone()).into(),
            StartRunError::Store(error) => error.into(),
        })?;
        self.lifecycle().runs.notify_one();
        Ok(run)
    }

    /// The runs of a repository, newest first.
    #[tracing::instrument(name = "lifecycle_run.list", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn lifecycle_runs(
        &self,
        granted: &Granted<kinds::ListLifecycleRuns>,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Page<LifecycleRunRecord, String>, LifecycleRunError> {
        let path = granted.resource();
        let runs = self.store().lifecycle_runs(path, before, limit + 1).await?;
        let runs = runs.ok_or_else(|| UnknownRepository(path.clone()))?;
        Ok(Page::of(runs, limit, |last| last.id.clone()))
    }

    /// One run, with at most `limit` of its images from `from` on.
    #[tracing::instrument(name = "lifecycle_run.describe", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn lifecycle_run(
        &self,
        granted: &Granted<kinds::ListLifecycleRuns>,
        run_id: &str,
        from: Option<&LifecycleCursor>,
        limit: usize,
    ) -> Result<LifecycleRunPages, LifecycleRunError> {
        let path = granted.resource();
        let Some(run) = self.store().lifecycle_run(path, run_id).await? else {
            return Err(match self.store().repository(path).await? {
                Some(_) => LifecycleRunError::Unknown(run_id.to_owned()),
                None => UnknownRepository(path.clone()).into(),
            });
        };
        let images = self.run_images(run_id, from, limit).await?;
        Ok(LifecycleRunPages { run, images })
    }

    async fn run_images(
        &self,
        run_id: &str,
        from: Option<&LifecycleCursor>,
        limit: usize,
    ) -> Result<Page<LifecycleRunImage, LifecycleCursor>, StoreError> {
        let (mut first, mut skip) = from.map_or((0, 0), |from| (from.page, from.skip));
        let mut items = Vec::new();
        loop {
            let pages = self.store().lifecycle_run_pages(run_id, first, PAGES).await?;
            let is_last = pages.len() < PAGES;
            for (page, text) in pages {
                let images: Vec<LifecycleRunImage> = serde_json::from_str(&text)?;
                for (place, image) in images.into_iter().enumerate().skip(std::mem::take(&mut skip)) {
                    if items.len() == limit {
                        let next = Some(LifecycleCursor {
                            run: run_id.to_owned(),
                            page,
                            skip: place,
                        });
                        return Ok(Page { items, next });
                    }
                    items.push(image);
                }
                first = page + 1;
            }
            if is_last {
                return Ok(Page { items, next: None });
            }
        }
    }
}
