// SPDX-License-Identifier: Apache-2.0
//! What a run queues to be fetched: images at tags, and what refers to them.

use std::collections::VecDeque;

use hythe_catalog::{CatalogError, ImageCatalog as _, ImageRecord};
use hythe_meta::MirroredManifest;
use hythe_model::{Digest, Manifest, Reference, Tag, fail_point};
use hythe_upstream::{RateLimit, RemoteManifest, UpstreamError};
use jiff::{SignedDuration, Timestamp};

use super::{Interrupt, Place, Referrers, Run, unavailable};
use crate::add;

/// The most images of a run that wait to be fetched; pulls wait behind no more than these.
const MAX_AHEAD: u64 = 32;
/// The most signatures and other referrers of one image, with what refers to those, that are looked at.
const MAX_REFERRERS: usize = 100;
/// The part of an upstream's limit of requests that is left for pulls: one in so many.
const SHARE_FOR_PULLS: u64 = 10;
/// When it is looked again whether more than that is left.
const SHARE_PAUSE: SignedDuration = SignedDuration::from_mins(15);

impl Run<'_> {
    /// Queues what refers to an image and is not here: signatures, SBOMs, attestations; and what refers to those.
    pub(super) async fn referrers(
        &mut self,
        place: &mut Place<'_>,
        tag: &Tag,
        image: Digest,
        listed: &mut Referrers,
    ) -> Result<(), Interrupt> {
        if !place.subjects.insert(image) {
            return Ok(());
        }
        let (mut subjects, mut left) = (VecDeque::from([image]), MAX_REFERRERS);
        while let Some(subject) = subjects.pop_front() {
            let found = match listed.remove(&subject) {
                Some(found) => found,
                None => place.remote.referrers(place.there, &subject).await,
            };
            let found = match found {
                Ok(found) => found,
                // It knows none, or has no such list.
                Err(UpstreamError::NotFound) => continue,
                Err(UpstreamError::Server { status }) if status < 500 => continue,
                Err(error) => return self.fail_about(place, tag, &error),
            };
            for referrer in found {
                if left == 0 {
                    let reason = format!("it has more than {MAX_REFERRERS} signatures and other referrers");
                    self.skip(place.name(), Some(tag.to_string()), "TOO_MANY_REFERRERS", &reason);
                    return Ok(());
                }
                left -= 1;
                if self.bring_referrer(place, &subject, referrer.digest).await? {
                    subjects.push_back(referrer.digest);
                }
            }
        }
        Ok(())
    }

    /// Queues a referrer, unless it is here or was deleted here; says whether it is queued.
    pub(super) async fn bring_referrer(
        &mut self,
        place: &Place<'_>,
        subject: &Digest,
        digest: Digest,
    ) -> Result<bool, Interrupt> {
        let is_known = self.known(place, &digest).await?.is_some();
        if is_known || self.parts.store.deleted_image(&place.here, &digest).await?.is_some() {
            return Ok(false);
        }
        let fetched = match place.remote.manifest(place.there, &Reference::Digest(digest)).await {
            Ok(fetched) => fetched,
            // The list is older than what it lists.
            Err(UpstreamError::NotFound) => return Ok(false),
            Err(error) => {
                self.fail_about(place, &digest, &error)?;
                return Ok(false);
            }
        };
        let parsed = Manifest::parse(fetched.bytes.clone(), Some(fetched.media_type.as_str()));
        let is_of_it = parsed.is_ok_and(|manifest| manifest.subject().is_some_and(|of| of.digest == *subject));
        if !is_of_it {
            let error = UpstreamError::Invalid(format!(
                "a list of referrers of {subject} with what does not refer to it"
            ));
            self.fail_about(place, &digest, &error)?;
            return Ok(false);
        }
        let is_queued = self.bring(place, None, digest, Some(fetched), self.now()).await?;
        if is_queued {
            self.progress.counts.referrers += 1;
            add(&self.parts.metrics.referrers, 1);
        }
        Ok(is_queued)
    }

    /// Queues an image, at a tag or as one that refers to another, to be fetched; says whether it is queued.
    pub(super) async fn bring(
        &mut self,
        place: &Place<'_>,
        tag: Option<&Tag>,
        digest: Digest,
        fetched: Option<RemoteManifest>,
        seen_at: Timestamp,
    ) -> Result<bool, Interrupt> {
        let reference = tag.map_or_else(|| digest.to_string(), ToString::to_string);
        let known = self.known(place, &digest).await?;
        if known.is_none() && fetched.is_none() {
            self.leave_share(place)?;
        }
        let manifest = match known {
            Some(manifest) => manifest,
            None => match self.fetch(place, digest, fetched).await {
                Ok(manifest) => manifest,
                Err(error) => {
                    self.fail_about(place, &reference, &error)?;
                    return Ok(false);
                }
            },
        };
        if let Err(error) = Manifest::parse(manifest.bytes.clone(), Some(manifest.media_type.as_str())) {
            let error = UpstreamError::Invalid(format!("a manifest that is none: {error}"));
            self.fail_about(place, &reference, &error)?;
            return Ok(false);
        }
        let mirrored = MirroredManifest {
            tag: tag.cloned(),
            manifest,
        };
        let queued = self
            .parts
            .store
            .queue_mirrored(&place.here, &self.record.id, mirrored, seen_at)
            .await?;
        if !queued {
            let reason = "the repository was deleted here meanwhile";
            self.skip(place.name(), Some(reference), "REPOSITORY_GONE", reason);
            return Ok(false);
        }
        fail_point("mirror.image.queued");
        self.queued += 1;
        if self.queued >= MAX_AHEAD {
            self.await_imports(MAX_AHEAD / 2).await?;
        }
        Ok(true)
    }

    /// Waits for later if the other registry has said that few of the requests that it counts are left: those are for pulls.
    pub(super) fn leave_share(&mut self, place: &Place<'_>) -> Result<(), Interrupt> {
        // What was said before this turn may be old: the first request brings something newer.
        let is_first = !std::mem::replace(&mut self.has_fetched, true);
        let Some(RateLimit {
            limit: Some(limit),
            remaining: Some(remaining),
            ..
        }) = place.remote.rate_limit()
        else {
            return Ok(());
        };
        if is_first || remaining.saturating_mul(SHARE_FOR_PULLS) > limit {
            return Ok(());
        }
        Err(Interrupt::Later {
            pause: SHARE_PAUSE,
            attempts: self.attempts,
            why: format!("{remaining} of {limit} requests are left, which are for pulls"),
        })
    }

    /// An image, or a manifest that waits to become one, that the repository has.
    pub(super) async fn known(&self, place: &Place<'_>, digest: &Digest) -> Result<Option<ImageRecord>, Interrupt> {
        let (store, reference) = (&self.parts.store, Reference::Digest(*digest));
        if let Some(manifest) = store.upstream_manifest(&place.here, digest).await? {
            return Ok(Some(manifest));
        }
        match store.image(&place.here, &reference).await {
            Ok(image) => Ok(image),
            Err(CatalogError::RepositoryUnknown(_)) => Ok(None),
            Err(error) => Err(Interrupt::Store(unavailable(error))),
        }
    }

    pub(super) async fn fetch(
        &self,
        place: &Place<'_>,
        digest: Digest,
        fetched: Option<RemoteManifest>,
    ) -> Result<ImageRecord, UpstreamError> {
        let fetched = if let Some(fetched) = fetched {
            fetched
        } else {
            let reference = Reference::Digest(digest);
            place.remote.manifest(place.there, &reference).await?
        };
        Ok(ImageRecord {
            digest: fetched.digest,
            media_type: fetched.media_type,
            bytes: fetched.bytes,
        })
    }
}
