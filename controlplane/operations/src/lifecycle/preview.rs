// SPDX-License-Identifier: Apache-2.0
//! Previews of lifecycle policies: start, read.

use hythe_access::{Granted, kinds};
use hythe_meta::{
    LifecyclePreviewImage, LifecycleRunRecord, LifecycleRunStatus, StartPreviewError, StoreError, TagStatus,
};
use hythe_model::{Reference, RepositoryPath};
use hythe_rules::lifecycle::LifecyclePolicyError as Invalid;

use super::cursor::LifecycleCursor;
use super::policy::NoLifecyclePolicy;
use crate::{ControlPlane, Page, UnknownRepository};

/// The most pages of images, of a thousand each, that one request looks through for those that fit.
const MAX_PAGES: usize = 20;

/// Why no preview was started.
#[derive(Debug, thiserror::Error)]
pub enum StartLifecyclePreviewError {
    /// There is no such repository.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// It has no policy, and none was proposed.
    #[error(transparent)]
    NoPolicy(#[from] NoLifecyclePolicy),
    /// The proposed text is not a lifecycle policy.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Another preview is being made.
    #[error("a preview of the lifecycle policy of this repository is being made: wait until it is complete")]
    InProgress,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a preview was not read.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// There is no such repository.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// None was started, or it was another one.
    #[error(
        "There is no such preview of the lifecycle policy of the repository with name '{}' in the registry with id '{}'",
        .0.name, .0.account
    )]
    Unknown(RepositoryPath),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which images of a preview are wanted.
#[derive(Clone, Debug, Default)]
pub struct PreviewFilter {
    /// Only of this preview.
    pub preview_id: Option<String>,
    /// Only images that are taken (`true`), or that stay.
    pub is_taken: Option<bool>,
    /// Only images of which the proposed and the stored policy make something else.
    pub differs: bool,
    /// Only this image.
    pub image: Option<Reference>,
    /// Only images with, or without, a tag.
    pub tag_status: TagStatus,
}

impl PreviewFilter {
    fn fits(&self, image: &LifecyclePreviewImage) -> bool {
        let is_taken = image.verdict.outcome.is_action();
        let differs = image.stored.is_some_and(|stored| {
            stored.outcome.is_action() != is_taken || is_taken && stored.outcome != image.verdict.outcome
        });
        let is_meant = match &self.image {
            None => true,
            Some(Reference::Digest(digest)) => image.digest == *digest,
            Some(Reference::Tag(tag)) => image.tags.contains(tag),
        };
        let has_status = match self.tag_status {
            TagStatus::Any => true,
            TagStatus::Tagged => !image.tags.is_empty(),
            TagStatus::Untagged => image.tags.is_empty(),
        };
        // What differs is shown whichever of the two policies takes it.
        let is_wanted = self.differs || self.is_taken.is_none_or(|wanted| wanted == is_taken);
        is_wanted && is_meant && has_status && (!self.differs || differs)
    }
}

/// A preview, and some of its images.
#[derive(Debug)]
pub struct LifecyclePreview {
    /// The preview.
    pub run: LifecycleRunRecord,
    /// The images that fit. There may be more of them also where a page has fewer than were asked for.
    pub images: Page<LifecyclePreviewImage, LifecycleCursor>,
}

impl ControlPlane {
    /// Begins to find out what a proposed policy, or else the stored one, would do.
    #[tracing::instrument(name = "lifecycle_preview.start", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn start_lifecycle_preview(
        &self,
        granted: &Granted<kinds::StartLifecyclePolicyPreview>,
        proposed: Option<&str>,
    ) -> Result<LifecycleRunRecord, StartLifecyclePreviewError> {
        let path = granted.resource();
        if self.store().repository(path).await?.is_none() {
            return Err(UnknownRepository(path.clone()).into());
        }
        if let Some(text) = proposed {
            self.check_lifecycle_policy(text)?;
        }
        let by = granted.caller().principal.to_string();
        let started = self
            .store()
            .start_lifecycle_preview(path, proposed, &by, self.now())
            .await;
        let run = started.map_err(|error| match error {
            StartPreviewError::UnknownRepository => StartLifecyclePreviewError::from(UnknownRepository(path.clone())),
            StartPreviewError::NoPolicy => NoLifecyclePolicy(path.clone()).into(),
            StartPreviewError::InProgress => StartLifecyclePreviewError::InProgress,
            StartPreviewError::Store(error) => error.into(),
        })?;
        self.lifecycle().previews.notify_one();
        Ok(run)
    }

    /// The preview that was started last, with at most `limit` images that fit, from `from` on.
    #[tracing::instrument(name = "lifecycle_preview.get", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn lifecycle_preview(
        &self,
        granted: &Granted<kinds::GetLifecyclePolicyPreview>,
        filter: &PreviewFilter,
        from: Option<&LifecycleCursor>,
        limit: usize,
    ) -> Result<LifecyclePreview, PreviewError> {
        let path = granted.resource();
        let Some(run) = self.store().lifecycle_preview(path).await? else {
            return Err(match self.store().repository(path).await? {
                Some(_) => PreviewError::Unknown(path.clone()),
                None => UnknownRepository(path.clone()).into(),
            });
        };
        let wanted = filter.preview_id.as_ref().or(from.map(|from| &from.run));
        if wanted.is_some_and(|wanted| *wanted != run.id) {
            return Err(PreviewError::Unknown(path.clone()));
        }
        let images = if run.status == LifecycleRunStatus::Complete {
            self.preview_images(&run.id, filter, from, limit).await?
        } else {
            let (items, next) = (Vec::new(), None);
            Page { items, next }
        };
        Ok(LifecyclePreview { run, images })
    }

    async fn preview_images(
        &self,
        id: &str,
        filter: &PreviewFilter,
        from: Option<&LifecycleCursor>,
        limit: usize,
    ) -> Result<Page<LifecyclePreviewImage, LifecycleCursor>, StoreError> {
        let (mut page, mut skip) = from.map_or((0, 0), |from| (from.page, from.skip));
        let mut items = Vec::new();
        let at = |page, skip| LifecycleCursor {
            run: id.to_owned(),
            page,
            skip,
        };
        for _ in 0..MAX_PAGES {
            let found = self.store().lifecycle_run_pages(id, page, 1).await?;
            let Some((number, text)) = found.into_iter().next() else {
                return Ok(Page { items, next: None });
            };
            let images: Vec<LifecyclePreviewImage> = serde_json::from_str(&text)?;
            for (place, image) in images.into_iter().enumerate().skip(skip) {
                if !filter.fits(&image) {
                    continue;
                }
                if items.len() == limit {
                    let next = Some(at(number, place));
                    return Ok(Page { items, next });
                }
                items.push(image);
            }
            (page, skip) = (number + 1, 0);
        }
        let next = Some(at(page, skip));
        Ok(Page { items, next })
    }
}
