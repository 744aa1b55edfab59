// SPDX-License-Identifier: Apache-2.0
//! Looks at the server once a second, and counts what the clients did.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::Server;
use serde_json::{Map, Value, json};

use super::trend::Point;
use crate::load::latency::Latencies;
use crate::measure::as_f64;
use crate::process::Tree;
use crate::report::svg::Lines;

/// How often the server is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// The store is measured more seldom: it is a walk through its folders.
const STORE_EVERY: u32 = 10;
/// What a life does at first is warming up, not a trend: this share of it, between these bounds.
const WARM_UP_SHARE: f64 = 0.25;
const MIN_WARM_UP: f64 = 5.0;
pub(super) const MAX_WARM_UP: f64 = 120.0;
/// The most samples that are kept: more than a day's.
const MAX_SAMPLES: usize = 100_000;
/// More refusals than one in so many operations are too many.
const MIN_DONE_EACH_REFUSED: u64 = 1000;
const MEBIBYTE: u64 = 1024 * 1024;
/// Folders below the store that a walk looks into at most.
const MAX_DEPTH: usize = 8;

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Push a whole image under a new tag.
    Push,
    /// Pull a whole image and check its digests.
    Pull,
    /// Move a tag to another image.
    Move,
    /// Delete an image.
    Delete,
    /// Begin an upload and leave in the middle.
    CutOff,
    /// List tags or the catalog.
    List,
}

impl Operation {
    /// Each of them.
    pub const ALL: [Self; 6] = [
        Self::Push,
        Self::Pull,
        Self::Move,
        Self::Delete,
        Self::CutOff,
        Self::List,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Push => "pushes",
            Self::Pull => "pulls",
            Self::Move => "tag moves",
            Self::Delete => "deletes",
            Self::CutOff => "uploads cut off",
            Self::List => "lists",
        }
    }
}

/// What the clients tell.
#[derive(Debug, Default)]
pub struct Shared {
    counts: [AtomicU64; Operation::ALL.len()],
    refused: AtomicU64,
    latencies: Mutex<Latencies>,
    store_mib: AtomicU64,
}

impl Shared {
    /// An operation was answered.
    pub fn done(&self, operation: Operation, latency: Duration) {
        if let Some((_, count)) = Operation::ALL
            .iter()
            .zip(&self.counts)
            .find(|(own, _)| **own == operation)
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
        // Of the same kind of work only: a push is slower than a list, and their mix is random.
        if operation == Operation::Pull {
            self.latencies
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .add(latency);
        }
    }

    /// The server was too busy for an operation, and said when to come again.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How large the store was when it was last measured, in MiB.
    #[must_use]
    pub fn store_mib(&self) -> u64 {
        self.store_mib.load(Ordering::Relaxed)
    }

    fn take(&self) -> Latencies {
        std::mem::take(&mut self.latencies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Operation::ALL.iter().map(|operation| operation.name()).zip(counts)
    }

    /// How often each was done, in words.
    #[must_use]
    pub fn summary(&self) -> String {
        let refused = self.refused.load(Ordering::Relaxed);
        let counts = self.counts().chain([("refused for a while", refused)]);
        let parts: Vec<String> = counts.map(|(name, count)| format!("{count} {name}")).collect();
        parts.join(", ")
    }

    /// How often each was done.
    #[must_use]
    pub fn json(&self) -> Value {
        let refused = self.refused.load(Ordering::Relaxed);
        let counts = self.counts().chain([("refused", refused)]);
        let members = counts.map(|(name, count)| (name.to_owned(), json!(count)));
        Value::Object(members.collect::<Map<_, _>>())
    }

    /// A soak in which something was never done proves nothing about it, and a server that is too busy for this load is too slow.
    pub fn insist_on_work(&self) -> Result<()> {
        for (name, count) in self.counts() {
            ensure!(count > 0, "no {name} in the whole run: it was too short");
        }
        let done: u64 = self.counts().map(|(_, count)| count).sum();
        let refused = self.refused.load(Ordering::Relaxed);
        ensure!(
            refused <= done / MIN_DONE_EACH_REFUSED,
            "{refused} operations were refused, of {done}"
        );
        Ok(())
    }
}

/// A figure that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Resident memory.
    Memory,
    /// Open descriptors.
    Descriptors,
    /// Half of the pulls of that second are faster.
    P50,
    /// 99 % of the pulls of that second are faster.
    P99,
    /// Bytes of the data folder.
    Store,
}

impl Watched {
    const ALL: [Self; 5] = [Self::Memory, Self::Descriptors, Self::P50, Self::P99, Self::Store];

    /// In words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Memory => "resident memory",
            Self::Descriptors => "open descriptors",
            Self::P50 => "latency of pulls, p50",
            Self::P99 => "latency of pulls, p99",
            Self::Store => "size of the store",
        }
    }

    /// Its unit.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Memory | Self::Store => "MiB",
            Self::Descriptors => "open",
            Self::P50 | Self::P99 => "µs",
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    life: u32,
    /// Seconds since the run began.
    at: f64,
    /// Whether the life is past its warm-up.
    is_warm: bool,
    memory_mib: f64,
    descriptors: f64,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    store_mib: Option<f64>,
}

impl Sample {
    fn value(&self, what: Watched) -> Option<f64> {
        match what {
            Watched::Memory => Some(self.memory_mib),
            Watched::Descriptors => Some(self.descriptors),
            Watched::P50 => self.p50_us,
            Watched::P99 => self.p99_us,
            Watched::Store => self.store_mib,
        }
    }
}

/// Every look at the server.
#[derive(Debug)]
pub struct Sampler {
    began: Instant,
    samples: Vec<Sample>,
}

impl Sampler {
    /// For a run that begins now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            samples: Vec::new(),
        }
    }

    /// Watches a life until it is over, or until a client is.
    pub fn watch(
        &mut self,
        server: &Server,
        life: u32,
        length: Duration,
        shared: &Shared,
        is_over: impl Fn() -> bool,
    ) -> Result<()> {
        let tree = Tree::of(&[server.pid()])?;
        let warm_up = (length.as_secs_f64() * WARM_UP_SHARE).clamp(MIN_WARM_UP, MAX_WARM_UP);
        let began = Instant::now();
        let mut looks = 0;
        while began.elapsed() < length && !is_over() {
            ensure!(!e2e::process::is_interrupted(), "interrupted");
            std::thread::sleep(EVERY.min(length.saturating_sub(began.elapsed())));
            let percentiles = shared.take().percentiles();
            let store_bytes = (looks % STORE_EVERY == 0).then(|| folder_bytes(server.data_folder(), MAX_DEPTH));
            if let Some(bytes) = store_bytes {
                shared.store_mib.store(bytes / MEBIBYTE, Ordering::Relaxed);
            }
            if self.samples.len() < MAX_SAMPLES {
                self.samples.push(Sample {
                    life,
                    at: self.began.elapsed().as_secs_f64(),
                    is_warm: began.elapsed().as_secs_f64() >= warm_up,
                    memory_mib: tree.resident_mib()?,
                    descriptors: as_f64(tree.descriptors()? as u64),
                    p50_us: percentiles.map(|it| it.p50),
                    p99_us: percentiles.map(|it| it.p99),
                    store_mib: store_bytes.map(|bytes| as_f64(bytes) / as_f64(MEBIBYTE)),
                });
            }
            looks += 1;
        }
        Ok(())
    }

    /// What a trend is looked for in.
    #[must_use]
    pub fn points(&self, what: Watched) -> Vec<Point> {
        let warm = self.samples.iter().filter(|sample| sample.is_warm);
        warm.filter_map(|sample| {
            Some(Point {
                life: sample.life,
                at: sample.at,
                value: sample.value(what)?,
            })
        })
        .collect()
    }

    /// The plots with their file names: one line for each life.
    #[must_use]
    pub fn plots(&self) -> Vec<(&'static str, Lines)> {
        let files = ["memory.svg", "descriptors.svg", "p50.svg", "p99.svg", "store.svg"];
        Watched::ALL
            .iter()
            .zip(files)
            .map(|(what, file)| (file, self.plot(*what)))
            .collect()
    }

    fn plot(&self, what: Watched) -> Lines {
        let last = self.samples.last().map_or(0, |sample| sample.life);
        let lives = (0..=last).map(|life| {
            let own = self.samples.iter().filter(|sample| sample.life == life);
            let points = own.filter_map(|it| Some((it.at / 60.0, it.value(what)?, it.is_warm)));
            (format!("life {}", life + 1), points.collect())
        });
        Lines {
            title: what.title().to_owned(),
            across: "minutes".to_owned(),
            up: what.unit().to_owned(),
            series: lives.collect(),
            is_log_across: false,
            is_log_up: false,
        }
    }

    /// Every sample.
    #[must_use]
    pub fn json(&self) -> Value {
        let samples = self.samples.iter().map(|sample| {
            json!({
                "life": sample.life + 1,
                "seconds": sample.at,
                "is_warm": sample.is_warm,
                "memory_mib": sample.memory_mib,
                "descriptors": sample.descriptors,
                "p50_us": sample.p50_us,
                "p99_us": sample.p99_us,
                "store_mib": sample.store_mib,
            })
        });
        samples.collect()
    }
}

/// Bytes of a folder's files. What goes away while it looks does not count.
fn folder_bytes(folder: &Path, depth: usize) -> u64 {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(it) if it.is_dir() && depth > 0 => sum += folder_bytes(&entry.path(), depth - 1),
            Ok(it) if it.is_file() => sum += it.len(),
            Ok(_) | Err(_) => {}
        }
    }
    sum
}
