// SPDX-License-Identifier: Apache-2.0
//! What happens: whatever clients ask for, and what nodes do by themselves. To add something, add a variant, its weight
//! in [`Operation::any`] and what it does in [`Operation::run`].

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use hythe_blobs::{BlobError, BlobInventory as _, BlobStore as _};
use hythe_jobs::{Collector, CollectorSettings};
use hythe_meta::{Deletion, DeletionReason, ImageIdentifier, RestoreImageError, Transition};
use hythe_model::{Digest, StorageClass};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use crate::contents::{BLOB, IMAGE, REPOSITORIES, TAGS, image_of, path, sha256};
use crate::door::{Door, Outcome, Sent, Way};
use crate::gated::Gated;
use crate::planted::Bug;
use crate::random::Random;
use crate::turnstile::Step;

/// The most of anything that a pass takes at once.
const BATCH: usize = 100;
/// Longer than any history takes: the age of bytes is told by the disk's clock.
const STALE: Duration = Duration::from_hours(24);
/// Links are spared for less than the clock goes at once, and one deletion goes on at a time, so that their order is known.
pub const COLLECTION: CollectorSettings = CollectorSettings {
    grace: SignedDuration::from_secs(1000),
    condemned_for: SignedDuration::from_secs(600),
    max_blobs_per_second: 0,
    concurrency: 1,
};
/// How many images a lifecycle rule leaves.
const KEPT: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Push {
        repository: &'static str,
        image: usize,
        tag: &'static str,
        from: &'static str,
        way: Way,
    },
    /// Moves a tag to an image by pushing its manifest alone.
    Retag {
        repository: &'static str,
        image: usize,
        tag: &'static str,
    },
    Pull {
        repository: &'static str,
        tag: &'static str,
    },
    DeleteTag {
        repository: &'static str,
        tag: &'static str,
    },
    DeleteImage {
        repository: &'static str,
        image: usize,
    },
    DeleteBlob {
        repository: &'static str,
        blob: usize,
    },
    /// Begins an upload and cancels it, or never comes back.
    GiveUp {
        repository: &'static str,
        blob: usize,
        cancels: bool,
    },
    Restore {
        repository: &'static str,
        image: usize,
    },
    Purge {
        repository: &'static str,
        image: usize,
    },
    /// A rule of a lifecycle policy takes all images but some, by what it saw a while before.
    Lifecycle {
        repository: &'static str,
    },
    /// Archives an image, or brings it back.
    Transit {
        repository: &'static str,
        image: usize,
        class: StorageClass,
    },
    /// Bytes go to the archive or come back, and images with them.
    Move,
    /// Uploads expire, deleted images are purged, referrers follow.
    Passes,
    /// Blobs that nobody needs are taken away.
    Collect,
}

#[derive(Clone, Copy)]
enum Kind {
    Push,
    Retag,
    Pull,
    DeleteTag,
    DeleteImage,
    DeleteBlob,
    GiveUp,
    Restore,
    Purge,
    Lifecycle,
    Transit,
    Move,
    Passes,
    Collect,
}

impl Operation {
    pub fn any(random: &mut Random) -> Self {
        let kind = random.weighted(&[
            (32, Kind::Push),
            (6, Kind::Retag),
            (8, Kind::Pull),
            (8, Kind::DeleteTag),
            (8, Kind::DeleteImage),
            (4, Kind::DeleteBlob),
            (4, Kind::GiveUp),
            (10, Kind::Restore),
            (3, Kind::Purge),
            (3, Kind::Lifecycle),
            (8, Kind::Transit),
            (8, Kind::Move),
            (6, Kind::Passes),
            (12, Kind::Collect),
        ]);
        let repository = *random.of(&REPOSITORIES);
        let (image, blob) = (random.below(IMAGE.len()), random.below(BLOB.len()));
        let (tag, from) = (*random.of(&TAGS), *random.of(&REPOSITORIES));
        let way = if random.percent(50) { Way::Single } else { Way::Chunks };
        match kind {
            Kind::Push => Self::Push {
                repository,
                image,
                tag,
                from,
                way,
            },
            Kind::Retag => Self::Retag { repository, image, tag },
            Kind::Pull => Self::Pull { repository, tag },
            Kind::DeleteTag => Self::DeleteTag { repository, tag },
            Kind::DeleteImage => Self::DeleteImage { repository, image },
            Kind::DeleteBlob => Self::DeleteBlob { repository, blob },
            Kind::GiveUp => Self::GiveUp {
                repository,
                blob,
                cancels: way == Way::Single,
            },
            Kind::Restore => Self::Restore { repository, image },
            Kind::Purge => Self::Purge { repository, image },
            Kind::Lifecycle => Self::Lifecycle { repository },
            Kind::Transit => Self::Transit {
                repository,
                image,
                class: if random.percent(65) {
                    StorageClass::Archive
                } else {
                    StorageClass::Standard
                },
            },
            Kind::Move => Self::Move,
            Kind::Passes => Self::Passes,
            Kind::Collect => Self::Collect,
        }
    }

    /// Does it; an error is something that must never happen, whatever else goes on.
    pub async fn run(self, door: &Door) -> Outcome<()> {
        match self {
            Self::Push {
                repository,
                image,
                tag,
                from,
                way,
            } => door.push_image(repository, image, tag, from, way).await.map(drop),
            Self::Retag { repository, image, tag } => door.put_manifest(repository, image, tag).await.map(drop),
            Self::Pull { repository, tag } => pull(door, repository, tag).await,
            Self::DeleteTag { repository, tag } => delete(door, &format!("/v2/{repository}/manifests/{tag}")).await,
            Self::DeleteImage { repository, image } => {
                let digest = IMAGE[image].digest;
                delete(door, &format!("/v2/{repository}/manifests/{digest}")).await?;
                unqueue(door).await
            }
            Self::DeleteBlob { repository, blob } => {
                let digest = BLOB[blob].digest;
                delete(door, &format!("/v2/{repository}/blobs/{digest}")).await
            }
            Self::GiveUp {
                repository,
                blob,
                cancels,
            } => give_up(door, repository, blob, cancels).await,
            Self::Restore { repository, image } => restore(door, repository, &IMAGE[image].digest).await.map(drop),
            Self::Purge { repository, image } => purge(door, repository, &IMAGE[image].digest).await,
            Self::Lifecycle { repository } => expire_images(door, repository).await,
            Self::Transit {
                repository,
                image,
                class,
            } => transit(door, repository, &IMAGE[image].digest, class).await,
            Self::Move => move_bytes(door).await,
            Self::Passes => passes(door).await,
            Self::Collect => collect(door).await,
        }
    }
}

async fn delete(door: &Door, path: &str) -> Outcome<()> {
    let deleted = door.delete(path).await?;
    match deleted.status {
        StatusCode::ACCEPTED
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::SERVICE_UNAVAILABLE => Ok(()),
        _ => Err(format!("DELETE {path}: {deleted:?}")),
    }
}

/// An image that is there before and after is served whole.
async fn pull(door: &Door, name: &str, tag: &str) -> Outcome<()> {
    let reply = door.get(&format!("/v2/{name}/manifests/{tag}")).await?;
    if reply.status != StatusCode::OK {
        return Ok(());
    }
    let digest = sha256(&reply.body);
    let (repository, image) = (path(name), image_of(&digest));
    let before = door.gated.oracle.since(&repository, &digest);
    for blob in image.blobs.iter().map(|number| &BLOB[*number]) {
        let got = door.get(&format!("/v2/{name}/blobs/{}", blob.digest)).await?;
        let was_there = before.is_some() && door.gated.oracle.since(&repository, &digest) == before;
        if got.status == StatusCode::OK && got.body != blob.bytes {
            return Err(format!("{name}: {} is served as other bytes", blob.digest));
        }
        if got.status != StatusCode::OK && was_there && got.status != StatusCode::SERVICE_UNAVAILABLE {
            return Err(format!(
                "{name}:{tag} cannot be pulled: {} gives {}",
                blob.digest, got.status
            ));
        }
    }
    Ok(())
}

async fn give_up(door: &Door, repository: &str, blob: usize, cancels: bool) -> Outcome<()> {
    let Some(session) = door.begin(repository).await? else {
        return Ok(());
    };
    if door.append(&session, blob).await? == Sent::Done && cancels {
        let cancelled = door.delete(&session).await?;
        if !cancelled.status.is_success() && cancelled.status != StatusCode::NOT_FOUND {
            return Err(format!("an upload is not cancelled: {cancelled:?}"));
        }
    }
    Ok(())
}

/// Restores an image; says whether it is there now. One that must be restorable is.
pub async fn restore(door: &Door, name: &str, image: &Digest) -> Outcome<bool> {
    let (repository, gated) = (path(name), &door.gated);
    gated.pass.step(Step::changing("restore image", &repository)).await;
    let now = door.now();
    let contents = gated.oracle.contents(&repository);
    let is_promised = contents.restorable.get(image).is_some_and(|until| *until > now);
    match gated.store.restore_image(&repository, image, None, now, "me").await {
        Ok(restored) => {
            gated.oracle.restored(&repository, &restored);
            if gated.bug == Some(Bug::HalfRestored) && restored.is_restored {
                door.execute(format!("DELETE FROM image_blob WHERE image_digest = '{image}'"))
                    .await;
            }
            Ok(true)
        }
        Err(RestoreImageError::Unknown) if !is_promised => Ok(false),
        Err(error) => Err(format!("{name}: {image} is not restored: {error:?}")),
    }
}

async fn purge(door: &Door, name: &str, image: &Digest) -> Outcome<()> {
    let (repository, gated) = (path(name), &door.gated);
    gated.pass.step(Step::changing("purge image", &repository)).await;
    let purged = gated.store.purge_image(&repository, image, door.now()).await;
    let purged = purged.map_err(|error| format!("{name}: {image} is not purged: {error:?}"))?;
    if purged.is_some() {
        gated.oracle.purged(&repository, image);
    }
    Ok(())
}

/// What a lifecycle rule does: it looks, and deletes later what it saw.
async fn expire_images(door: &Door, name: &str) -> Outcome<()> {
    let (repository, gated) = (path(name), &door.gated);
    gated.pass.step(Step::new("look at images")).await;
    let seen = gated.oracle.contents(&repository).images;
    let mut seen: Vec<_> = seen.into_iter().map(|(image, since)| (since, image)).collect();
    seen.sort_unstable();
    seen.truncate(seen.len().saturating_sub(KEPT));
    let expired: Vec<_> = seen
        .into_iter()
        .map(|(_, image)| ImageIdentifier::Digest(image))
        .collect();
    gated.pass.step(Step::changing("expire images", &repository)).await;
    let deletion = Deletion {
        at: door.now(),
        by: "lifecycle".into(),
        reason: DeletionReason::Lifecycle {
            rule_priority: 1,
            policy_hash: None,
        },
    };
    let deleted = gated.store.delete_images(&repository, &expired, &deletion).await;
    let deleted = deleted.map_err(|error| format!("{name}: no images expire: {error:?}"))?;
    for image in deleted.iter().flatten() {
        gated.oracle.deleted(&repository, image, deletion.at);
    }
    Ok(())
}

/// What was archived is hidden from then on; what comes back is a while later.
async fn transit(door: &Door, name: &str, image: &Digest, class: StorageClass) -> Outcome<()> {
    let (repository, gated) = (path(name), &door.gated);
    gated.pass.step(Step::changing("archive image", &repository)).await;
    let transited = gated
        .store
        .transition_images(&repository, &[*image], class, door.now())
        .await;
    let transited = transited.map_err(|error| format!("{name}: {image} does not go to {class}: {error:?}"))?;
    match transited.unwrap_or_default().first() {
        Some(Transition::Done(status) | Transition::Unchanged(status)) => {
            gated.oracle.transited(&repository, image, *status);
            Ok(())
        }
        Some(Transition::Unknown) if gated.oracle.since(&repository, image).is_none() => Ok(()),
        Some(Transition::Activating) if gated.oracle.contents(&repository).hidden.contains_key(image) => Ok(()),
        other => Err(format!("{name}: {image} goes to {class}: {other:?}")),
    }
}

/// What a node does about the bytes of images that were archived or shall come back.
async fn move_bytes(door: &Door) -> Outcome<()> {
    let gated = &door.gated;
    let failed = |error: hythe_meta::StoreError| format!("bytes are not moved: {error:?}");
    let owner = format!("mover {}", gated.pass.id);
    gated.pass.step(Step::new("claim moves")).await;
    let (now, lease) = (door.now(), SignedDuration::from_secs(60));
    let claimed = gated.store.claim_blob_moves(&owner, now, now + lease, BATCH).await;
    for blob in claimed.map_err(failed)? {
        gated.pass.step(Step::new("renew move")).await;
        let renewed = gated.store.renew_blob_move(&owner, &blob, door.now() + lease).await;
        if !renewed.map_err(failed)? {
            continue;
        }
        let placed = gated.place(&blob.digest, blob.to).await;
        gated.pass.step(Step::new("end move")).await;
        let ended = match placed {
            Ok(_) => gated.store.complete_blob_move(&owner, &blob).await,
            // Somebody else moves it at the moment.
            Err(BlobError(error)) if error.kind() == ErrorKind::WouldBlock => {
                let again_at = door.now() + SignedDuration::from_secs(1);
                gated.store.fail_blob_move(&owner, &blob, again_at).await
            }
            Err(error) => return Err(format!("{} is not moved: {error:?}", blob.digest)),
        };
        ended.map_err(failed)?;
    }
    gated.pass.step(Step::new("end activations")).await;
    let activated = gated.store.finish_activations(None, BATCH, door.now()).await;
    activated.map(drop).map_err(failed)
}

/// What a node does in the background.
pub async fn passes(door: &Door) -> Outcome<()> {
    let gated = &door.gated;
    let expired = hythe_distribution::expire_uploads(&**gated, &**gated, door.now(), BATCH).await;
    expired.map_err(|error| format!("uploads do not expire: {error:?}"))?;
    let stale = hythe_distribution::discard_stale_uploads(&**gated, &**gated, STALE, BATCH).await;
    stale.map_err(|error| format!("stale uploads are not discarded: {error:?}"))?;
    gated.pass.step(Step::new("purge images")).await;
    let now = door.now();
    // What is over may go at any moment from now on, and nobody may count on it.
    gated.oracle.pass(now);
    let purged = gated.store.purge_images(now, BATCH).await;
    purged.map_err(|error| format!("images are not purged: {error:?}"))?;
    gated.pass.step(Step::new("follow subjects")).await;
    let followed = gated.store.follow_subjects(door.now(), BATCH).await;
    followed.map_err(|error| format!("subjects are not followed: {error:?}"))?;
    if gated.bug == Some(Bug::Sweep) {
        sweep(door).await?;
    }
    Ok(())
}

/// What a node's collector does until nothing is due.
async fn collect(door: &Door) -> Outcome<()> {
    let (store, blobs) = (door.gated.store.clone(), Arc::<Gated>::clone(&door.gated));
    let collector = Collector::new(store, blobs, door.clock(), COLLECTION);
    door.gated.pass.step(Step::new("collect")).await;
    // It purges, too.
    door.gated.oracle.pass(door.now());
    let collected = collector.pass(&CancellationToken::new()).await;
    collected
        .map(drop)
        .map_err(|error| format!("nothing is collected: {error:?}"))
}

/// [`Bug::Sweep`].
async fn sweep(door: &Door) -> Outcome<()> {
    let gated = &door.gated;
    let listed = gated.files.list(None, BATCH).await;
    let mut garbage = Vec::new();
    for blob in listed.map_err(|error| format!("no list: {error:?}"))? {
        let known = gated.store.digest_facts(&blob).await;
        let known = known.map_err(|error| format!("no facts: {error:?}"))?;
        if known.is_in_review && !known.is_sealed {
            garbage.push(blob);
        }
    }
    for blob in garbage {
        gated.pass.step(Step::new("sweep")).await;
        let lock = gated.lock_deletion(&blob).await;
        let deleted = gated
            .delete(lock.map_err(|error| format!("not locked: {error:?}"))?)
            .await;
        deleted.map_err(|error| format!("not swept: {error:?}"))?;
    }
    Ok(())
}

/// [`Bug::UnqueuedDeletion`].
async fn unqueue(door: &Door) -> Outcome<()> {
    if door.gated.bug == Some(Bug::UnqueuedDeletion) {
        door.execute("DELETE FROM blob_review".to_owned()).await;
    }
    Ok(())
}
