// SPDX-License-Identifier: Apache-2.0
//! Tags that are gone at the other registry.

use std::collections::BTreeSet;

use hythe_catalog::CatalogError;
use hythe_meta::{Deletion, DeletionReason, ImageIdentifier, ImageNotDeleted, MirrorNoteKind};
use hythe_model::{Reference, Tag, UPSTREAM_IMPORTER};
use hythe_rules::mirror::{SkipReason, TagHere};
use hythe_upstream::UpstreamError;

use super::{Interrupt, Place, Run, unavailable};
use crate::add;

/// How many tags of a repository are read at once.
const TAG_PAGE: usize = 1000;
/// Before a tag that was looked at for whether it is gone at the other registry: behind every tag, and before [`DONE`].
const VANISHED: &str = "}";
/// What the audit log calls a tag that is removed since it is gone at the other registry.
const REMOVAL_EVENT: &str = "PullThroughCacheMirrorRemoval";

impl Run<'_> {
    /// Removes tags that came from the other registry and are gone there. A list may be old, so that each is asked about.
    pub(super) async fn remove_vanished(&mut self, place: &Place<'_>, listed: &BTreeSet<Tag>) -> Result<(), Interrupt> {
        if listed.is_empty() {
            let reason = "the other registry lists no tags, so that none is taken for gone";
            self.skip(place.name(), None, "EMPTY_LIST", reason);
            return Ok(());
        }
        let mut after: Option<Tag> = self
            .progress
            .tag
            .strip_prefix(VANISHED)
            .and_then(|tag| tag.parse().ok());
        loop {
            let page = self
                .parts
                .store
                .tag_details(&place.here, after.as_ref(), TAG_PAGE)
                .await?;
            let page = page.unwrap_or_default();
            let is_last = page.len() < TAG_PAGE;
            after = page.last().map(|last| last.tag.clone());
            for detail in page {
                if !listed.contains(&detail.tag) && place.source.settings.means_tag(&detail.tag) {
                    self.remove_if_vanished(place, &detail.tag).await?;
                    self.progress.tag = format!("{VANISHED}{}", detail.tag);
                    self.is_ahead = true;
                }
            }
            self.advance().await?;
            if is_last {
                return Ok(());
            }
        }
    }

    pub(super) async fn remove_if_vanished(&mut self, place: &Place<'_>, tag: &Tag) -> Result<(), Interrupt> {
        let TagHere::Present {
            digest,
            is_imported: true,
        } = self.here(place, tag).await?
        else {
            return Ok(());
        };
        self.check_trouble(place.source)?;
        let reference = Reference::Tag(tag.clone());
        match place.remote.head_manifest(place.there, &reference).await {
            Err(UpstreamError::NotFound) => {}
            Ok(_) => return Ok(()),
            Err(error) => return self.fail_about(place, tag, &error),
        }
        if !place.may_move(tag) {
            let reason = "the tag is gone at the other registry, and tags of the repository cannot be moved";
            self.skip(
                place.name(),
                Some(tag.to_string()),
                SkipReason::Immutable.code(),
                reason,
            );
            return Ok(());
        }
        let deletion = Deletion {
            at: self.now(),
            by: UPSTREAM_IMPORTER.to_owned(),
            reason: DeletionReason::Request,
        };
        let images = [ImageIdentifier::TagOfImage(tag.clone(), digest)];
        let trail = self
            .parts
            .host
            .trail(REMOVAL_EVENT, &place.here.account, Some(&place.here.name));
        let deleted = trail.follow(self.parts.store.delete_images(&place.here, &images, &deletion));
        let deleted = match Box::pin(deleted).await {
            Ok(deleted) => deleted.into_iter().next(),
            Err(CatalogError::RepositoryUnknown(_)) => None,
            Err(error) => return Err(Interrupt::Store(unavailable(error))),
        };
        match deleted {
            Some(Ok(_)) => {
                self.progress.counts.removed += 1;
                add(&self.parts.metrics.tags_removed, 1);
                let reason = "the tag is gone at the other registry";
                let tag = Some(tag.to_string());
                self.note(MirrorNoteKind::Removed, place.name(), tag, "TAG_REMOVED", reason);
            }
            Some(Err(error @ ImageNotDeleted::ReferencedByIndex(_))) => {
                let tag = Some(tag.to_string());
                self.skip(place.name(), tag, "IMAGE_REFERENCED", &error.to_string());
            }
            // Somebody else was faster.
            Some(Err(ImageNotDeleted::Unknown | ImageNotDeleted::TagDoesNotMatchDigest(_))) | None => {}
        }
        Ok(())
    }
}
