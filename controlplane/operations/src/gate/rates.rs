// SPDX-License-Identifier: Apache-2.0
//! How often each principal may do what: token buckets, by principal and class of actions.
//!
//! A bucket is one number, the time at which it would be full again (the generic cell rate algorithm, GCRA), and lies in a
//! table of fixed size without locks: a request costs a hash and one compare-and-swap, and allocates nothing. A bucket that
//! is full again is nobody's, and its place is free. When all places where a bucket may lie are taken by others that are
//! not, the request is let through: nobody is refused because of somebody else.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hythe_access::{Action, Caller, Principal, Throttled};
use hythe_model::host_network;

/// How many buckets there are room for: 256 KiB.
const SETS: usize = 1 << 13;
/// In how many places one may lie.
const WAYS: usize = 4;
/// The part of a place that says when its bucket is full again, in microseconds since the start: enough for nine years.
const TIME_BITS: u32 = 48;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// How often a place that others change meanwhile is looked at again, before the request is let through.
const MAX_ATTEMPTS: usize = 8;

/// What is counted together: the actions that ECR limits one by one, and all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateClass {
    /// Logging in: authorization tokens, tokens of the Docker token flow, and the question whether one is logged in.
    GetAuthorizationToken,
    /// Asking whether a blob is there.
    BatchCheckLayerAvailability,
    /// Starting uploads.
    InitiateLayerUpload,
    /// Sending bytes of uploads.
    UploadLayerPart,
    /// Finishing uploads.
    CompleteLayerUpload,
    /// Storing manifests and moving tags.
    PutImage,
    /// Reading manifests.
    BatchGetImage,
    /// Reading blobs.
    GetDownloadUrlForLayer,
    /// Everything else.
    Other,
}

impl RateClass {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::GetAuthorizationToken,
        Self::BatchCheckLayerAvailability,
        Self::InitiateLayerUpload,
        Self::UploadLayerPart,
        Self::CompleteLayerUpload,
        Self::PutImage,
        Self::BatchGetImage,
        Self::GetDownloadUrlForLayer,
        Self::Other,
    ];

    /// As in labels of metrics, and as settings are called.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GetAuthorizationToken => "get_authorization_token",
            Self::BatchCheckLayerAvailability => "batch_check_layer_availability",
            Self::InitiateLayerUpload => "initiate_layer_upload",
            Self::UploadLayerPart => "upload_layer_part",
            Self::CompleteLayerUpload => "complete_layer_upload",
            Self::PutImage => "put_image",
            Self::BatchGetImage => "batch_get_image",
            Self::GetDownloadUrlForLayer => "get_download_url_for_layer",
            Self::Other => "other",
        }
    }

    fn of(action: Action) -> Self {
        match action {
            Action::GetAuthorizationToken => Self::GetAuthorizationToken,
            Action::BatchCheckLayerAvailability => Self::BatchCheckLayerAvailability,
            Action::InitiateLayerUpload => Self::InitiateLayerUpload,
            Action::UploadLayerPart => Self::UploadLayerPart,
            Action::CompleteLayerUpload => Self::CompleteLayerUpload,
            Action::PutImage => Self::PutImage,
            Action::BatchGetImage => Self::BatchGetImage,
            Action::GetDownloadUrlForLayer => Self::GetDownloadUrlForLayer,
            _ => Self::Other,
        }
    }
}

/// How often each principal may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// Requests per second of each class of [`RateClass::ALL`]; 0 is without limit.
    pub per_second: [u32; RateClass::ALL.len()],
    /// How many seconds' worth of requests may come at once.
    pub burst_seconds: u32,
}

/// The buckets.
pub(crate) struct Rates<S = RandomState> {
    buckets: [Option<Bucket>; RateClass::ALL.len()],
    refused: [AtomicU64; RateClass::ALL.len()],
    started: Instant,
    hasher: S,
    places: Box<[[AtomicU64; WAYS]]>,
}

impl<S> std::fmt::Debug for Rates<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Rates")
            .field("buckets", &self.buckets)
            .finish_non_exhaustive()
    }
}

/// The size of the buckets of one class, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// What one request takes.
    interval: u64,
    /// By how much a bucket may be behind for one more request to be let through.
    tolerance: u64,
}

impl Bucket {
    /// `count` in `window`, of which as many may come at once as come in `burst`. `None` without a limit.
    pub(crate) fn new(count: u32, window: Duration, burst: Duration) -> Option<Self> {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(TIME_MASK);
        let interval = micros(window).checked_div(u64::from(count))?.max(1);
        Some(Self {
            interval,
            tolerance: micros(burst).max(interval) - interval,
        })
    }

    /// When a bucket will be full again after one more at `now`, if it can give one. `full_at`: when it will be without.
    pub(crate) fn take(self, full_at: u64, now: u64) -> Result<u64, Throttled> {
        let behind = full_at.saturating_sub(now);
        if behind > self.tolerance {
            return Err(Throttled {
                retry_after: Duration::from_micros(behind - self.tolerance),
            });
        }
        Ok(now + behind + self.interval)
    }
}

impl Rates {
    pub(crate) fn new(limits: &RateLimits) -> Self {
        Self::with_hasher(limits, RandomState::new())
    }
}

impl<S: BuildHasher> Rates<S> {
    fn with_hasher(limits: &RateLimits, hasher: S) -> Self {
        let burst = Duration::from_secs(u64::from(limits.burst_seconds));
        Self {
            buckets: limits
                .per_second
                .map(|count| Bucket::new(count, Duration::from_secs(1), burst)),
            refused: Default::default(),
            started: Instant::now(),
            hasher,
            places: (0..SETS).map(|_| Default::default()).collect(),
        }
    }

    /// Counts a request, if it may be made now. Callers without credentials are told apart by where they come from.
    pub(crate) fn admit(&self, caller: &Caller, action: Action) -> Result<(), Throttled> {
        let now = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(TIME_MASK);
        self.admit_at(caller, RateClass::of(action), now)
    }

    /// How many requests of each class were refused.
    pub(crate) fn refused(&self) -> [(RateClass, u64); RateClass::ALL.len()] {
        let mut counts = RateClass::ALL.map(|class| (class, 0));
        for ((_, count), refused) in counts.iter_mut().zip(&self.refused) {
            *count = refused.load(Ordering::Relaxed);
        }
        counts
    }

    fn admit_at(&self, caller: &Caller, class: RateClass, now: u64) -> Result<(), Throttled> {
        let Some(Some(bucket)) = self.buckets.get(class as usize) else {
            return Ok(());
        };
        let hash = match &caller.principal {
            Principal::Anonymous => self.hasher.hash_one((class, caller.source_ip.map(host_network))),
            // All sessions of a role count together: their names are the client's to choose.
            Principal::Role(session) => self.hasher.hash_one((class, &session.account, &session.role)),
            principal => self.hasher.hash_one((class, principal)),
        };
        let taken = self.take(*bucket, hash, now);
        if taken.is_err()
            && let Some(refused) = self.refused.get(class as usize)
        {
            refused.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    fn take(&self, bucket: Bucket, hash: u64, now: u64) -> Result<(), Throttled> {
        // 0 is the mark of a place that nobody has used yet.
        let mark = ((hash >> TIME_BITS) | 1) << TIME_BITS;
        let set = usize::try_from(hash % SETS as u64)
            .ok()
            .and_then(|at| self.places.get(at));
        let Some(set) = set else { return Ok(()) };
        for _ in 0..MAX_ATTEMPTS {
            let own = set.iter().find_map(|place| {
                let held = place.load(Ordering::Relaxed);
                (held & !TIME_MASK == mark).then_some((place, held))
            });
            let free = || {
                set.iter().find_map(|place| {
                    let held = place.load(Ordering::Relaxed);
                    (held & TIME_MASK <= now).then_some((place, held))
                })
            };
            let Some((place, held)) = own.or_else(free) else {
                return Ok(());
            };
            let full_at = if held & !TIME_MASK == mark { held & TIME_MASK } else { 0 };
            let next = mark | (bucket.take(full_at, now)? & TIME_MASK);
            if place
                .compare_exchange_weak(held, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, DefaultHasher};

    use hythe_access::UserName;
    use hythe_model::AccountId;

    use super::*;

    const SECOND: u64 = 1_000_000;

    /// Without a random key: two of many principals would share a bucket once in a hundred runs.
    type Repeatable = BuildHasherDefault<DefaultHasher>;

    fn rates(per_second: u32, burst_seconds: u32) -> Rates<Repeatable> {
        let mut limits = RateLimits {
            per_second: [0; RateClass::ALL.len()],
            burst_seconds,
        };
        limits.per_second[RateClass::PutImage as usize] = per_second;
        Rates::with_hasher(&limits, Repeatable::default())
    }

    fn user(name: &str) -> Caller {
        let name: UserName = name.parse().unwrap();
        Caller::of(Principal::User(AccountId::default(), name))
    }

    fn admitted(rates: &Rates<Repeatable>, caller: &Caller, now: u64, tries: usize) -> usize {
        (0..tries)
            .filter(|_| rates.admit_at(caller, RateClass::PutImage, now).is_ok())
            .count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let rates = rates(10, 2);
        let (ada, bob) = (user("ada"), user("bob"));
        assert_eq!(admitted(&rates, &ada, 5 * SECOND, 100), 20);
        let refused = rates.admit_at(&ada, RateClass::PutImage, 5 * SECOND).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_millis(100));
        // Nobody else is to blame for that, and other classes are not limited.
        assert_eq!(admitted(&rates, &bob, 5 * SECOND, 5), 5);
        assert!(rates.admit_at(&ada, RateClass::BatchGetImage, 5 * SECOND).is_ok());
        assert_eq!(admitted(&rates, &ada, 6 * SECOND, 100), 10);
        assert_eq!(admitted(&rates, &ada, 60 * SECOND, 100), 20);
        let counts = rates.refused();
        assert_eq!(counts[RateClass::PutImage as usize].1, 80 + 1 + 90 + 80);
    }

    #[test]
    fn callers_without_credentials_are_told_apart_by_their_address() {
        let rates = rates(1, 1);
        let from = |address: &str| Caller {
            source_ip: Some(address.parse().unwrap()),
            ..Caller::anonymous()
        };
        assert_eq!(admitted(&rates, &from("2001:db8::1"), SECOND, 3), 1);
        assert_eq!(admitted(&rates, &from("2001:db8::2"), SECOND, 3), 0);
        assert_eq!(admitted(&rates, &from("2001:db8:0:1::1"), SECOND, 3), 1);
        assert_eq!(admitted(&rates, &from("127.0.0.1"), SECOND, 3), 1);
    }

    #[test]
    fn sessions_of_a_role_count_together() {
        let rates = rates(1, 1);
        let session = |name: &str| {
            Caller::of(Principal::Role(hythe_access::RoleSession {
                account: AccountId::default(),
                role: "ci".parse().unwrap(),
                session: name.parse().unwrap(),
            }))
        };
        assert_eq!(admitted(&rates, &session("one"), SECOND, 1), 1);
        assert_eq!(admitted(&rates, &session("two"), SECOND, 1), 0);
    }

    #[test]
    fn many_principals_fit_and_what_does_not_is_let_through() {
        let rates = rates(1, 1);
        let callers: Vec<_> = (0..3000).map(|number| user(&format!("user-{number}"))).collect();
        let first: usize = callers.iter().map(|caller| admitted(&rates, caller, SECOND, 1)).sum();
        assert_eq!(first, 3000, "nobody is refused because of others");
        let again: usize = callers.iter().map(|caller| admitted(&rates, caller, SECOND, 1)).sum();
        assert!(again < 100, "{again} of 3000 found no place");
        assert!(
            callers
                .iter()
                .all(|caller| admitted(&rates, caller, 3 * SECOND, 1) == 1)
        );
    }

    #[test]
    fn threads_share_a_bucket() {
        let rates = rates(1000, 1);
        let caller = user("ada");
        let total: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| admitted(&rates, &caller, SECOND, 1000)))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        // A place that is changed too often lets through, and two threads may begin two buckets at once.
        assert!((1000..=2100).contains(&total), "{total}");
    }
}
