// SPDX-License-Identifier: Apache-2.0
//! Whole small images pushed while power cuts are taken: each server on a disk of its own, whose picture is taken again and
//! again under load. Each picture is mounted, the server started on it, and every image pulled that was acknowledged before.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use e2e::loop_disk::is_possible;
use e2e::power_disk::{Cache, Cut, PROGRAMS, Pool, PowerDisk};

use super::{Content, Plan};
use crate::figures::{Figures, Sample, Section, metric};
use crate::load::connection::Connection;
use crate::load::push;
use crate::measure;
use crate::report::terminal::Progress;
use crate::subject::{Kind, REPOSITORY, Subject};
use crate::work::image::{self, How, Size};

/// The row.
pub const ROW: &str = "push images of 64 KiB, 4 clients, power cuts";
const CLIENTS: usize = 4;
/// How many cuts are taken of one server in a round, and the time between two.
const CUTS: usize = 6;
const PAUSE: Duration = Duration::from_millis(700);
/// Longest that clients push; the cuts end it before.
const LIMIT: Duration = Duration::from_mins(1);
/// So many images fit on the disk.
const MAX_IMAGES: u64 = 6_000;

/// Who takes part: registries that can be started on a disk.
fn kinds(plan: &Plan) -> impl Iterator<Item = &Kind> {
    plan.kinds
        .iter()
        .filter(|kind| kind.is_registry() && kind.is_ours_to_start())
}

/// How many steps this is in the progress.
pub fn steps(plan: &Plan) -> usize {
    if plan.wants(Section::Power) {
        plan.rounds * kinds(plan).count()
    } else {
        0
    }
}

/// Measures. Where nobody may make disks it says so, and the target counts as not measured.
pub fn run(plan: &Plan, content: &Content, figures: &mut Figures, progress: &mut Progress) -> Result<()> {
    if !is_possible(PROGRAMS)? {
        progress.note("power cuts are left out: they need root, loop devices, ext4 and btrfs");
        return Ok(());
    }
    for round in 0..plan.rounds {
        let mut order: Vec<&Kind> = kinds(plan).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for kind in order {
            progress.step(round, kind.name(), ROW);
            let sample = turn(kind, content).with_context(|| format!("{ROW} on {}", kind.name()))?;
            let lost = sample.get(metric::LOST).copied().unwrap_or_default();
            ensure!(
                *kind == Kind::DockerRegistry || lost < 0.5,
                "{} lost {lost} images",
                kind.name()
            );
            figures.add(Section::Power, ROW, metric::PER_S, kind.name(), round, sample);
        }
    }
    Ok(())
}

fn turn(kind: &Kind, content: &Content) -> Result<Sample> {
    let pool = Pool::create()?;
    let disk = PowerDisk::create(&pool, "disk", Cache::Kept)?;
    let subject = Subject::start_on(kind, disk.path())?;
    let stop = AtomicBool::new(false);
    let acknowledged: Mutex<Vec<String>> = Mutex::default();
    let known = || acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
    let (cuts, sample) = scope(|threads| -> Result<(Vec<(Cut, usize)>, Sample)> {
        let cutting = threads.spawn(|| -> Result<Vec<(Cut, usize)>> {
            let cuts = (0..CUTS).map(|number| {
                sleep(PAUSE);
                let before = known().len();
                Ok((disk.cut(number)?, before))
            });
            let cuts = cuts.collect();
            stop.store(true, Ordering::Relaxed);
            cuts
        });
        let sample = measure::work(&subject.tree, || {
            let goes_on = |took| took < LIMIT && !stop.load(Ordering::Relaxed);
            push::in_parallel_while(&subject.endpoint, CLIENTS, goes_on, MAX_IMAGES, |connection, turn| {
                let layer = content.layers.of(Size::Small)?.make();
                let tag = format!("c{turn}");
                let pushed = image::push(connection, REPOSITORY, &tag, &layer, How::Monolith)?;
                known().push(tag);
                Ok(pushed.bytes)
            })
        });
        let cuts = cutting.join().map_err(|_| anyhow!("the thread that cuts panicked"))??;
        Ok((cuts, sample?))
    })?;
    drop(subject);
    let acknowledged = acknowledged.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut sample = sample;
    sample.insert(metric::LOST, 0.0);
    for (cut, before) in cuts {
        let recovered = cut.mount()?;
        let after = Subject::start_on(kind, recovered.path())?;
        let mut connection = Connection::open(&after.endpoint)?;
        for tag in acknowledged.get(..before).unwrap_or_default() {
            if image::pull(&mut connection, REPOSITORY, tag).is_err() {
                // After an error the connection may be in the middle of an answer.
                connection = Connection::open(&after.endpoint)?;
                *sample.entry(metric::LOST).or_default() += 1.0;
            }
        }
    }
    Ok(sample)
}
