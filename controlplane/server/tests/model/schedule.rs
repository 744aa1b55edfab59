// SPDX-License-Identifier: Apache-2.0
//! A history: what happens when, by a seed.

use std::fmt;

use hythe_model::StorageClass;

use crate::contents::{IMAGE, REPOSITORIES, TAGS, path};
use crate::door::{Outcome, Way};
use crate::harness::Engine;
use crate::operation::{Operation, POLICIES};
use crate::planted::Bug;
use crate::random::Random;
use crate::world::World;

/// The most operations that are under way at once.
const MAX_UNDER_WAY: usize = 6;
/// The most steps that happen at once, where several do.
const MAX_AT_ONCE: usize = 3;
/// How far the clock goes at once, in seconds: sessions expire after an hour, what is deleted is gone after a week.
const TICKS: [i64; 5] = [60, 700, 4000, 90_000, 700_000];
/// After how many steps everything is looked at.
const CHECK_EVERY: usize = 8;
/// After how many everything is scrubbed.
const SCRUB_EVERY: usize = 24;
/// How often a client comes back that was told to.
const MAX_ATTEMPTS: usize = 3;
/// How much of the history a failure shows.
const SHOWN: usize = 60;

/// A history that shows a fault.
#[derive(Debug)]
pub struct Failure {
    pub what: String,
    steps: usize,
    history: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.history.len().saturating_sub(SHOWN);
        let shown = self.history[from..].join("\n  ");
        write!(formatter, "HYTHE_MODEL_STEPS={}: {}\n  {shown}", self.steps, self.what)
    }
}

/// Runs the history of a seed: how much happened; `None` if there is no such database here.
pub async fn run(engine: Engine, seed: u64, steps: usize, bug: Option<Bug>) -> Result<Option<usize>, Failure> {
    let Some(mut world) = World::new(engine, bug).await else {
        return Ok(None);
    };
    let mut random = Random::new(seed);
    let outcome = go(&mut world, &mut random, seed % 2 == 1, steps).await;
    let history = std::mem::take(&mut world.history);
    let events = history.len();
    match outcome {
        Ok(()) => {
            world.end().await;
            Ok(Some(events))
        }
        Err(what) => Err(Failure { what, steps, history }),
    }
}

async fn go(world: &mut World, random: &mut Random, is_parallel: bool, steps: usize) -> Outcome<()> {
    for step in 1..=steps {
        happen(world, random, is_parallel).await?;
        world.quiet().await?;
        if step % CHECK_EVERY == 0 {
            world.check().await?;
        }
        if step % SCRUB_EVERY == 0 {
            world.scrub().await?;
        }
    }
    world.note("no more begins");
    world.drain().await?;
    world.check().await?;
    world.scrub().await?;
    restore_all(world, random).await?;
    push_all(world, random).await?;
    world.check().await?;
    live_on(world, random).await?;
    // Some images stay, some are archived, the others go.
    for repository in REPOSITORIES {
        for image in (0..IMAGE.len()).rev() {
            let class = StorageClass::Archive;
            let change = match random.below(10) {
                0..5 => Operation::DeleteImage { repository, image },
                5..8 => Operation::Transit {
                    repository,
                    image,
                    class,
                },
                _ => continue,
            };
            world.alone(0, change).await?;
        }
    }
    world.settle().await?;
    world.check().await?;
    world.scrub().await?;
    world.check_no_garbage().await?;
    // What was taken away, and what others still have, can be pushed as if it had never been there.
    push_all(world, random).await?;
    world.check().await?;
    for repository in REPOSITORIES {
        for image in (0..IMAGE.len()).rev() {
            world.alone(0, Operation::DeleteImage { repository, image }).await?;
        }
    }
    world.settle().await?;
    world.scrub().await?;
    world.check_no_garbage().await
}

/// One thing, or some at once.
async fn happen(world: &mut World, random: &mut Random, is_parallel: bool) -> Outcome<()> {
    let node = random.below(world.nodes.len());
    match random.below(100) {
        0..6 => {
            let tick = *random.of(&TICKS);
            world.note(format!("{tick} seconds pass"));
            world.clock.advance_seconds(tick);
        }
        6..9 => world.crash(node).await,
        9..12 => {
            let client = random.below(MAX_UNDER_WAY);
            world.disconnect(client);
        }
        chance => {
            let mut ready = world.turnstile.ready();
            if ready.is_empty() || chance < 45 && world.turnstile.count() < MAX_UNDER_WAY {
                let operation = Operation::any(random);
                world.begin(node, operation);
                return Ok(());
            }
            let at_once = if is_parallel { 1 + random.below(MAX_AT_ONCE) } else { 1 };
            let mut changed = Vec::new();
            let mut released = Vec::new();
            while released.len() < at_once && !ready.is_empty() {
                let (id, step) = ready.swap_remove(random.below(ready.len()));
                if let Some(repository) = step.changes {
                    if changed.contains(&repository) {
                        continue;
                    }
                    changed.push(repository);
                }
                released.push((id, step.name));
            }
            let all: Vec<_> = released.iter().map(|(id, step)| format!("{id}: {step}")).collect();
            world.note(all.join("; "));
            for (id, _) in released {
                world.turnstile.release(id);
            }
        }
    }
    Ok(())
}

/// What needs a past comes seldom in a short history: tags go back, policies run, a repository is deleted.
async fn live_on(world: &mut World, random: &mut Random) -> Outcome<()> {
    for repository in REPOSITORIES {
        for tag in TAGS {
            if random.percent(50) {
                world.alone(0, Operation::RollBack { repository, tag }).await?;
            }
        }
    }
    world.check().await?;
    for repository in REPOSITORIES {
        let change = match random.below(10) {
            0..5 => Operation::Lifecycle {
                repository,
                policy: random.below(POLICIES.len()),
            },
            5 => Operation::DeleteRepository { repository },
            _ => continue,
        };
        world.alone(0, change).await?;
    }
    world.check().await?;
    world.scrub().await
}

/// Everything that can be restored is.
async fn restore_all(world: &mut World, random: &mut Random) -> Outcome<()> {
    for repository in REPOSITORIES {
        for (image, pushed) in IMAGE.iter().enumerate() {
            if !random.percent(70) {
                continue;
            }
            let before = world.oracle.contents(&path(repository));
            let node = random.below(world.nodes.len());
            world.alone(node, Operation::Restore { repository, image }).await?;
            let is_back = world.oracle.since(&path(repository), &pushed.digest).is_some();
            if before.restorable.contains_key(&pushed.digest) && !is_back {
                // Its time may be over, and then it may be purged.
                world.note(format!("{repository}: {} is over", pushed.digest));
            }
        }
    }
    world.check().await?;
    world.scrub().await
}

/// Everything can be pushed, whatever has become of it before.
async fn push_all(world: &mut World, random: &mut Random) -> Outcome<()> {
    for repository in REPOSITORIES {
        for (image, pushed) in IMAGE.iter().enumerate() {
            let (node, tag) = (random.below(world.nodes.len()), *random.of(&TAGS));
            let (from, way) = (*random.of(&REPOSITORIES), Way::Single);
            let push = Operation::Push {
                repository,
                image,
                tag,
                from,
                way,
            };
            let tagged = tag.parse().unwrap();
            for attempt in 0.. {
                world.alone(node, push.clone()).await?;
                let contents = world.oracle.contents(&path(repository));
                let is_there = match pushed.subject {
                    None => contents.tags.get(&tagged) == Some(&pushed.digest),
                    Some(_) => contents.images.contains_key(&pushed.digest),
                };
                if is_there {
                    break;
                }
                if attempt == MAX_ATTEMPTS {
                    return Err(format!("{repository}:{tag} cannot be pushed: {}", pushed.digest));
                }
                // What a crash left may be in the way until its lease ends.
                world.pass_time(120).await?;
            }
        }
    }
    Ok(())
}
