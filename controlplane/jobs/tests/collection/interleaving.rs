// SPDX-License-Identifier: Apache-2.0
//! Pushes, deletions and collectors, step by step, in orders picked at random: after every step the bytes of every row
//! are there, and of every image all. Each step is one call of the metadata store or the blob store, so that whoever is
//! not picked is held up where a process can be held up; some die there.

use std::collections::BTreeSet;

use bytes::Bytes;
use hythe_blobs::DeletionLock;
use hythe_catalog::{BlobCatalog, CatalogError, ImageCatalog, PutImageError, UploadCatalog};
use hythe_meta::{BlobDeletion, DueReview};
use jiff::SignedDuration;

use crate::contents::{create, path};
use crate::harness::Database;
use crate::world::{CONDEMNED, EXPIRY, GRACE, Session, World, bytes, digest_of, image_of};

const REPOSITORIES: [&str; 2] = ["web", "other"];
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// Turns of one order; each is some steps of one of those who take part.
const TURNS: usize = 60;

/// What a collector could do wrong, to see that this would be noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    None,
    /// It deletes without looking whether it still is the one to do it.
    DoesNotLook,
    /// It looks, and locks afterwards.
    LooksBeforeItLocks,
    /// It says that it is done, and deletes afterwards.
    EndsBeforeItDeletes,
    /// Pushes link what they published without a session that was sealed as it.
    LinksWithoutSession,
}

/// Goes through `orders` of them, and says what was broken first.
pub async fn explore(database: &Database, mistake: Mistake, orders: u64) -> Option<String> {
    let world = World::new(database).await;
    create(&world.store, "other").await;
    for seed in 1..=orders {
        let mut play = Play::new(&world, database, mistake, seed);
        if let Err(broken) = play.run().await {
            return Some(format!("order {seed}: {broken}\n{}", play.diary.join("\n")));
        }
    }
    None
}

/// One step of somebody.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Of the push of that number; none puts an image here.
    Push(usize),
    /// Of the collector of that number.
    Collect(usize),
    /// So many seconds pass.
    Pass(i64),
    /// Somebody unlinks the layer.
    Unlink,
}

/// Goes through the steps in their order, and says what was broken first.
pub async fn replay(database: &Database, mistake: Mistake, steps: &[Step]) -> Option<String> {
    let world = World::new(database).await;
    let mut play = Play::new(&world, database, mistake, 2);
    for step in steps {
        match *step {
            Step::Push(number) => drop(play.push(number).await),
            Step::Collect(number) => drop(play.collect(number).await),
            Step::Pass(seconds) => world.clock.advance_seconds(seconds),
            Step::Unlink => {
                let digest = digest_of(&play.layer);
                world
                    .store
                    .unlink_blob(&path("web"), &digest, world.now())
                    .await
                    .unwrap();
            }
        }
        if let Err(broken) = play.look().await {
            return Some(format!("{broken}\n{}", play.diary.join("\n")));
        }
    }
    None
}

/// xorshift64*
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % count
    }
}

enum Actor {
    Push(usize),
    Collector(usize),
    Others,
}

enum Pushing<'w> {
    Idle,
    Begun(Session<'w>),
    Sealed(Session<'w>),
    Published(Session<'w>),
    Linked,
    Done,
}

enum Collecting {
    Idle,
    Leased(Vec<DueReview>),
    Claimed(BlobDeletion),
    Looked(BlobDeletion),
    Locked(BlobDeletion, DeletionLock),
    Certain(BlobDeletion, DeletionLock),
    Ended(DeletionLock),
    Deleted(BlobDeletion),
}

struct Play<'w> {
    world: &'w World,
    database: &'w Database,
    mistake: Mistake,
    dice: Dice,
    /// In every other order one of the collectors is slow, everybody else is fast, and blobs come and go without images.
    is_one_slow: bool,
    layer: Bytes,
    pushes: [Pushing<'w>; 2],
    nodes: [Collecting; 2],
    tokens: usize,
    /// Repositories whose image was acknowledged and not deleted, and those whose image can be restored.
    images: BTreeSet<usize>,
    restorable: BTreeSet<usize>,
    diary: Vec<String>,
}

impl<'w> Play<'w> {
    fn new(world: &'w World, database: &'w Database, mistake: Mistake, seed: u64) -> Self {
        Self {
            world,
            database,
            mistake,
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            is_one_slow: seed.is_multiple_of(2),
            layer: bytes("the layer"),
            pushes: [Pushing::Idle, Pushing::Idle],
            nodes: [const { Collecting::Idle }; 2],
            tokens: 0,
            images: BTreeSet::new(),
            restorable: BTreeSet::new(),
            diary: Vec::new(),
        }
    }

    async fn run(&mut self) -> Result<(), String> {
        for _ in 0..TURNS {
            let (actor, steps) = self.next();
            for _ in 0..steps {
                let has_moved = match actor {
                    Actor::Push(number) => self.push(number).await,
                    Actor::Collector(number) => self.collect(number).await,
                    Actor::Others => self.disturb().await,
                };
                if !has_moved {
                    break;
                }
                self.look().await?;
            }
        }
        self.end().await
    }

    /// Whose turn it is, and for how many steps.
    fn next(&mut self) -> (Actor, usize) {
        if self.is_one_slow {
            let has_claimed = !matches!(self.nodes[0], Collecting::Idle | Collecting::Leased(_));
            return match self.dice.below(16) {
                at @ 0..4 => (Actor::Push(at / 3), 1 + self.dice.below(8)),
                4..8 if has_claimed => (Actor::Collector(1), 1 + self.dice.below(8)),
                4..9 => (Actor::Collector(0), if has_claimed { 1 } else { 2 }),
                _ => (Actor::Others, 1),
            };
        }
        let actor = match self.dice.below(7) {
            at @ 0..2 => Actor::Push(at),
            at @ 2..5 => Actor::Collector(at % 2),
            _ => Actor::Others,
        };
        (actor, 1 + self.dice.below(5))
    }

    fn note(&mut self, what: &str) -> bool {
        self.diary.push(what.to_owned());
        true
    }

    /// What must hold at every moment.
    async fn look(&self) -> Result<(), String> {
        let rows = self.database.count("blob WHERE content IS NULL").await;
        if rows > 0 && !self.world.has_file(&self.layer).await {
            return Err("the row of a blob has no bytes".into());
        }
        for repository in &self.images {
            if !self.world.has(REPOSITORIES[*repository], &self.layer).await {
                return Err(format!("the image in {} has lost its layer", REPOSITORIES[*repository]));
            }
        }
        Ok(())
    }

    /// Whether a push would have to wait, which nobody does here.
    async fn is_claimed(&self) -> bool {
        self.database.count("blob_deletion").await > 0
    }

    async fn push(&mut self, number: usize) -> bool {
        let repository = REPOSITORIES[if self.is_one_slow { 0 } else { number }];
        let (world, state) = (self.world, std::mem::replace(&mut self.pushes[number], Pushing::Idle));
        let (next, what) = match state {
            Pushing::Idle if !self.is_one_slow && world.has(repository, &self.layer).await => {
                (Pushing::Linked, "is told that it is there")
            }
            Pushing::Idle => {
                let session = Session::begin(world, repository, &self.layer).await;
                (Pushing::Begun(session), "begins")
            }
            Pushing::Begun(session) if self.mistake == Mistake::LinksWithoutSession => {
                (Pushing::Sealed(session), "does not seal")
            }
            Pushing::Begun(session) => {
                if self.is_claimed().await {
                    self.pushes[number] = Pushing::Begun(session);
                    return false;
                }
                match session.seal().await {
                    Ok(_) => (Pushing::Sealed(session), "seals"),
                    Err(CatalogError::Busy) => (Pushing::Begun(session), "waits to seal"),
                    Err(CatalogError::Conflict) => (Pushing::Idle, "has no session any more"),
                    Err(error) => panic!("{error:?}"),
                }
            }
            Pushing::Sealed(session) => {
                session.publish().await;
                (Pushing::Published(session), "publishes")
            }
            Pushing::Published(session) => {
                let linked = match self.mistake {
                    Mistake::LinksWithoutSession => session.link_without().await,
                    _ => session.link().await,
                };
                match linked {
                    Ok(()) => (Pushing::Linked, "links"),
                    Err(CatalogError::Busy) => (Pushing::Published(session), "waits to link"),
                    Err(CatalogError::Conflict) => (Pushing::Idle, "cannot link any more"),
                    Err(error) => panic!("{error:?}"),
                }
            }
            Pushing::Linked if self.is_one_slow => (Pushing::Idle, "puts no image"),
            Pushing::Linked => {
                let image = image_of(&[&self.layer], "latest");
                match world.store.put_image(&path(repository), image).await {
                    Ok(_) => {
                        self.images.insert(number);
                        self.restorable.remove(&number);
                        (Pushing::Done, "puts the image")
                    }
                    Err(PutImageError::BlobsUnknown(_)) => (Pushing::Idle, "is told that the layer is missing"),
                    Err(PutImageError::Catalog(CatalogError::Busy)) => (Pushing::Linked, "waits to put the image"),
                    Err(error) => panic!("{error:?}"),
                }
            }
            Pushing::Done => {
                self.pushes[number] = Pushing::Done;
                return false;
            }
        };
        self.pushes[number] = next;
        self.note(&format!("push to {repository} {what}"))
    }

    fn has_lock(&self) -> bool {
        let has = |node: &Collecting| {
            matches!(
                node,
                Collecting::Locked(..) | Collecting::Certain(..) | Collecting::Ended(..)
            )
        };
        self.nodes.iter().any(has)
    }

    async fn collect(&mut self, number: usize) -> bool {
        let is_free = !self.has_lock();
        self.tokens += 1;
        let (world, mistake, token) = (self.world, self.mistake, self.tokens.to_string());
        let (store, blobs, now) = (&world.store, &world.blobs, world.now());
        let state = std::mem::replace(&mut self.nodes[number], Collecting::Idle);
        let (next, what) = match state {
            Collecting::Idle => {
                let mut abandoned = store.take_over_deletions(&token, now, now + LEASE, 10).await.unwrap();
                if let Some(deletion) = abandoned.pop() {
                    (Collecting::Claimed(deletion), "takes over")
                } else {
                    let due = store.lease_reviews(now, now + LEASE, 10).await.unwrap();
                    if due.is_empty() {
                        return false;
                    }
                    (Collecting::Leased(due), "leases")
                }
            }
            Collecting::Leased(due) => {
                let mut reviewed = store.review_blobs(due, &world.rules(&token), now).await.unwrap();
                match reviewed.deletions.pop() {
                    Some(deletion) => (Collecting::Claimed(deletion), "claims"),
                    None => (Collecting::Idle, "looks, and claims nothing"),
                }
            }
            Collecting::Claimed(deletion) if mistake == Mistake::LooksBeforeItLocks => {
                if store.is_still_to_delete(&deletion).await.unwrap() {
                    (Collecting::Looked(deletion), "looks too early")
                } else {
                    (Collecting::Idle, "leaves it to another")
                }
            }
            state @ (Collecting::Claimed(_) | Collecting::Looked(_)) if !is_free => {
                self.nodes[number] = state;
                return false;
            }
            Collecting::Claimed(deletion) => {
                let lock = blobs.lock_deletion(deletion.digest()).await.unwrap();
                (Collecting::Locked(deletion, lock), "locks")
            }
            Collecting::Looked(deletion) => {
                let lock = blobs.lock_deletion(deletion.digest()).await.unwrap();
                (Collecting::Certain(deletion, lock), "locks")
            }
            Collecting::Locked(deletion, lock) if mistake == Mistake::DoesNotLook => {
                (Collecting::Certain(deletion, lock), "does not look")
            }
            Collecting::Locked(deletion, lock) => {
                if store.is_still_to_delete(&deletion).await.unwrap() {
                    (Collecting::Certain(deletion, lock), "looks")
                } else {
                    (Collecting::Idle, "leaves it to another")
                }
            }
            Collecting::Certain(deletion, lock) if mistake == Mistake::EndsBeforeItDeletes => {
                store.end_deletions(&[deletion]).await.unwrap();
                (Collecting::Ended(lock), "ends too early")
            }
            Collecting::Ended(lock) => {
                blobs.delete(lock).await.unwrap();
                (Collecting::Idle, "deletes")
            }
            Collecting::Certain(deletion, lock) => {
                blobs.delete(lock).await.unwrap();
                (Collecting::Deleted(deletion), "deletes")
            }
            Collecting::Deleted(deletion) => {
                store.end_deletions(&[deletion]).await.unwrap();
                (Collecting::Idle, "ends")
            }
        };
        self.nodes[number] = next;
        self.note(&format!("collector {number} {what}"))
    }

    /// What else happens.
    async fn disturb(&mut self) -> bool {
        let at = self.dice.below(if self.is_one_slow { 1 } else { 2 });
        let world = self.world;
        let (repository, digest) = (REPOSITORIES[at], digest_of(&self.layer));
        let kind = match self.dice.below(16) {
            kind if kind < 9 => kind,
            _ if !self.is_one_slow => self.dice.below(9),
            // What lets somebody claim, and somebody else take over.
            9..12 => 4,
            _ => 0,
        };
        match kind {
            0..3 => {
                let seconds = [61, 1, CONDEMNED + 1, EXPIRY + 1, GRACE + 1][self.dice.below(5)];
                world.clock.advance_seconds(seconds);
                self.note(&format!("{seconds} seconds pass"))
            }
            3 => {
                let expired = world.store.expire_uploads(world.now(), 10).await.unwrap();
                self.note(&format!("{} sessions expire", expired.len()))
            }
            4 => {
                let unlinked = world.store.unlink_blob(&path(repository), &digest, world.now()).await;
                self.note(&format!("somebody unlinks the layer from {repository}: {unlinked:?}"))
            }
            5 => {
                let other = REPOSITORIES[1 - at];
                let mounted = world
                    .store
                    .mount_blob(&path(other), &path(repository), &digest, world.now())
                    .await;
                self.note(&format!("somebody mounts the layer into {repository}: {mounted:?}"))
            }
            6 if self.images.contains(&at) => {
                self.images.remove(&at);
                world.delete(repository, "latest").await;
                self.restorable.insert(at);
                self.pushes[at] = Pushing::Idle;
                self.note(&format!("somebody deletes the image of {repository}"))
            }
            7 if self.restorable.remove(&at) => {
                let image = image_of(&[&self.layer], "latest").digest;
                if self.dice.below(2) == 0 {
                    world.purge(repository, &image).await;
                    return self.note(&format!("somebody purges the image of {repository}"));
                }
                world.restore(repository, &image).await;
                self.images.insert(at);
                self.pushes[at] = Pushing::Done;
                self.note(&format!("somebody restores the image of {repository}"))
            }
            8 => {
                self.nodes[at] = Collecting::Idle;
                self.note(&format!("collector {at} dies, and another comes"))
            }
            _ => false,
        }
    }

    /// In the end everybody has gone, and nothing is left.
    async fn end(&mut self) -> Result<(), String> {
        let (world, image) = (self.world, image_of(&[&self.layer], "latest").digest);
        self.pushes = [Pushing::Idle, Pushing::Idle];
        self.nodes = [const { Collecting::Idle }; 2];
        for (number, repository) in REPOSITORIES.iter().enumerate() {
            if self.images.remove(&number) {
                world.delete(repository, "latest").await;
            }
            world.purge(repository, &image).await;
        }
        world.clock.advance_seconds(EXPIRY + 1);
        while !world.store.expire_uploads(world.now(), 10).await.unwrap().is_empty() {}
        for _ in 0..3 {
            world.settle().await;
        }
        world.find_leftovers().await.map_or(Ok(()), Err)
    }
}
