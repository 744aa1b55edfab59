// SPDX-License-Identifier: Apache-2.0
//! When images were pulled. A pull leaves its time in memory, which takes a look-up; a pass each second writes the latest
//! of each image (`hythe-meta`, `pull_time.rs`). A process that is killed loses the last second.
//!
//! Whose pulls do not count is asked when they are written, not when they are noted: so an exclusion that was registered
//! counts for every pull after it, on every node, and a pull need not know of any.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use hythe_access::{Principal, PrincipalArn, PullLog};
use hythe_meta::{MAX_PULLS_AT_ONCE, Pull, Store, StoreError};
use hythe_model::{AccountId, Digest, RepositoryPath, from_millis, millis};
use jiff::Timestamp;

use crate::audit::waiting::{MAX_SHARDS, Seed, thread_number};

/// The most pulls that wait to be written; those of one image by one principal are one. Each takes a few hundred bytes.
const MAX_WAITING_PULLS: usize = 32 * 1024;
/// The most transactions of one pass that fold what was written into images.
const MAX_FOLDS: usize = 64;

/// The latest pull, in milliseconds, of each image by each principal.
type Pulls = HashMap<Principal, HashMap<RepositoryPath, HashMap<Digest, i64, Seed>, Seed>, Seed>;

/// Notes pulls, and writes them when [`PullTimes::flush`] is called.
#[derive(Debug)]
pub struct PullTimes {
    store: Store,
    /// Each thread has one of its own, as far as there are enough, so that none waits for another.
    shards: Box<[Shard]>,
    seed: Seed,
    /// Also sees to it that there is one pass at a time.
    unwritten: tokio::sync::Mutex<Unwritten>,
    recorded: AtomicU64,
    excluded: AtomicU64,
    lost: AtomicU64,
}

/// How many pulls there were, where those of one image by one principal within a second may be one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PullTimeCounts {
    /// Pulls that were written.
    pub recorded: u64,
    /// Pulls of principals whose pulls do not count.
    pub excluded: u64,
    /// Pulls of which nothing is known, as too many waited.
    pub lost: u64,
}

/// On cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Shard(Mutex<Held>);

#[derive(Debug)]
struct Held {
    pulls: Pulls,
    count: usize,
}

/// What a pass has taken.
#[derive(Debug, Default)]
struct Unwritten {
    /// What is not known yet whether it counts.
    noted: Vec<Pulls>,
    pulls: Vec<Pull>,
}

impl PullTimes {
    /// Nothing is noted yet.
    #[must_use]
    pub fn new(store: Store) -> Self {
        let shards = thread::available_parallelism()
            .map_or(1, usize::from)
            .clamp(1, MAX_SHARDS);
        let seed = Seed::default();
        let shard = |_| {
            Shard(Mutex::new(Held {
                pulls: Pulls::with_hasher(seed),
                count: 0,
            }))
        };
        Self {
            store,
            shards: (0..shards).map(shard).collect(),
            seed,
            unwritten: tokio::sync::Mutex::default(),
            recorded: AtomicU64::new(0),
            excluded: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// How many pulls there were.
    #[must_use]
    pub fn counts(&self) -> PullTimeCounts {
        PullTimeCounts {
            recorded: self.recorded.load(Ordering::Relaxed),
            excluded: self.excluded.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }

    /// Writes what was noted, and folds what this and other nodes have written into images. What could not be written
    /// is kept for the next time, and nothing is taken beside it, so that memory stays bounded.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let mut unwritten = self.unwritten.lock().await;
        let Unwritten { noted, pulls } = &mut *unwritten;
        if noted.is_empty() && pulls.is_empty() {
            *noted = self.take();
        }
        if !noted.is_empty() {
            // After the pulls were taken: what was registered before one of them is among these.
            let exclusions = self.exclusions().await?;
            *pulls = self.counted(std::mem::take(noted), &exclusions);
        }
        while !pulls.is_empty() {
            let rest = pulls.len().saturating_sub(MAX_PULLS_AT_ONCE);
            let part = pulls.get(rest..).unwrap_or_default();
            self.store.append_pulls(part).await?;
            self.recorded.fetch_add(part.len() as u64, Ordering::Relaxed);
            pulls.truncate(rest);
        }
        for _ in 0..MAX_FOLDS {
            if self.store.fold_pulls().await? < MAX_PULLS_AT_ONCE {
                break;
            }
        }
        Ok(())
    }

    fn take(&self) -> Vec<Pulls> {
        let take = |Shard(shard): &Shard| {
            let mut held = shard.lock().unwrap_or_else(PoisonError::into_inner);
            held.count = 0;
            std::mem::replace(&mut held.pulls, Pulls::with_hasher(self.seed))
        };
        let taken = self.shards.iter().map(take);
        taken.filter(|pulls| !pulls.is_empty()).collect()
    }

    async fn exclusions(&self) -> Result<HashSet<(AccountId, PrincipalArn)>, StoreError> {
        let all = self.store.all_pull_time_exclusions().await?;
        let parsed = all
            .into_iter()
            .filter_map(|(account, arn)| Some((account, arn.parse().ok()?)));
        Ok(parsed.collect())
    }

    /// The latest pull of each image by those whose pulls count in its registry.
    fn counted(&self, noted: Vec<Pulls>, exclusions: &HashSet<(AccountId, PrincipalArn)>) -> Vec<Pull> {
        let mut latest: HashMap<(RepositoryPath, Digest), i64> = HashMap::new();
        for (principal, repositories) in noted.into_iter().flatten() {
            let by = PrincipalArn::of(&principal).filter(|_| !exclusions.is_empty());
            for (repository, images) in repositories {
                let is_excluded = by
                    .as_ref()
                    .is_some_and(|by| exclusions.contains(&(repository.account.clone(), by.clone())));
                if is_excluded {
                    self.excluded.fetch_add(images.len() as u64, Ordering::Relaxed);
                    continue;
                }
                for (digest, at) in images {
                    let known = latest.entry((repository.clone(), digest)).or_insert(at);
                    *known = at.max(*known);
                }
            }
        }
        let pull = |((repository, digest), at)| Pull {
            repository,
            digest,
            at: from_millis(at),
        };
        latest.into_iter().map(pull).collect()
    }
}

impl PullLog for PullTimes {
    fn pulled(&self, by: &Principal, repository: &RepositoryPath, image: &Digest, at: Timestamp) {
        let Some(Shard(shard)) = self.shards.get(thread_number() % self.shards.len()) else {
            return;
        };
        let at = millis(at);
        let mut held = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let known = held
            .pulls
            .get_mut(by)
            .and_then(|repositories| repositories.get_mut(repository))
            .and_then(|images| images.get_mut(image));
        if let Some(latest) = known {
            *latest = at.max(*latest);
            return;
        }
        if held.count >= MAX_WAITING_PULLS / self.shards.len() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        held.count += 1;
        held.pulls
            .entry(by.clone())
            .or_insert_with(|| HashMap::with_hasher(self.seed))
            .entry(repository.clone())
            .or_insert_with(|| HashMap::with_hasher(self.seed))
            .insert(*image, at);
    }
}

#[cfg(test)]
mod tests {
    use hythe_meta::StoreConfig;

    use super::*;

    async fn pull_times(folder: &tempfile::TempDir) -> PullTimes {
        let path = folder.path().join("meta.db");
        PullTimes::new(Store::open(&StoreConfig::Sqlite { path }).await.unwrap())
    }

    fn web(account: &str) -> RepositoryPath {
        RepositoryPath {
            account: account.parse().unwrap(),
            name: "team-a/web".parse().unwrap(),
        }
    }

    fn digest(number: u64) -> Digest {
        format!("sha256:{number:064x}").parse().unwrap()
    }

    fn at(second: i64) -> Timestamp {
        from_millis(second * 1000)
    }

    fn noted(pull_times: &PullTimes, exclusions: &[(&str, &str)]) -> Vec<(u64, i64)> {
        let exclusions = exclusions
            .iter()
            .map(|(account, arn)| (account.parse().unwrap(), arn.parse().unwrap()))
            .collect();
        let mut pulls: Vec<_> = pull_times
            .counted(pull_times.take(), &exclusions)
            .into_iter()
            .map(|pull| {
                let number = (1..100).find(|number| digest(*number) == pull.digest);
                (number.unwrap(), pull.at.as_second())
            })
            .collect();
        pulls.sort_unstable();
        pulls
    }

    const ADA: &str = "arn:aws:iam::000000000000:user/ada";
    const CI: &str = "arn:aws:iam::000000000000:role/ci";

    #[tokio::test]
    async fn the_latest_pull_counts_of_those_that_do() {
        let folder = tempfile::tempdir().unwrap();
        let pull_times = pull_times(&folder).await;
        let (own, other) = (web("000000000000"), web("111111111111"));
        let principal = |arn: &str| arn.parse::<Principal>().unwrap();
        let session = principal("arn:aws:sts::000000000000:assumed-role/ci/run-7");
        let pull = || {
            pull_times.pulled(&principal(ADA), &own, &digest(1), at(7));
            pull_times.pulled(&principal(ADA), &own, &digest(1), at(5));
            pull_times.pulled(&session, &own, &digest(1), at(9));
            pull_times.pulled(&session, &other, &digest(2), at(3));
            pull_times.pulled(&Principal::Anonymous, &own, &digest(3), at(1));
        };
        pull();
        assert_eq!(noted(&pull_times, &[]), [(1, 9), (2, 3), (3, 1)]);
        assert_eq!(noted(&pull_times, &[]), [], "they were taken");
        pull();
        let excluded = [("000000000000", CI)];
        assert_eq!(noted(&pull_times, &excluded), [(1, 7), (2, 3), (3, 1)]);
        assert_eq!(pull_times.counts().excluded, 1);
        pull();
        let excluded = [("000000000000", CI), ("000000000000", ADA), ("111111111111", CI)];
        assert_eq!(noted(&pull_times, &excluded), [(3, 1)]);
    }

    #[tokio::test]
    async fn memory_is_bounded_and_known_images_are_still_noted() {
        let folder = tempfile::tempdir().unwrap();
        let pull_times = pull_times(&folder).await;
        let (web, nobody) = (web("000000000000"), Principal::Anonymous);
        for number in 0..=MAX_WAITING_PULLS as u64 {
            pull_times.pulled(&nobody, &web, &digest(number), at(1));
        }
        pull_times.pulled(&nobody, &web, &digest(0), at(2));
        let kept: usize = pull_times
            .shards
            .iter()
            .map(|shard| shard.0.lock().unwrap().count)
            .sum();
        assert!(kept <= MAX_WAITING_PULLS);
        assert_eq!(kept as u64 + pull_times.counts().lost, MAX_WAITING_PULLS as u64 + 1);
        let latest = pull_times.counted(pull_times.take(), &HashSet::new());
        assert!(latest.iter().any(|pull| pull.digest == digest(0) && pull.at == at(2)));
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_written_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let pull_times = pull_times(&folder).await;
        pull_times.pulled(&Principal::Anonymous, &web("000000000000"), &digest(1), at(1));
        {
            let mut unwritten = pull_times.unwritten.lock().await;
            unwritten.noted = pull_times.take();
        }
        pull_times.flush().await.unwrap();
        assert_eq!(pull_times.counts().recorded, 1);
        pull_times.store.close().await;
        pull_times.pulled(&Principal::Anonymous, &web("000000000000"), &digest(2), at(1));
        pull_times.flush().await.unwrap_err();
        pull_times.pulled(&Principal::Anonymous, &web("000000000000"), &digest(3), at(1));
        pull_times.flush().await.unwrap_err();
        let unwritten = pull_times.unwritten.lock().await;
        assert_eq!(
            unwritten.noted.len() + unwritten.pulls.len(),
            1,
            "and nothing is taken beside it"
        );
    }
}
