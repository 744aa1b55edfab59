// SPDX-License-Identifier: Apache-2.0
//! What becomes of a task that could not be done.

use hythe_blobs::BlobError;
use hythe_catalog::CatalogError;
use hythe_meta::{ClaimedReplication, ReplicationFailure, ReplicationOutcome, StoreError};
use hythe_model::{Digest, ManifestError};
use hythe_upstream::UpstreamError;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// How often something is tried that does not look as if time would help.
const MAX_REFUSALS: u64 = 5;
/// For how long something is tried that time may help, and at least [`MAX_REFUSALS`] times: a clock may jump.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);
/// The longest pause, whatever the destination wants. What is to wait for longer was written by a clock that was ahead.
pub(super) const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(1);
/// After so long an attempt to bring settings has found out whether anybody answers.
const LONGEST_ATTEMPT: SignedDuration = SignedDuration::from_secs(30);
/// How long the first pause is; each is twice as long as the one before.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(1);
const MAX_DOUBLINGS: u64 = 8;

/// The code of what the destination has not let through because of the network, its load, or its health.
pub(super) const UNAVAILABLE: &str = "DestinationUnavailable";
const ACCESS_DENIED: &str = "DestinationAccessDenied";
const REFUSED: &str = "DestinationRefused";
const REPOSITORY_NOT_FOUND: &str = "DestinationRepositoryNotFound";

/// Why a task could not be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("`{0}` is no address of a registry")]
    Endpoint(String),
    #[error("the password of the destination cannot be opened: set it again")]
    Password,
    #[error("the image has come by too many registries")]
    Path,
    #[error("the control plane of the destination is not known, or is none of Hythe: set `controlEndpoint`")]
    NoControlPlane,
    #[error("the control plane does not let us {what} (status {status}): {said}")]
    Control {
        /// What was asked for.
        what: &'static str,
        status: u16,
        /// What it says about that.
        said: String,
    },
    #[error("{}", texts(.0))]
    Refusals(Vec<Self>),
    #[error("images of the repository are still to be deleted there")]
    ImagesWait,
    #[error("the index has more images than can be sent at once")]
    TooManyImages,
    #[error("the layer `{0}` is gone")]
    BlobGone(Digest),
    #[error("a manifest cannot be read")]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// Whether the error says that the destination is in trouble, rather than that it does not want this.
fn is_unavailable(error: &UpstreamError) -> bool {
    error.is_temporary()
}

fn texts(errors: &[SendError]) -> String {
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

fn code(error: &SendError) -> &'static str {
    match error {
        SendError::Refusals(errors) => errors.first().map_or(REFUSED, code),
        SendError::Upstream(error) if is_unavailable(error) => UNAVAILABLE,
        SendError::Upstream(UpstreamError::Denied) | SendError::Control { status: 401 | 403, .. } => ACCESS_DENIED,
        SendError::Upstream(UpstreamError::NotFound) => REPOSITORY_NOT_FOUND,
        SendError::Upstream(UpstreamError::Blocked(_)) => "DestinationAddressBlocked",
        SendError::Upstream(_) | SendError::Control { .. } => REFUSED,
        SendError::ImagesWait => "RepositoryNotEmpty",
        SendError::Endpoint(_) | SendError::Password | SendError::NoControlPlane => "DestinationInvalid",
        SendError::Path => "ReplicationPathTooLong",
        SendError::TooManyImages => "ImageTooLarge",
        SendError::BlobGone(_) | SendError::Manifest(_) => "SourceImageDamaged",
        SendError::Catalog(_) | SendError::Store(_) | SendError::Blob(_) => "SourceUnavailable",
    }
}

/// What becomes of it.
pub(super) fn outcome(claimed: &ClaimedReplication, error: &SendError, now: Timestamp) -> ReplicationOutcome {
    let failure = ReplicationFailure {
        code: code(error).to_owned(),
        reason: error.to_string(),
    };
    let task = &claimed.task;
    let may_pass = match error {
        SendError::Upstream(error) => is_unavailable(error),
        SendError::Catalog(_) | SendError::Store(_) | SendError::Blob(_) | SendError::ImagesWait => true,
        _ => false,
    };
    let is_enough = task.attempts + 1 >= MAX_REFUSALS;
    let is_over = is_enough && (!may_pass || now.duration_since(task.created_at) > MAX_AGE);
    if is_over {
        return ReplicationOutcome::Dead(failure);
    }
    let wanted = match error {
        SendError::Upstream(UpstreamError::TooManyRequests {
            retry_after: Some(after),
        }) => SignedDuration::try_from(*after).unwrap_or(SignedDuration::ZERO),
        _ => SignedDuration::ZERO,
    };
    let at = now
        .checked_add(pause(task.attempts).max(wanted).min(LONGEST_WAIT))
        .unwrap_or(Timestamp::MAX);
    ReplicationOutcome::Again { at, failure }
}

/// Whether a destination could be reached, as far as the end of a task says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    Yes,
    /// Nothing is sent there before then.
    No {
        until: Timestamp,
    },
    /// The task ended before it was asked.
    Unknown,
}

/// What the end of a task for an image says about its destination, which could not be reached for `failures` times in a row.
pub(super) fn reached(outcome: &ReplicationOutcome, failures: u64, now: Timestamp) -> Reached {
    let (again, failure) = match outcome {
        ReplicationOutcome::Done { .. } | ReplicationOutcome::Absent => return Reached::Yes,
        ReplicationOutcome::Again { at, failure } => (*at, failure),
        ReplicationOutcome::Dead(failure) => (now, failure),
    };
    match failure.code.as_str() {
        UNAVAILABLE => {
            let pause = now.checked_add(pause(failures)).unwrap_or(Timestamp::MAX);
            Reached::No {
                until: pause.max(again),
            }
        }
        ACCESS_DENIED | REFUSED | REPOSITORY_NOT_FOUND => Reached::Yes,
        _ => Reached::Unknown,
    }
}

/// Until when the settings of other repositories wait for a control plane that did not answer, when this task is tried again:
/// as long as that, and as it may take. `None` if it has answered, or was not asked.
pub(super) fn settings_wait_until(
    claimed: &ClaimedReplication,
    outcome: &ReplicationOutcome,
    now: Timestamp,
) -> Option<Timestamp> {
    let (again, failure) = match outcome {
        ReplicationOutcome::Again { at, failure } => (*at, failure),
        ReplicationOutcome::Dead(failure) => {
            let pause = pause(claimed.task.attempts);
            (now.checked_add(pause).unwrap_or(Timestamp::MAX), failure)
        }
        ReplicationOutcome::Done { .. } | ReplicationOutcome::Absent => return None,
    };
    let latest = now.checked_add(LONGEST_WAIT).unwrap_or(Timestamp::MAX);
    let until = again.checked_add(LONGEST_ATTEMPT).unwrap_or(Timestamp::MAX);
    (failure.code == UNAVAILABLE).then_some(until.min(latest))
}

/// Longer each time, and not the same for all.
fn pause(failures: u64) -> SignedDuration {
    let longest = FIRST_PAUSE * (1_i32 << failures.min(MAX_DOUBLINGS));
    let (random, _) = Uuid::new_v4().as_u64_pair();
    let percent = i32::try_from(random % 51).unwrap_or(0);
    longest * (75 + percent) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_left_alone_when_it_could_not_be_reached_and_only_then() {
        let now = Timestamp::UNIX_EPOCH;
        let failed = |error: SendError| ReplicationFailure {
            code: code(&error).to_owned(),
            reason: error.to_string(),
        };
        let unavailable = || failed(UpstreamError::TooManyRequests { retry_after: None }.into());
        let late = now + SignedDuration::from_hours(1);
        let again = |at, failure| ReplicationOutcome::Again { at, failure };
        assert_eq!(reached(&ReplicationOutcome::Absent, 3, now), Reached::Yes);
        assert_eq!(
            reached(&again(late, unavailable()), 3, now),
            Reached::No { until: late },
            "as long as the task waits"
        );
        let Reached::No { until } = reached(&ReplicationOutcome::Dead(unavailable()), 3, now) else {
            panic!("it was given up since it could not be reached");
        };
        assert!(until > now + SignedDuration::from_secs(5), "{until}");
        for (error, wanted) in [
            (UpstreamError::Denied.into(), Reached::Yes),
            (UpstreamError::NotFound.into(), Reached::Yes),
            (SendError::Password, Reached::Unknown),
            (SendError::TooManyImages, Reached::Unknown),
        ] {
            let text = error.to_string();
            assert_eq!(reached(&again(late, failed(error)), 3, now), wanted, "{text}");
        }
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        for (failures, seconds) in [(0, 1), (1, 2), (3, 8), (8, 256), (60, 256)] {
            let most = SignedDuration::from_secs(seconds);
            for _ in 0..20 {
                let pause = pause(failures);
                assert!(pause >= most * 3 / 4 && pause <= most * 5 / 4, "{failures}: {pause}");
            }
        }
    }
}
