// SPDX-License-Identifier: Apache-2.0
//! What works on a scrub: page by page, beside live traffic.
//!
//! What looks wrong is looked at a second time, a while later, before it is called so: a page and the disk are not
//! read in the same instant, and others push and delete meanwhile. How far it is, and what it has found, is written
//! down page by page, so that any node goes on after a crash.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use hythe_blobs::{BlobError, BlobIdentity, BlobInventory, Hasher};
use hythe_meta::{
    BlobFacts, ImageKey, ManifestTable, NewFinding, ReferenceKind, ScrubPage, ScrubPhase, ScrubProgress, ScrubRecord,
    ScrubStatus, Store, StoreError,
};
use hythe_model::{Algorithm, Clock, Digest, fail_point};
use jiff::SignedDuration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::judge::{self, Defect, FindingKind};
use super::throttle::Throttle;

/// The most rows of one page. Small blobs come with their bytes: at most 8 MiB of them.
const PAGE_ROWS: usize = 128;
/// The most files of one page, of which only the names are read.
const PAGE_FILES: usize = 1024;
/// How long a node has a scrub without saying that it is still there.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// How often it says so.
const BEAT: Duration = Duration::from_secs(10);
/// The longest bytes that are hashed where they are asked for; longer ones go to a thread of their own.
const MAX_HASHED_HERE: usize = 64 * 1024;

/// How a node works on scrubs.
#[derive(Clone, Debug)]
pub struct VerifierSettings {
    /// The node's name; no two have the same.
    pub node: String,
    /// The most bytes of blobs that are read in a second.
    pub bytes_per_second: u64,
    /// The most rows and files that are looked at in a second.
    pub rows_per_second: u64,
    /// How long to wait before what looks wrong is looked at again.
    pub second_look: Duration,
}

/// What this node has done for scrubs.
#[derive(Debug)]
pub struct ScrubMetrics {
    /// 1 while this node works on one.
    pub running: AtomicU64,
    /// Rows and files that were looked at.
    pub rows: AtomicU64,
    /// Bytes that were hashed.
    pub bytes: AtomicU64,
    /// What looked wrong once, and right the second time.
    pub dismissed: AtomicU64,
    /// Files that were put aside.
    pub quarantined: AtomicU64,
    /// Scrubs that came to their end.
    pub completed: AtomicU64,
    /// Findings, each kind in the place that it has in [`FindingKind::ALL`].
    pub findings: Vec<AtomicU64>,
}

impl Default for ScrubMetrics {
    fn default() -> Self {
        Self {
            running: AtomicU64::default(),
            rows: AtomicU64::default(),
            bytes: AtomicU64::default(),
            dismissed: AtomicU64::default(),
            quarantined: AtomicU64::default(),
            completed: AtomicU64::default(),
            findings: FindingKind::ALL.iter().map(|_| AtomicU64::default()).collect(),
        }
    }
}

/// Why a pass did not come to its end. The next one goes on where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The metadata store failed.
    #[error("the metadata store failed")]
    Store(#[from] StoreError),
    /// The blob store failed.
    #[error("the blob store cannot be looked at")]
    Blobs(#[from] BlobError),
}

/// Works on scrubs.
#[derive(Clone, Debug)]
pub struct Verifier {
    store: Store,
    blobs: Arc<dyn BlobInventory>,
    clock: Arc<dyn Clock>,
    settings: VerifierSettings,
    metrics: Arc<ScrubMetrics>,
}

/// A scrub that this node works on.
struct Run {
    record: ScrubRecord,
    bytes: Throttle,
    rows: Throttle,
    last_beat: Instant,
}

/// What one look at a page gave: what looks wrong, with its key, and where the next page starts.
struct Look {
    suspects: Vec<(String, Vec<Defect>)>,
    count: u64,
    next: Option<String>,
}

/// Why a run stops before its end.
enum Stop {
    /// It is no longer this node's.
    Lost,
    Failed(VerifyError),
}

impl<E: Into<VerifyError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Verifier {
    /// A verifier of everything in `store` and `blobs`.
    #[must_use]
    pub fn new(store: Store, blobs: Arc<dyn BlobInventory>, clock: Arc<dyn Clock>, settings: VerifierSettings) -> Self {
        Self {
            store,
            blobs,
            clock,
            settings,
            metrics: Arc::default(),
        }
    }

    /// What it has done.
    #[must_use]
    pub fn metrics(&self) -> &Arc<ScrubMetrics> {
        &self.metrics
    }

    /// Works on the scrub that is running, if there is one and no other node does, until it ends or `stop`. Says
    /// whether there was one.
    #[tracing::instrument(name = "scrub.pass", skip_all)]
    pub async fn pass(&self, stop: &CancellationToken) -> Result<bool, VerifyError> {
        if !self.store.is_scrub_running().await? {
            return Ok(false);
        }
        let now = self.clock.now();
        let taken = self.store.take_scrub(&self.settings.node, now, now + LEASE).await?;
        let Some(record) = taken else { return Ok(false) };
        self.metrics.running.store(1, Ordering::Relaxed);
        let mut run = Run {
            record,
            bytes: Throttle::new(self.settings.bytes_per_second),
            rows: Throttle::new(self.settings.rows_per_second),
            last_beat: Instant::now(),
        };
        let ended = self.work(&mut run, stop).await;
        self.metrics.running.store(0, Ordering::Relaxed);
        let id = &run.record.id;
        match ended {
            Ok(()) | Err(Stop::Lost) => Ok(true),
            // It would come to the same place again and again.
            Err(Stop::Failed(error @ (VerifyError::Store(StoreError::Corrupt(_)) | VerifyError::Blobs(_)))) => {
                let text = chain(&error);
                let status = ScrubStatus::Failed;
                let node = &self.settings.node;
                self.store
                    .end_scrub(id, node, status, Some(&text), self.clock.now())
                    .await?;
                Err(error)
            }
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    async fn work(&self, run: &mut Run, stop: &CancellationToken) -> Result<(), Stop> {
        loop {
            if stop.is_cancelled() {
                self.store.release_scrub(&run.record.id, &self.settings.node).await?;
                return Ok(());
            }
            let (phase, position) = (run.record.progress.phase, run.record.progress.position.clone());
            let look = tokio::select! {
                look = self.look(run, phase, &position, page_length(phase)) => look?,
                () = stop.cancelled() => continue,
            };
            let found = tokio::select! {
                found = self.look_again(run, phase, look.suspects) => found?,
                () = stop.cancelled() => continue,
            };
            count(&mut run.record.progress, phase, look.count);
            self.metrics.rows.fetch_add(look.count, Ordering::Relaxed);
            let next = match look.next {
                Some(position) => Some((phase, position)),
                None => phase.next().map(|phase| (phase, String::new())),
            };
            if let Some((phase, position)) = &next {
                run.record.progress.phase = *phase;
                run.record.progress.position.clone_from(position);
            }
            self.advance(run, found).await?;
            if next.is_none() {
                return self.complete(run).await;
            }
            run.rows.take(look.count).await;
        }
    }

    async fn complete(&self, run: &Run) -> Result<(), Stop> {
        let (id, node) = (&run.record.id, &self.settings.node);
        let now = self.clock.now();
        if !self.store.end_scrub(id, node, ScrubStatus::Complete, None, now).await? {
            return Err(Stop::Lost);
        }
        self.metrics.completed.fetch_add(1, Ordering::Relaxed);
        let counts = run.record.progress.counts;
        tracing::info!(scrub.id = %id, blobs = counts.blobs, images = counts.images, findings = run.record.findings,
            "a scrub has seen everything");
        Ok(())
    }

    /// Writes down what was found and how far the run is.
    async fn advance(&self, run: &mut Run, found: Vec<NewFinding>) -> Result<(), Stop> {
        let now = self.clock.now();
        run.last_beat = Instant::now();
        run.record.findings += found.len() as u64;
        let ScrubRecord { id, progress, .. } = &run.record;
        let node = &self.settings.node;
        let advanced = self
            .store
            .advance_scrub(id, node, progress, found, now, now + LEASE)
            .await?;
        if advanced { Ok(()) } else { Err(Stop::Lost) }
    }

    /// Says from time to time that this node is still there.
    async fn beat(&self, run: &mut Run) -> Result<(), Stop> {
        if run.last_beat.elapsed() < BEAT {
            return Ok(());
        }
        self.advance(run, Vec::new()).await
    }

    /// What of `suspects` looks wrong in the same way some time later.
    async fn look_again(
        &self,
        run: &mut Run,
        phase: ScrubPhase,
        suspects: Vec<(String, Vec<Defect>)>,
    ) -> Result<Vec<NewFinding>, Stop> {
        let mut found = Vec::new();
        if suspects.is_empty() {
            return Ok(found);
        }
        let until = Instant::now() + self.settings.second_look;
        while Instant::now() < until {
            tokio::time::sleep_until(until.min(Instant::now() + BEAT)).await;
            self.beat(run).await?;
        }
        for (key, before) in suspects {
            // Before the look, so that nothing else is put aside than what is looked at now.
            let digest = before.iter().find_map(|defect| defect.digest);
            let identity = match digest.filter(|_| phase == ScrubPhase::Blobs && run.record.quarantine) {
                // A disk that fails is for the look to report.
                Some(digest) => self.blobs.identity(&digest).await.unwrap_or_default(),
                None => None,
            };
            let again = self.look(run, phase, &key, 1).await?.suspects;
            let still = again
                .into_iter()
                .filter(|(found, _)| *found == key)
                .flat_map(|(_, defects)| defects);
            let still: Vec<Defect> = still
                .filter(|defect| before.iter().any(|first| first.kind == defect.kind))
                .collect();
            if still.is_empty() {
                self.metrics.dismissed.fetch_add(1, Ordering::Relaxed);
            }
            for defect in still {
                let is_quarantined = match (&identity, defect.digest) {
                    (Some(identity), Some(digest)) if defect.kind == FindingKind::BlobDamaged => {
                        self.put_aside(&digest, identity).await
                    }
                    _ => false,
                };
                found.push(self.report(run, defect, is_quarantined).await?);
            }
        }
        Ok(found)
    }

    /// Puts a damaged file aside; says whether it did.
    async fn put_aside(&self, digest: &Digest, identity: &BlobIdentity) -> bool {
        match self.blobs.quarantine(digest, identity).await {
            Ok(is_quarantined) => is_quarantined,
            Err(BlobError(error)) => {
                tracing::error!(blob.digest = %digest, error = &error as &dyn std::error::Error,
                    "cannot put a damaged file aside");
                false
            }
        }
    }

    async fn report(&self, run: &Run, defect: Defect, is_quarantined: bool) -> Result<NewFinding, Stop> {
        let repository = match &defect.repository_id {
            Some(id) => Some(self.store.repository_of_key(id).await?),
            None => None,
        };
        if is_quarantined {
            self.metrics.quarantined.fetch_add(1, Ordering::Relaxed);
            fail_point("scrub.finding.quarantined");
        }
        if let Some(at) = FindingKind::ALL.iter().position(|kind| *kind == defect.kind)
            && let Some(counter) = self.metrics.findings.get(at)
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let digest = defect.digest.map(|digest| digest.to_string()).unwrap_or_default();
        tracing::error!(scrub.id = %run.record.id, finding.kind = %defect.kind, blob.digest = %digest,
            repository.name = repository.as_deref().unwrap_or_default(), finding.is_quarantined = is_quarantined,
            "a scrub has found something wrong: {}", defect.detail);
        Ok(NewFinding {
            kind: defect.kind.to_string(),
            digest: defect.digest,
            repository,
            detail: defect.detail,
            is_quarantined,
        })
    }

    /// Looks at what lies from `position` on.
    async fn look(&self, run: &mut Run, phase: ScrubPhase, position: &str, limit: usize) -> Result<Look, Stop> {
        let one = |defect: Option<Defect>| defect.into_iter().collect();
        Ok(match phase {
            ScrubPhase::Blobs => self.look_at_blobs(run, position, limit).await?,
            ScrubPhase::Files => self.look_at_files(run, position, limit).await?,
            ScrubPhase::Links => {
                let page = self.store.links_to_check(position, limit).await?;
                judged(phase, page, |facts| one(judge::link(facts)))
            }
            ScrubPhase::Images => self.look_at_images(run, ManifestTable::Image, position, limit).await?,
            ScrubPhase::DeletedImages => {
                self.look_at_images(run, ManifestTable::DeletedImage, position, limit)
                    .await?
            }
            ScrubPhase::UpstreamManifests => {
                self.look_at_images(run, ManifestTable::Upstream, position, limit)
                    .await?
            }
            ScrubPhase::ImageBlobs | ScrubPhase::ImageChildren | ScrubPhase::DeletedImageBlobs => {
                let kind = match phase {
                    ScrubPhase::ImageBlobs => ReferenceKind::ImageBlob,
                    ScrubPhase::ImageChildren => ReferenceKind::ImageChild,
                    _ => ReferenceKind::DeletedImageBlob,
                };
                let page = self.store.references_to_check(kind, position, limit).await?;
                judged(phase, page, |facts| one(judge::reference(kind, facts)))
            }
            ScrubPhase::Tags => {
                let page = self.store.tags_to_check(position, limit).await?;
                judged(phase, page, |facts| one(judge::tag(facts)))
            }
            ScrubPhase::UpstreamTags => {
                let page = self.store.upstream_tags_to_check(position, limit).await?;
                judged(phase, page, |facts| one(judge::upstream_tag(facts)))
            }
            ScrubPhase::Replicas => {
                let page = self.store.replicas_to_check(position, limit).await?;
                judged(phase, page, |facts| one(judge::replica(facts)))
            }
        })
    }

    async fn look_at_blobs(&self, run: &mut Run, position: &str, limit: usize) -> Result<Look, Stop> {
        let page = self.store.blobs_to_check(position, limit).await?;
        let count = page.facts.len() as u64;
        let mut suspects = Vec::new();
        for (key, facts) in page.facts {
            let facts = match facts {
                Ok(facts) => facts,
                Err(cause) => {
                    let defect = judge::unreadable_row(ScrubPhase::Blobs, &key, &cause);
                    suspects.push((key, vec![defect]));
                    continue;
                }
            };
            let mut defects = Vec::new();
            if !facts.is_held {
                let known = self.store.digest_facts(&facts.digest).await?;
                defects.extend(judge::blob_row(&facts, known));
            }
            defects.extend(self.look_at_blob(run, &facts).await?);
            defects.extend(self.look_at_tier(&facts).await?);
            if !defects.is_empty() {
                suspects.push((key, defects));
            }
            self.beat(run).await?;
        }
        let next = page.next;
        Ok(Look { suspects, count, next })
    }

    async fn look_at_blob(&self, run: &mut Run, facts: &BlobFacts) -> Result<Option<Defect>, Stop> {
        let damaged = |detail: String| Ok(Some(Defect::of_blob(FindingKind::BlobDamaged, facts.digest, detail)));
        let wrong_size = |size: u64| format!("it has {size} bytes instead of {}", facts.size);
        let is_hashed = is_sampled(&run.record, &facts.digest);
        if let Some(content) = &facts.content {
            if content.len() as u64 != facts.size {
                return damaged(wrong_size(content.len() as u64));
            }
            if is_hashed {
                let actual = digest_of(facts.digest.algorithm(), content.clone()).await;
                self.hashed(run, content.len());
                if actual != facts.digest {
                    return damaged(format!("its bytes, which are in the database, hash to {actual}"));
                }
            }
            return Ok(None);
        }
        let mut stored = match self.blobs.open(&facts.digest).await {
            Ok(Some(stored)) => stored,
            Ok(None) => {
                // Somebody may have thrown it away since its row was read.
                let is_gone = !self.store.digest_facts(&facts.digest).await?.has_row;
                let detail = "its row is there, and the blob store has no bytes of it";
                return Ok((!is_gone).then(|| Defect::of_blob(FindingKind::BlobMissing, facts.digest, detail)));
            }
            Err(BlobError(error)) => return Ok(Some(unreadable(facts.digest, &error))),
        };
        if stored.size != facts.size {
            return damaged(wrong_size(stored.size));
        }
        if !is_hashed {
            return Ok(None);
        }
        let mut hasher = Hasher::new(facts.digest.algorithm());
        loop {
            match stored.bytes.try_next().await {
                Ok(Some(chunk)) => {
                    hasher.update(&chunk);
                    self.hashed(run, chunk.len());
                    run.bytes.take(chunk.len() as u64).await;
                    self.beat(run).await?;
                    // What is in memory is read without waiting: others want to go on too.
                    tokio::task::yield_now().await;
                }
                Ok(None) => break,
                Err(error) => return Ok(Some(unreadable(facts.digest, &error))),
            }
        }
        let actual = hasher.finish();
        if actual == facts.digest {
            Ok(None)
        } else {
            damaged(format!("its bytes hash to {actual}"))
        }
    }

    /// Whether a blob is in the archive that belongs there, and no other.
    async fn look_at_tier(&self, facts: &BlobFacts) -> Result<Option<Defect>, Stop> {
        if facts.content.is_some() {
            return Ok(None);
        }
        // Of a disk that fails the look at the bytes has told.
        let Ok(classes) = self.blobs.classes(&facts.digest).await else {
            return Ok(None);
        };
        let written = self.store.tier_facts(&facts.digest).await?;
        Ok(judge::tier(facts.digest, &classes, written))
    }

    fn hashed(&self, run: &mut Run, bytes: usize) {
        run.record.progress.counts.bytes += bytes as u64;
        self.metrics.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    async fn look_at_files(&self, run: &mut Run, position: &str, limit: usize) -> Result<Look, Stop> {
        // A second look asks for one file: it starts at it, not after it.
        let digests: Vec<Digest> = if limit == 1 {
            position.parse().into_iter().collect()
        } else {
            self.blobs.list(position.parse().ok().as_ref(), limit).await?
        };
        let mut suspects = Vec::new();
        for digest in &digests {
            let known = self.store.digest_facts(digest).await?;
            if let Some(defect) = judge::file(*digest, known) {
                // It may have been thrown away with its row since it was listed.
                let defect = match self.blobs.identity(digest).await {
                    Ok(found) => found.map(|_| defect),
                    Err(BlobError(error)) => Some(unreadable(*digest, &error)),
                };
                suspects.extend(defect.map(|defect| (digest.to_string(), vec![defect])));
            }
            self.beat(run).await?;
        }
        let next = digests.last().filter(|_| digests.len() >= limit && limit > 1);
        Ok(Look {
            suspects,
            count: digests.len() as u64,
            next: next.map(ToString::to_string),
        })
    }

    async fn look_at_images(
        &self,
        run: &mut Run,
        kind: ManifestTable,
        position: &str,
        limit: usize,
    ) -> Result<Look, Stop> {
        let phase = match kind {
            ManifestTable::Image => ScrubPhase::Images,
            ManifestTable::DeletedImage => ScrubPhase::DeletedImages,
            ManifestTable::Upstream => ScrubPhase::UpstreamManifests,
        };
        let page = self.store.images_to_check(kind, position, limit).await?;
        let count = page.facts.len() as u64;
        let mut suspects = Vec::new();
        for (key, image) in page.facts {
            let looked = match image {
                Ok(image) => self.look_at_image(kind, &image).await,
                Err(cause) => Err(StoreError::Corrupt(cause)),
            };
            let defects = match looked {
                Ok(defects) => defects,
                Err(StoreError::Corrupt(cause)) => vec![judge::unreadable_row(phase, &key, &cause)],
                Err(error) => return Err(error.into()),
            };
            if !defects.is_empty() {
                suspects.push((key, defects));
            }
            self.beat(run).await?;
        }
        let next = page.next;
        Ok(Look { suspects, count, next })
    }

    async fn look_at_image(&self, kind: ManifestTable, image: &ImageKey) -> Result<Vec<Defect>, StoreError> {
        let Some(facts) = self.store.image_to_check(kind, image).await? else {
            return Ok(Vec::new()); // deleted meanwhile
        };
        let (repository_id, digest) = (&image.repository_id, image.digest);
        let actual = digest_of(digest.algorithm(), facts.manifest.clone()).await;
        let mut defects = match kind {
            ManifestTable::Image | ManifestTable::DeletedImage => judge::image(repository_id, digest, actual, &facts),
            ManifestTable::Upstream => judge::manifest(repository_id, digest, actual, &facts)
                .err()
                .into_iter()
                .collect(),
        };
        if !image.has_repository {
            defects.push(judge::stray_image(repository_id, digest));
        }
        Ok(defects)
    }
}

fn page_length(phase: ScrubPhase) -> usize {
    if phase == ScrubPhase::Files {
        PAGE_FILES
    } else {
        PAGE_ROWS
    }
}

fn judged<T>(phase: ScrubPhase, page: ScrubPage<T>, judge: impl Fn(&T) -> Vec<Defect>) -> Look {
    let count = page.facts.len() as u64;
    let suspects = page.facts.into_iter().map(|(key, facts)| {
        let defects = match facts {
            Ok(facts) => judge(&facts),
            Err(cause) => vec![judge::unreadable_row(phase, &key, &cause)],
        };
        (key, defects)
    });
    Look {
        suspects: suspects.filter(|(_, defects)| !defects.is_empty()).collect(),
        count,
        next: page.next,
    }
}

fn count(progress: &mut ScrubProgress, phase: ScrubPhase, rows: u64) {
    let counts = &mut progress.counts;
    let counter = match phase {
        ScrubPhase::Blobs => &mut counts.blobs,
        ScrubPhase::Files => &mut counts.files,
        ScrubPhase::Images | ScrubPhase::DeletedImages | ScrubPhase::UpstreamManifests => &mut counts.images,
        ScrubPhase::Links
        | ScrubPhase::ImageBlobs
        | ScrubPhase::ImageChildren
        | ScrubPhase::DeletedImageBlobs
        | ScrubPhase::Replicas => &mut counts.references,
        ScrubPhase::Tags | ScrubPhase::UpstreamTags => &mut counts.tags,
    };
    *counter += rows;
}

/// Whether the bytes of a blob are hashed: always the same answer for a scrub, and other blobs in the next one.
fn is_sampled(scrub: &ScrubRecord, blob: &Digest) -> bool {
    if scrub.sample_percent >= 100 {
        return true;
    }
    // FNV-1a: even enough for a sample, and the same on every node.
    let bytes = scrub.id.bytes().chain(blob.hash().iter().copied());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash >> 32 & 0xffff_ffff < u64::from(scrub.sample_percent) * 0xffff_ffff / 100
}

/// A file that is not even formed like the blob is damaged; other errors say nothing about the bytes.
fn unreadable(blob: Digest, error: &io::Error) -> Defect {
    let kind = match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => FindingKind::BlobDamaged,
        _ => FindingKind::BlobUnreadable,
    };
    Defect::of_blob(kind, blob, error.to_string())
}

async fn digest_of(algorithm: Algorithm, bytes: Bytes) -> Digest {
    let length = bytes.len();
    let hash = move |bytes: &Bytes| {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    };
    let copy = bytes.clone();
    if length > MAX_HASHED_HERE
        && let Ok(digest) = tokio::task::spawn_blocking(move || hash(&copy)).await
    {
        return digest;
    }
    hash(&bytes)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
