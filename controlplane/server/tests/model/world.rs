// SPDX-License-Identifier: Apache-2.0
//! A deployment, what goes on in it, and what must be true of it at every moment.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use hythe_blobs::{BlobInventory as _, BlobStore as _};
use hythe_catalog::{BlobCatalog as _, ImageCatalog as _};
use hythe_meta::{ScrubStatus, Store};
use hythe_model::{Clock as _, Digest, ImageStatus, ManualClock, Reference, RepositoryPath, Sync, Tag};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::contents::{BLOB, REPOSITORIES, image_of, is_related, needed, path};
use crate::door::{Door, Outcome};
use crate::gated::Gated;
use crate::harness::{Database, Engine};
use crate::node::Node;
use crate::operation::Operation;
use crate::oracle::{Contents, Oracle};
use crate::planted::Bug;
use crate::store_contents;
use crate::turnstile::Turnstile;

/// More than there ever is of anything.
const ALL: usize = 1000;

pub struct World {
    pub database: Arc<Database>,
    pub clock: Arc<ManualClock>,
    pub oracle: Arc<Oracle>,
    pub turnstile: Arc<Turnstile>,
    pub nodes: Vec<Node>,
    pub bug: Option<Bug>,
    folder: TempDir,
    under_way: Vec<UnderWay>,
    /// What has happened, for whoever reads about a failure.
    pub history: Vec<String>,
}

struct UnderWay {
    id: usize,
    what: String,
    task: JoinHandle<Outcome<()>>,
}

impl World {
    /// Nodes share a PostgreSQL database; SQLite is for one.
    pub async fn new(engine: Engine, bug: Option<Bug>) -> Option<Self> {
        // What crashes here is a process: nothing has to be brought to the disk.
        for sync in [Sync::File, Sync::Directory, Sync::Database] {
            sync.plant_missing();
        }
        let database = Database::open(engine).await?;
        // It looks at what is stored, not at what somebody remembers.
        database.store.set_cache_bytes(0);
        for name in REPOSITORIES {
            store_contents::create(&database.store, name).await;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut nodes = Vec::new();
        for _ in 0..if engine == Engine::Sqlite { 1 } else { 2 } {
            nodes.push(Node::start(&database.config, folder.path()).await);
        }
        Some(Self {
            database: Arc::new(database),
            clock: Arc::new(ManualClock::new(store_contents::now())),
            oracle: Arc::default(),
            turnstile: Arc::default(),
            nodes,
            bug,
            folder,
            under_way: Vec::new(),
            history: Vec::new(),
        })
    }

    pub fn note(&mut self, what: impl Into<String>) {
        self.history.push(what.into());
    }

    /// A client at a node, or a pass of it.
    pub fn door(&self, node: usize) -> Door {
        let node = &self.nodes[node];
        let gated = Gated {
            store: node.store.clone(),
            files: Arc::clone(&node.files),
            pass: self.turnstile.enter(),
            oracle: Arc::clone(&self.oracle),
            database: Arc::clone(&self.database),
            bug: self.bug,
            remembered: Arc::clone(&node.remembered),
            late: std::sync::Mutex::default(),
        };
        Door::new(gated, &self.clock)
    }

    /// Something begins at a node, and goes as far as its first step.
    pub fn begin(&mut self, node: usize, operation: Operation) {
        let door = self.door(node);
        let (id, what) = (door.gated.pass.id, format!("{operation:?}"));
        self.note(format!("{id} begins at node {node}: {what}"));
        let task = self.nodes[node]
            .runtime()
            .spawn(async move { operation.run(&door).await });
        self.under_way.push(UnderWay { id, what, task });
    }

    /// A client goes away. What its request began may go on.
    pub fn disconnect(&mut self, at: usize) {
        if let Some(under_way) = self.under_way.get(at) {
            under_way.task.abort();
            self.history.push(format!("the client of {} goes away", under_way.id));
        }
    }

    /// The number of what begins next.
    pub fn next_id(&self) -> usize {
        self.turnstile.next()
    }

    pub fn clients(&self) -> usize {
        self.under_way.len()
    }

    /// A node falls over, and comes back.
    pub async fn crash(&mut self, at: usize) {
        self.note(format!("node {at} crashes"));
        let node = self.nodes.remove(at);
        node.crash().await;
        let node = Node::start(&self.database.config, self.folder.path()).await;
        self.nodes.insert(at, node);
    }

    /// Waits until nobody runs, and takes note of what has ended.
    pub async fn quiet(&mut self) -> Outcome<()> {
        self.turnstile.quiet().await;
        let (ended, under_way) = std::mem::take(&mut self.under_way)
            .into_iter()
            .partition(|it: &UnderWay| it.task.is_finished());
        self.under_way = under_way;
        for it in ended {
            end(it).await?;
        }
        Ok(())
    }

    /// Lets everything that is under way come to its end, one after the other.
    pub async fn drain(&mut self) -> Outcome<()> {
        while self.turnstile.count() > 0 {
            self.quiet().await?;
            if let Some((id, step)) = self.turnstile.ready().first() {
                self.note(format!("{id} goes on: {}", step.name));
                self.turnstile.release(*id);
            }
        }
        for it in std::mem::take(&mut self.under_way) {
            end(it).await?;
        }
        Ok(())
    }

    /// Does something alone, from its begin to its end.
    pub async fn alone(&mut self, node: usize, operation: Operation) -> Outcome<()> {
        assert_eq!(self.turnstile.count(), 0, "something is under way");
        self.begin(node, operation);
        self.drain().await
    }

    /// Lets one operation go on until it is about to do this; `false` if it ended before.
    pub async fn until(&mut self, id: usize, step: &str) -> Outcome<bool> {
        loop {
            self.quiet().await?;
            let ready = self.turnstile.ready();
            match ready.iter().find(|(ready, _)| *ready == id) {
                Some((_, next)) if next.name == step => return Ok(true),
                Some(_) => self.turnstile.release(id),
                None => return Ok(false),
            }
        }
    }

    /// What must be true whenever nobody is in the middle of a step: what was acknowledged is there, on every node.
    pub async fn check(&self) -> Outcome<()> {
        for name in REPOSITORIES {
            let repository = path(name);
            self.follow(&repository).await?;
            let wanted = self.oracle.contents(&repository);
            self.check_contents(&self.database.store, &repository, &wanted, "stored")
                .await?;
            for (number, node) in self.nodes.iter().enumerate() {
                let (store, repository, wanted) = (node.store.clone(), repository.clone(), wanted.clone());
                let told = node
                    .runtime()
                    .spawn(async move { told(&store, &repository, &wanted).await });
                told.await.unwrap().map_err(|what| format!("node {number}: {what}"))?;
            }
        }
        Ok(())
    }

    /// Takes note of what has become of images that follow others.
    async fn follow(&self, repository: &RepositoryPath) -> Outcome<()> {
        let is_settled = self.database.count("subject_change").await == 0;
        for image in self.oracle.contents(repository).loose {
            let reference = Reference::Digest(image);
            let is_there = self
                .database
                .store
                .image_detail(repository, &reference)
                .await
                .unwrap()
                .is_some();
            if !self.oracle.followed(repository, image, is_there, is_settled) {
                let name = &repository.name;
                return Err(format!("{name}: {image} stays, and what it refers to was deleted"));
            }
        }
        Ok(())
    }

    async fn check_contents(
        &self,
        store: &Store,
        repository: &RepositoryPath,
        wanted: &Contents,
        whose: &str,
    ) -> Outcome<()> {
        let tags = store.tags(repository, None, ALL).await.unwrap().unwrap_or_default();
        let awake = awake(store, repository, wanted).await?;
        let want = wanted.tags.iter().filter(|(_, image)| awake.contains(*image));
        let want: Vec<Tag> = want.map(|(tag, _)| tag.clone()).collect();
        if tags != want {
            return Err(format!(
                "{}: {whose} are the tags {tags:?} instead of {want:?}",
                repository.name
            ));
        }
        told(store, repository, wanted).await?;
        for blob in needed(wanted.images.keys()).into_iter().map(|number| &BLOB[number]) {
            let found = store.blob(repository, &blob.digest).await.unwrap();
            let inline = found.and_then(|found| found.inline);
            let bytes = match inline {
                Some(bytes) => Some(bytes),
                None => self.bytes(&blob.digest).await,
            };
            if bytes.as_ref() != Some(&blob.bytes) {
                let have = bytes.map_or(0, |bytes| bytes.len());
                return Err(format!("{}: {} has {have} bytes", repository.name, blob.digest));
            }
        }
        Ok(())
    }

    /// The bytes of a file, read from where they are kept.
    async fn bytes(&self, blob: &Digest) -> Option<bytes::Bytes> {
        let stored = self.nodes[0].files.open(blob).await.unwrap()?;
        let chunks: Vec<bytes::Bytes> = stored.bytes.try_collect().await.unwrap();
        Some(chunks.concat().into())
    }

    /// A scrub finds nothing, whatever is under way.
    pub async fn scrub(&self) -> Outcome<()> {
        let node = &self.nodes[0];
        let (store, verifier, now) = (node.store.clone(), node.verifier(&self.clock), self.clock.now());
        let scrubbed = node.runtime().spawn(async move {
            let started = store.start_scrub("model", 100, false, now).await.unwrap();
            verifier.pass(&CancellationToken::new()).await.unwrap();
            let scrub = store.scrub(&started.id).await.unwrap().unwrap();
            (scrub, store.scrub_findings(&started.id, 0, ALL).await.unwrap())
        });
        let (scrub, findings) = scrubbed.await.unwrap();
        if scrub.status != ScrubStatus::Complete || !findings.is_empty() {
            let told = findings.iter().map(|found| &found.finding);
            let told: Vec<_> = told
                .map(|found| {
                    let digest = found.digest.map(|digest| digest.to_string()).unwrap_or_default();
                    let repository = found.repository.as_deref().unwrap_or_default();
                    format!("{} {digest} {repository}: {}", found.kind, found.detail)
                })
                .collect();
            return Err(format!(
                "a scrub is {} and finds\n  {}",
                scrub.status,
                told.join("\n  ")
            ));
        }
        Ok(())
    }

    /// Lets time pass, and nodes do what is due.
    pub async fn pass_time(&mut self, seconds: i64) -> Outcome<()> {
        self.clock.advance_seconds(seconds);
        for node in 0..self.nodes.len() {
            self.alone(node, Operation::Passes).await?;
            self.alone(node, Operation::Move).await?;
            self.alone(node, Operation::Collect).await?;
        }
        Ok(())
    }

    /// Lets time pass and nodes work until nothing is left to be done.
    pub async fn settle(&mut self) -> Outcome<()> {
        for _ in 0..SETTLING {
            self.pass_time(8 * 24 * 3600).await?;
        }
        // By the disk's clock, which is another one, they are young.
        let node = &self.nodes[0];
        let (store, files) = (node.store.clone(), Arc::clone(&node.files));
        let discarded = node.runtime().spawn(async move {
            hythe_distribution::discard_stale_uploads(&store, &*files, Duration::ZERO, ALL).await
        });
        let discarded = discarded.await.unwrap();
        discarded.map_err(|error| format!("stale uploads are not discarded: {error:?}"))?;
        self.note("all is settled");
        Ok(())
    }

    /// Nothing is there that no image needs.
    pub async fn check_no_garbage(&self) -> Outcome<()> {
        for name in REPOSITORIES {
            self.follow(&path(name)).await?;
        }
        let images = self.oracle.images();
        let mut wanted = BTreeSet::new();
        let mut links = 0;
        for images in images.values() {
            let blobs = needed(images);
            links += blobs.len();
            wanted.extend(blobs);
        }
        let files: BTreeSet<Digest> = wanted
            .iter()
            .map(|number| &BLOB[*number])
            .filter(|blob| blob.is_file)
            .map(|blob| blob.digest)
            .collect();
        let found = self.nodes[0].files.list(None, ALL).await.unwrap();
        if found.iter().copied().collect::<BTreeSet<_>>() != files {
            return Err(format!("the files {found:?} are left instead of {files:?}"));
        }
        let mut awake = BTreeSet::new();
        for (repository, images) in &images {
            for image in images {
                let reference = Reference::Digest(*image);
                let detail = self.database.store.image_detail(repository, &reference).await.unwrap();
                if detail.is_some_and(|detail| detail.status != ImageStatus::Archived) {
                    awake.extend(needed([image]));
                }
            }
        }
        let archived = wanted.difference(&awake).filter(|number| BLOB[**number].is_file);
        for (table, rows) in [
            ("blob_tier", archived.count()),
            ("blob", wanted.len()),
            ("repository_blob", links),
            ("image", images.values().map(BTreeSet::len).sum()),
            ("upload", 0),
            ("deleted_image", 0),
            ("deleted_image_blob", 0),
            ("subject_change", 0),
            ("blob_review", 0),
            ("blob_deletion", 0),
            ("upload_seal", 0),
        ] {
            let left = self.database.count(table).await;
            if left != i64::try_from(rows).unwrap() {
                return Err(format!("{left} rows of {table} are left instead of {rows}"));
            }
        }
        let stale = self.nodes[0].files.stale_uploads(Duration::ZERO, ALL).await.unwrap();
        if !stale.is_empty() {
            return Err(format!("the bytes of the uploads {stale:?} are left"));
        }
        Ok(())
    }

    pub async fn end(mut self) {
        for node in std::mem::take(&mut self.nodes) {
            node.stop().await;
        }
        if let Some(database) = Arc::into_inner(self.database) {
            database.finish().await;
        }
    }
}

/// How often time passes until nothing is left: each round looks at what the one before made garbage.
const SETTLING: usize = 4;

/// What a store, or what it remembers, says of images that must be there.
async fn told(store: &Store, repository: &RepositoryPath, wanted: &Contents) -> Outcome<()> {
    let name = &repository.name;
    let awake = awake(store, repository, wanted).await?;
    for (tag, image) in &wanted.tags {
        let found = store.image(repository, &Reference::Tag(tag.clone())).await.unwrap();
        let (found, wanted) = (found.map(|found| found.digest), awake.get(image));
        if found.as_ref() != wanted {
            return Err(format!("{name}:{tag} is {found:?} instead of {wanted:?}"));
        }
    }
    for image in wanted.images.keys() {
        let found = store.image(repository, &Reference::Digest(*image)).await.unwrap();
        let wanted = awake.contains(image).then(|| image_of(image).manifest.clone());
        if found.map(|found| found.bytes) != wanted {
            return Err(format!("{name}: {image} is not there, or is another"));
        }
        for blob in image_of(image).blobs.iter().map(|number| &BLOB[*number]) {
            let found = store.blob(repository, &blob.digest).await.unwrap();
            if found.is_none_or(|found| found.size != blob.bytes.len() as u64) {
                return Err(format!("{name}: {} of {image} is not there", blob.digest));
            }
        }
    }
    Ok(())
}

/// The images that can be pulled; those that are on their way out of the archive may or may not.
async fn awake(store: &Store, repository: &RepositoryPath, wanted: &Contents) -> Outcome<BTreeSet<Digest>> {
    let mut awake = BTreeSet::new();
    for image in wanted.images.keys() {
        let detail = store
            .image_detail(repository, &Reference::Digest(*image))
            .await
            .unwrap();
        let status = detail.map(|detail| detail.status);
        let is_right = match wanted.hidden.get(image) {
            // With others, which a scrub compares it with.
            _ if is_related(image) => status.is_some(),
            None => status == Some(ImageStatus::Active),
            Some(ImageStatus::Activating) => {
                matches!(status, Some(ImageStatus::Active | ImageStatus::Activating))
            }
            Some(hidden) => status.as_ref() == Some(hidden),
        };
        if !is_right {
            let hidden = wanted.hidden.get(image);
            return Err(format!(
                "{}: {image} is {status:?} instead of {hidden:?}",
                repository.name
            ));
        }
        if status == Some(ImageStatus::Active) {
            awake.insert(*image);
        }
    }
    Ok(awake)
}

async fn end(under_way: UnderWay) -> Outcome<()> {
    match under_way.task.await {
        Ok(outcome) => outcome.map_err(|what| format!("{}: {what}", under_way.what)),
        // By a crash, or because its client went away.
        Err(error) if error.is_cancelled() => Ok(()),
        Err(error) => Err(format!("{}: {error}", under_way.what)),
    }
}
