// SPDX-License-Identifier: Apache-2.0
//! What happens: whatever clients ask for, and what nodes do by themselves. To add something, add a variant, its weight
//! in [`Operation::any`] and what it does in [`Operation::run`].

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use hythe_blobs::{BlobError, BlobInventory as _, BlobStore as _};
use hythe_catalog::DeletedImage;
use hythe_jobs::{Collector, CollectorSettings};
use hythe_meta::{
    BatchOutcome, BlobMoveLimit, ChangeRepositoryPolicyError, FinishedRun, LifecycleBatch, LifecycleKind,
    LifecycleOutcome, LifecycleResult, LifecycleRunImage, LifecycleRunStatus, RestoreImageError, Rollback,
    RollbackTagError, RollbackTo, StartRunError, Transition,
};
use hythe_model::{Digest, ImageStatus, Reference, RepositoryPath, StorageClass, Tag};
use hythe_operations::{LifecyclePolicy, lifecycle_items};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::contents::{BLOB, IMAGE, REPOSITORIES, TAGS, image_of, is_related, path, sha256};
use crate::door::{Door, Outcome, Sent, Way};
use crate::gated::Gated;
use crate::oracle::Contents;
use crate::planted::Bug;
use crate::random::Random;
use crate::store_contents;
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
/// Longer than a history takes until the next crash.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// How many images of a run are acted on at once.
const RUN_BATCH: usize = 2;
/// What lifecycle policies say.
pub const POLICIES: [&str; 4] = [
    r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":2},
        "action":{"type":"expire"}}]}"#,
    r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"tagged","tagPatternList":["v*"],
        "countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}},
        {"rulePriority":2,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":4},
        "action":{"type":"expire"}}]}"#,
    r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"sinceImagePushed",
        "countUnit":"days","countNumber":1},"action":{"type":"expire"}}]}"#,
    r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"sinceImagePushed",
        "countUnit":"days","countNumber":1},"action":{"type":"transition","targetStorageClass":"archive"}}]}"#,
];

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
    /// Gives a repository a lifecycle policy and asks for a run of it. Then does what the first run in the queue says, by
    /// what it saw a while before.
    Lifecycle {
        repository: &'static str,
        policy: usize,
    },
    /// Points a tag to the image that it pointed to before.
    RollBack {
        repository: &'static str,
        tag: &'static str,
    },
    /// Deletes a repository with everything in it, and makes it anew.
    DeleteRepository {
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
    RollBack,
    DeleteRepository,
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
            (6, Kind::Lifecycle),
            (6, Kind::RollBack),
            (1, Kind::DeleteRepository),
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
            Kind::Lifecycle => Self::Lifecycle {
                repository,
                policy: random.below(POLICIES.len()),
            },
            Kind::RollBack => Self::RollBack { repository, tag },
            Kind::DeleteRepository => Self::DeleteRepository { repository },
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
            Self::Lifecycle { repository, policy } => run_policy(door, repository, POLICIES[policy]).await,
            Self::RollBack { repository, tag } => roll_back(door, repository, tag).await,
            Self::DeleteRepository { repository } => delete_repository(door, repository).await,
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
        // Its children were deleted and purged before it.
        Err(RestoreImageError::ChildrenGone(gone)) if gone.iter().all(|child| is_gone(&contents, child, now)) => {
            Ok(false)
        }
        Err(error) => Err(format!("{name}: {image} is not restored: {error:?}")),
    }
}

fn is_gone(contents: &Contents, image: &Digest, now: Timestamp) -> bool {
    let is_promised = contents.restorable.get(image).is_some_and(|until| *until > now);
    !is_promised && !contents.images.contains_key(image)
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

/// What a client and then a node do about a lifecycle policy: it looks, and does later what the policy makes of what it saw.
async fn run_policy(door: &Door, name: &str, policy: &str) -> Outcome<()> {
    let (repository, gated) = (path(name), &door.gated);
    let failed = |error: hythe_meta::StoreError| format!("a policy is not run: {error:?}");
    gated.pass.step(Step::new("put policy")).await;
    let now = door.now();
    let never = now + SignedDuration::from_hours(24 * 365);
    let put = gated
        .store
        .put_lifecycle_policy(&repository, policy, now, never, None)
        .await;
    // Somebody else may be faster, or delete the repository.
    if let Err(ChangeRepositoryPolicyError::Store(error)) = put {
        return Err(failed(error));
    }
    gated.pass.step(Step::new("ask for a run")).await;
    match gated.store.start_lifecycle_run(&repository, "me", door.now()).await {
        Err(StartRunError::Store(error)) => return Err(failed(error)),
        Err(_) => return Ok(()),
        Ok(_) => {}
    }
    gated.pass.step(Step::new("claim a run")).await;
    let now = door.now();
    let claimed = gated
        .store
        .claim_lifecycle_run(LifecycleKind::Run, now, now + LEASE)
        .await;
    let Some(run) = claimed.map_err(failed)? else {
        return Ok(());
    };
    let policy = LifecyclePolicy::parse(&run.document).map_err(|error| format!("a policy is none: {error}"))?;
    gated.pass.step(Step::new("look at images")).await;
    let evaluated_at = door.now();
    let Some(mut snapshot) = gated.store.lifecycle_snapshot(&run.path).await.map_err(failed)? else {
        return Ok(());
    };
    let rows = snapshot.next(BATCH).await.map_err(failed)?;
    snapshot.end().await.map_err(failed)?;
    let items = lifecycle_items(&policy, &rows, evaluated_at);
    for items in items.chunks(RUN_BATCH) {
        gated.pass.step(Step::changing("act", &run.path)).await;
        let at = door.now();
        let batch = LifecycleBatch {
            items: items.to_vec(),
            policy: serde_json::Value::Null,
            images: rows.len() as u64,
            protected: 0,
            evaluated_at,
            at,
            lease_until: at + LEASE,
        };
        match gated.store.apply_lifecycle_batch(&run, batch).await.map_err(failed)? {
            BatchOutcome::Done(images) => {
                for image in images.iter().filter(|image| image.result == LifecycleResult::Done) {
                    note_lifecycle(door, &run.path, image, at);
                }
            }
            BatchOutcome::Superseded | BatchOutcome::Lost => return Ok(()),
        }
    }
    gated.pass.step(Step::new("end the run")).await;
    let finished = FinishedRun {
        status: LifecycleRunStatus::Complete,
        at: door.now(),
        evaluated_at: Some(evaluated_at),
        totals: None,
        failure: None,
        details: None,
    };
    gated
        .store
        .finish_lifecycle_run(&run, finished)
        .await
        .map(drop)
        .map_err(failed)
}

fn note_lifecycle(door: &Door, repository: &RepositoryPath, image: &LifecycleRunImage, at: Timestamp) {
    let oracle = &door.gated.oracle;
    if image.outcome == LifecycleOutcome::Archive {
        oracle.transited(repository, &image.digest, ImageStatus::Archived);
        return;
    }
    // All that it has, which are those of the evaluation, or it would have been left alone.
    let deleted = DeletedImage {
        digest: image.digest,
        tags: image.tags.clone(),
        is_image_gone: true,
    };
    oracle.deleted(repository, &deleted, at);
}

async fn roll_back(door: &Door, name: &str, tag: &str) -> Outcome<()> {
    let (repository, gated) = (path(name), &door.gated);
    gated.pass.step(Step::changing("roll back tag", &repository)).await;
    let tag: Tag = tag.parse().map_err(|error| format!("no tag: {error}"))?;
    let (now, contents) = (door.now(), gated.oracle.contents(&repository));
    let is_promised = |image: &Digest| contents.restorable.get(image).is_some_and(|until| *until > now);
    let rollback = Rollback {
        to: RollbackTo::Previous,
        may_restore: true,
        at: now,
        by: "me".into(),
    };
    match gated.store.roll_back_tag(&repository, &tag, rollback).await {
        Ok(done) => {
            let image = done.tag.digest;
            let detail = gated.store.image_detail(&repository, &Reference::Digest(image)).await;
            let detail = detail.map_err(|error| format!("{name}: {error:?}"))?;
            let status = detail
                .ok_or_else(|| format!("{name}:{tag} is rolled back to nothing"))?
                .status;
            gated.oracle.rolled_back(&repository, &tag, image, status);
            if gated.bug == Some(Bug::LostRollback) {
                let back = match done.from {
                    Some(from) => format!("UPDATE tag SET digest = '{from}'"),
                    None => "DELETE FROM tag".to_owned(),
                };
                door.execute(format!("{back} WHERE name = '{tag}' AND digest = '{image}'"))
                    .await;
            }
            Ok(())
        }
        Err(RollbackTagError::ImageGone(image)) if is_promised(&image) => Err(format!(
            "{name}:{tag} is not rolled back to {image}, which can be restored"
        )),
        Err(RollbackTagError::Store(error)) => Err(format!("{name}:{tag} is not rolled back: {error:?}")),
        Err(_) => Ok(()),
    }
}

async fn delete_repository(door: &Door, name: &str) -> Outcome<()> {
    let (repository, gated) = (path(name), &door.gated);
    gated.pass.step(Step::changing("delete repository", &repository)).await;
    let deleted = gated.store.delete_repository(&repository, true, None, door.now()).await;
    deleted.map_err(|error| format!("{name} is not deleted: {error:?}"))?;
    gated.oracle.emptied(&repository);
    store_contents::create(&gated.store, name).await;
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
        // An index lists it that is not in the archive, or what it refers to is; or it just follows something.
        Some(_) if is_related(image) => Ok(()),
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
    let limit = BlobMoveLimit {
        blobs: BATCH,
        bytes: u64::MAX,
    };
    let claimed = gated.store.claim_blob_moves(&owner, now, now + lease, limit).await;
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
