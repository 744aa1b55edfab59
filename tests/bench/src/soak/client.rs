// SPDX-License-Identifier: Apache-2.0
//! A client with a repository of its own: it does a bit of everything, and remembers what it was promised.
//!
//! What was answered holds: an image whose push was answered with 201 is there, whole, until its deletion is asked for. What
//! was asked and not answered, because the server was gone, may have happened or not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::registry::OCI_MANIFEST;

use super::sampler::{Operation, Shared};
use crate::load::body::{Bodies, Random};
use crate::load::connection::{Connection, Unexpected};
use crate::load::endpoint::Endpoint;
use crate::load::push;
use crate::work::image::{self, How};

/// Layers of these sizes, in bytes; each class has its own way through the server.
const LAYER_BYTES: [usize; 4] = [1024, 48 * 1024, 256 * 1024, 1536 * 1024];
/// Once the store holds a lot, only so many classes are pushed, so that a run of days does not fill the disk.
const SMALL_CLASSES: u64 = 2;
const MUCH_MIB: u64 = 4096;
/// Between two operations: a soak is about time, not about throughput.
const PACE: Duration = Duration::from_millis(50);
/// The longest that a server which is too busy may ask to be left alone.
const MAX_BUSY: Duration = Duration::from_secs(30);
/// Beyond so many images the oldest go, so that the load stays the same.
const MAX_IMAGES: usize = 60;
/// Tags that move from image to image.
const MOVING_TAGS: u64 = 5;

/// What a tag may point at: one digest if that was answered, several (or nothing) if an answer is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    may_be: Vec<String>,
    may_be_absent: bool,
}

impl Known {
    fn surely(digest: &str) -> Self {
        Self {
            may_be: vec![digest.to_owned()],
            may_be_absent: false,
        }
    }
}

/// One client.
#[derive(Debug)]
pub struct Client {
    repository: String,
    random: Random,
    bodies: Vec<Bodies>,
    classes: u64,
    pushed: u64,
    /// Images that must be there, by digest: the manifest, and when it was pushed.
    images: BTreeMap<u64, (String, Vec<u8>)>,
    tags: BTreeMap<String, Known>,
}

impl Client {
    /// For a repository that is empty.
    #[must_use]
    pub fn new(repository: &str, seed: u64) -> Self {
        Self {
            repository: repository.to_owned(),
            random: Random::new(seed),
            bodies: LAYER_BYTES.iter().map(|bytes| Bodies::new(*bytes)).collect(),
            classes: SMALL_CLASSES,
            pushed: 0,
            images: BTreeMap::new(),
            tags: BTreeMap::new(),
        }
    }

    /// Its repository.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Works until it is told to stop. Once `ending` is set the server may be gone in the middle of anything.
    pub fn work(&mut self, endpoint: &Endpoint, shared: &Shared, stop: &AtomicBool, ending: &AtomicBool) -> Result<()> {
        let mut connection = Connection::open(endpoint)?;
        while !stop.load(Ordering::SeqCst) {
            std::thread::sleep(PACE);
            self.classes = if shared.store_mib() < MUCH_MIB {
                LAYER_BYTES.len() as u64
            } else {
                SMALL_CLASSES
            };
            let operation = self.next();
            let began = Instant::now();
            match self.perform(operation, &mut connection, endpoint) {
                Ok(true) => shared.done(operation, began.elapsed()),
                Ok(false) => {}
                Err(_) if ending.load(Ordering::SeqCst) => return Ok(()),
                Err(error) => {
                    // Refused is not lost: a client of the field waits and goes on, and the soak counts how often.
                    let busy = error.downcast_ref::<Unexpected>().and_then(Unexpected::busy);
                    let Some(pause) = busy.filter(|pause| *pause <= MAX_BUSY) else {
                        return Err(error.context(format!("{operation:?} in {}", self.repository)));
                    };
                    shared.refused();
                    wait(pause, ending);
                    // What was sent of a body may still lie in the old one.
                    connection = match Connection::open(endpoint) {
                        Err(_) if ending.load(Ordering::SeqCst) => return Ok(()),
                        opened => opened?,
                    };
                }
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Operation {
        if self.images.len() > MAX_IMAGES {
            return Operation::Delete;
        }
        match self.random.below(100) {
            0..20 => Operation::Push,
            20..75 => Operation::Pull,
            75..83 => Operation::Move,
            83..88 => Operation::Delete,
            88..93 => Operation::CutOff,
            _ => Operation::List,
        }
    }

    /// Does it; false if there was nothing to do it with.
    fn perform(&mut self, operation: Operation, connection: &mut Connection, endpoint: &Endpoint) -> Result<bool> {
        match operation {
            Operation::Push => self.push(connection)?,
            Operation::CutOff => self.cut_off(endpoint)?,
            Operation::List => self.list(connection)?,
            Operation::Pull | Operation::Move | Operation::Delete => {
                let at = self.random.below(self.images.len() as u64);
                let picked = if operation == Operation::Delete {
                    self.images.first_key_value()
                } else {
                    self.images.iter().nth(usize::try_from(at)?)
                };
                let Some((number, (digest, manifest))) = picked.map(|(number, it)| (*number, it.clone())) else {
                    return Ok(false);
                };
                match operation {
                    Operation::Pull => {
                        image::pull(connection, &self.repository, &digest)?;
                    }
                    Operation::Move => self.move_tag(connection, &digest, &manifest)?,
                    _ => self.delete(connection, number, &digest)?,
                }
            }
        }
        Ok(true)
    }

    fn push(&mut self, connection: &mut Connection) -> Result<()> {
        let class = self.random.below(self.classes);
        let bodies = self.bodies.get(usize::try_from(class)?).context("no such class")?;
        let layer = bodies.make();
        let how = if self.random.below(2) == 0 {
            How::Monolith
        } else {
            How::Streamed
        };
        self.pushed += 1;
        let tag = format!("push-{}", self.pushed);
        // Until it is answered nobody knows.
        let unknown = Known {
            may_be: Vec::new(),
            may_be_absent: true,
        };
        self.tags.insert(tag.clone(), unknown);
        let pushed = image::push(connection, &self.repository, &tag, &layer, how)?;
        self.tags.insert(tag, Known::surely(&pushed.digest));
        self.images.insert(self.pushed, (pushed.digest, pushed.manifest));
        Ok(())
    }

    fn move_tag(&mut self, connection: &mut Connection, digest: &str, manifest: &[u8]) -> Result<()> {
        let tag = format!("moving-{}", self.random.below(MOVING_TAGS));
        let known = self.tags.entry(tag.clone()).or_insert(Known {
            may_be: Vec::new(),
            may_be_absent: true,
        });
        known.may_be.push(digest.to_owned());
        image::put_manifest(connection, &self.repository, &tag, manifest)?;
        self.tags.insert(tag, Known::surely(digest));
        Ok(())
    }

    fn delete(&mut self, connection: &mut Connection, number: u64, digest: &str) -> Result<()> {
        // From here on it may be gone, with every tag that points at it.
        self.images.remove(&number);
        for known in self.tags.values_mut() {
            known.may_be_absent |= known.may_be.iter().any(|it| it == digest);
        }
        let target = format!("/v2/{}/manifests/{digest}", self.repository);
        connection.call("DELETE", &target, "", &[])?.expect(202)?;
        self.tags.retain(|_, known| {
            known.may_be.retain(|it| it != digest);
            !known.may_be.is_empty()
        });
        Ok(())
    }

    /// Sends half of a blob and leaves.
    fn cut_off(&mut self, endpoint: &Endpoint) -> Result<()> {
        let mut connection = Connection::open(endpoint)?;
        let begun = push::begin(&mut connection, &self.repository)?;
        let class = self.random.below(self.classes);
        let body = self
            .bodies
            .get(usize::try_from(class)?)
            .context("no such class")?
            .make();
        let half: Vec<u8> = body.parts().flatten().copied().take(body.bytes() / 2).collect();
        connection.begin("PATCH", &begun, body.bytes(), &half)
    }

    fn list(&mut self, connection: &mut Connection) -> Result<()> {
        if self.random.below(4) == 0 {
            connection.call("GET", "/v2/_catalog", "", &[])?.expect(200)?;
            return Ok(());
        }
        let target = format!("/v2/{}/tags/list", self.repository);
        let answer = connection.call("GET", &target, "", &[])?.expect(200)?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let sure = self.tags.iter().filter(|(_, known)| !known.may_be_absent);
        for (tag, _) in sure {
            ensure!(
                text.contains(&format!("\"{tag}\"")),
                "tag {tag} is not in the list: {text}"
            );
        }
        Ok(())
    }

    /// Compares everything that was acknowledged with what is there, and settles what was not known. Answers the number of
    /// images that were pulled whole.
    pub fn check_everything(&mut self, endpoint: &Endpoint) -> Result<usize> {
        let mut connection = Connection::open(endpoint)?;
        for (digest, _) in self.images.values() {
            image::pull(&mut connection, &self.repository, digest)
                .with_context(|| format!("LOST: the acknowledged image {digest} of {}", self.repository))?;
        }
        let mut settled = BTreeMap::new();
        for (tag, known) in &self.tags {
            let target = format!("/v2/{}/manifests/{tag}", self.repository);
            let headers = format!("Accept: {OCI_MANIFEST}\r\n");
            let answer = connection.call("HEAD", &target, &headers, &[])?;
            match (answer.status, answer.header("docker-content-digest")) {
                (404, _) => ensure!(known.may_be_absent, "LOST: tag {tag} of {}", self.repository),
                (200, Some(digest)) => {
                    // A push without an answer may have reached its end; what it left must be whole then.
                    let is_new = known.may_be.is_empty();
                    ensure!(
                        is_new || known.may_be.iter().any(|it| it == digest),
                        "CHANGED: tag {tag} of {} is {digest}, not one of {:?}",
                        self.repository,
                        known.may_be
                    );
                    image::pull(&mut connection, &self.repository, tag)
                        .with_context(|| format!("HALF VISIBLE: tag {tag} of {}", self.repository))?;
                    settled.insert(tag.clone(), Known::surely(digest));
                }
                (status, _) => bail!("{status} for tag {tag} of {}", self.repository),
            }
        }
        self.tags = settled;
        Ok(self.images.len())
    }
}

/// Waits so long, or until `ending` is set.
fn wait(pause: Duration, ending: &AtomicBool) {
    let began = Instant::now();
    while began.elapsed() < pause && !ending.load(Ordering::SeqCst) {
        std::thread::sleep(PACE);
    }
}
