// SPDX-License-Identifier: Apache-2.0
//! A run: rounds in which every server starts anew, gets the same content, and does the same work, one after the other.
//!
//! Within a round each measurement goes through all servers before the next one begins, forwards in even rounds and
//! backwards in odd ones, so that what else happens on the machine hits all alike.

pub mod cache;
mod cell;
pub mod collection;
mod large;
pub mod power;
pub mod replication;
mod seed;

pub use self::large::{catalog_row, grouped, start_row, tags_row};

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use self::cell::{Cell, cells};
use self::seed::Seeded;
use crate::figures::{Figures, Sample, Section, metric};
use crate::load::body::Bodies;
use crate::load::tls::Identity;
use crate::report::terminal::Progress;
use crate::subject::{Kind, Subject};
use crate::work::fill::Amount;
use crate::work::image::{Layers, MEBIBYTE};

/// After its start a server is left alone for so long before its idle memory is looked at.
const SETTLE: Duration = Duration::from_secs(5);

/// What a run measures.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The servers, ours first.
    pub kinds: Vec<Kind>,
    /// The groups.
    pub sections: Vec<Section>,
    /// How many rounds.
    pub rounds: usize,
    /// How long each measurement takes.
    pub length: Duration,
    /// The rates of the open loop, in images per second.
    pub rates: Vec<f64>,
    /// What is stored for `start` and `listing`.
    pub amount: Amount,
    /// How much there is for `collection`.
    pub collection: collection::Amounts,
    /// After this no further round begins.
    pub limit: Duration,
}

impl Plan {
    fn wants(&self, section: Section) -> bool {
        self.sections.contains(&section)
    }
}

/// The blobs that are pulled, by their sizes.
pub const BLOB_SIZES: [(usize, &str); 4] = [
    (1024, "1 KiB"),
    (64 * 1024, "64 KiB"),
    (MEBIBYTE, "1 MiB"),
    (256 * MEBIBYTE, "256 MiB"),
];

/// What is prepared once, outside the clock.
#[derive(Debug)]
pub struct Content {
    /// Of the sizes in [`BLOB_SIZES`], in that order.
    pub blobs: Vec<Bodies>,
    /// Of images.
    pub layers: Layers,
    /// The certificate of every server.
    pub identity: Identity,
}

/// Carries out a plan; answers the figures and how many rounds there were.
pub fn run(plan: &Plan, progress: &mut Progress) -> Result<(Figures, usize)> {
    let began = Instant::now();
    let folder = tempfile::Builder::new().prefix("hythe-bench-").tempdir()?;
    let content = Content {
        blobs: BLOB_SIZES.iter().map(|(bytes, _)| Bodies::new(*bytes)).collect(),
        layers: Layers::new(),
        identity: Identity::make(folder.path())?,
    };
    let mut figures = Figures::default();
    figures.sha256_floor = Some(sha256_floor());
    let cells = cells(plan);
    let steps = plan.rounds * (plan.kinds.len() * (cells.len() + 1))
        + large::steps(plan)
        + power::steps(plan)
        + collection::steps(plan)
        + cache::steps(plan)
        + replication::steps(plan);
    progress.begin(steps);
    let mut rounds = 0;
    while rounds < plan.rounds {
        if rounds > 0 && began.elapsed() > plan.limit {
            progress.note(&format!("{rounds} rounds took {:?}: no more", began.elapsed()));
            break;
        }
        round(plan, &cells, &content, rounds, &mut figures, progress)
            .with_context(|| format!("round {}", rounds + 1))?;
        rounds += 1;
    }
    if plan.wants(Section::Power) {
        power::run(plan, &content, &mut figures, progress)?;
    }
    if plan.wants(Section::Start) || plan.wants(Section::Listing) {
        large::run(plan, &content, &mut figures, progress)?;
    }
    if plan.wants(Section::Collection) {
        collection::run(plan, &content, &mut figures, progress)?;
    }
    if plan.wants(Section::Cache) {
        cache::run(plan, &content, &mut figures, progress)?;
    }
    if plan.wants(Section::Replication) {
        replication::run(plan, &content, &mut figures, progress)?;
    }
    Ok((figures, rounds))
}

fn round(
    plan: &Plan,
    cells: &[Cell],
    content: &Content,
    round: usize,
    figures: &mut Figures,
    progress: &mut Progress,
) -> Result<()> {
    let mut order = plan.kinds.clone();
    if round % 2 == 1 {
        order.reverse();
    }
    let mut subjects = Vec::new();
    for kind in &order {
        progress.step(round, kind.name(), "start and fill");
        let subject = Subject::start(kind)?;
        if kind.is_ours_to_start() && plan.wants(Section::Start) {
            let sample = Sample::from([(metric::MILLISECONDS, subject.ready_after.as_secs_f64() * 1000.0)]);
            let name = "start to ready, new store";
            figures.add(Section::Start, name, metric::MILLISECONDS, kind.name(), round, sample);
        }
        if plan.wants(Section::Memory) {
            std::thread::sleep(SETTLE);
            let sample = Sample::from([(metric::MEMORY, subject.tree.resident_mib()?)]);
            figures.add(
                Section::Memory,
                "idle memory",
                metric::MEMORY,
                kind.name(),
                round,
                sample,
            );
        }
        let seeded = Seeded::fill(&subject, content, plan)?;
        subjects.push((subject, seeded));
    }
    for over_tls in [false, true] {
        if over_tls {
            if !cells.iter().any(|cell| cell.is_tls) {
                break;
            }
            subjects = subjects
                .into_iter()
                .filter(|(subject, _)| subject.kind.is_ours_to_start())
                .map(|(subject, seeded)| Ok((subject.into_tls(&content.identity)?, seeded)))
                .collect::<Result<_>>()?;
        }
        for cell in cells.iter().filter(|cell| cell.is_tls == over_tls) {
            for (subject, seeded) in &subjects {
                ensure!(!e2e::process::is_interrupted(), "interrupted");
                progress.step(round, subject.kind.name(), &cell.name);
                let sample = cell
                    .sample(subject, seeded, content)
                    .with_context(|| format!("{} on {}", cell.name, subject.kind.name()))?;
                if let Some(sample) = sample {
                    figures.add(cell.section, &cell.name, cell.lead, subject.kind.name(), round, sample);
                }
            }
        }
    }
    Ok(())
}

/// CPU seconds that one core takes to hash a GB, with the instructions that it has.
fn sha256_floor() -> f64 {
    use sha2::{Digest as _, Sha256};
    const BYTES: usize = 256 * 1024;
    const TIMES: usize = 2048;
    let piece = vec![7_u8; BYTES];
    let began = thread_seconds();
    let mut hash = Sha256::new();
    for _ in 0..TIMES {
        hash.update(&piece);
    }
    std::hint::black_box(hash.finalize());
    let gigabytes = crate::measure::as_f64((BYTES * TIMES) as u64) / 1e9;
    (thread_seconds() - began) / gigabytes
}

/// CPU time of this thread: what others do meanwhile does not count.
fn thread_seconds() -> f64 {
    use rustix::time::{ClockId, clock_gettime};
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0)).as_secs_f64()
}
