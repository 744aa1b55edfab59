// SPDX-License-Identifier: Apache-2.0
//! One blob on its way from upstream, for everybody who waits for it.
//!
//! A task of its own fetches, hashes and stores; clients read beside it what came last from a window in memory. The fetch
//! waits a little for the foremost of them: what it has read from memory need not be read back from the disk. Who is too
//! slow for that, or came too late, reads what is written so far, so that nobody slows the fetch for long or makes it keep
//! more. The last chunk is given out when the blob is stored.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _, try_unfold};
use hythe_blobs::ByteStream;
use hythe_catalog::CatalogError;
use hythe_model::{Digest, RepositoryPath, UploadId};
use hythe_upstream::UpstreamError;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::trouble::About;
use super::{CacheError, PullThrough, Upstream, label};
use crate::Registry;
use crate::turns::Tenant;
use crate::upload::{UploadError, take_whole};

/// What is kept of a blob for its readers, in bytes.
const WINDOW_BYTES: usize = 2 * 1024 * 1024;
/// How much of the window the foremost reader may have before it until the fetch waits for it, in bytes.
const AHEAD_BYTES: u64 = 1024 * 1024;
/// The fetch waits for readers no longer in all than it takes to receive what it has received at this rate, in bytes per
/// second: readers that are slower read from the disk.
const PACED_BYTES_PER_SECOND: u64 = 200 * 1024 * 1024;
/// How often a connection that broke is made anew, to go on where it broke.
const MAX_RESUMES: u32 = 3;
/// How often the right to fetch is prolonged.
const RENEWAL: Duration = Duration::from_secs(10);
/// How often it is looked whether another process has fetched a blob.
const LOOK: Duration = Duration::from_millis(200);
/// How long another process is waited for.
const MAX_ELSEWHERE: Duration = Duration::from_hours(1);

/// The blobs that are on their way to this process.
#[derive(Debug, Default)]
pub(crate) struct Fetches(Mutex<HashMap<(RepositoryPath, Digest), Arc<Fetch>>>);

/// One blob on its way.
#[derive(Debug)]
pub(crate) struct Fetch {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    /// Told when the foremost reader goes on.
    taken: Notify,
    /// As what the bytes are in the blob store until they are a blob.
    session: OnceLock<UploadId>,
}

#[derive(Debug, Default)]
struct State {
    /// What the upstream has said.
    head: Option<Head>,
    window: VecDeque<(u64, Bytes)>,
    window_bytes: usize,
    received: u64,
    /// Up to where the foremost reader has read.
    foremost: u64,
    outcome: Option<Result<(), Failure>>,
}

/// What an upstream says before the bytes.
#[derive(Clone, Copy, Debug)]
struct Head {
    length: Option<u64>,
}

/// Why a blob did not come.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    Upstream(UpstreamError),
    /// The repository was deleted meanwhile.
    RepositoryUnknown(RepositoryPath),
    Storage(String),
    Full,
    Busy,
}

impl From<Failure> for CacheError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Upstream(error) => Self::Upstream(error),
            Failure::RepositoryUnknown(repository) => Self::RepositoryUnknown(repository),
            Failure::Storage(why) => Self::Storage(why),
            Failure::Full => Self::Full,
            Failure::Busy => Self::Busy,
        }
    }
}

/// What a reader does next.
enum Step {
    Chunk(Bytes),
    Wait,
    /// What has left the window begins at this offset at most.
    Behind(u64),
    End,
    FromStore,
    Fail(Failure),
}

impl Fetches {
    /// The fetch of a blob, which is begun if nobody did.
    pub(crate) fn join(
        &self,
        registry: &Registry,
        through: &Arc<dyn PullThrough>,
        upstream: &Arc<Upstream>,
        repository: &RepositoryPath,
        digest: Digest,
    ) -> Arc<Fetch> {
        let mut fetches = self.lock();
        let fetch = fetches.entry((repository.clone(), digest));
        let fetch = match fetch {
            std::collections::hash_map::Entry::Occupied(known) => return Arc::clone(known.get()),
            std::collections::hash_map::Entry::Vacant(vacant) => Arc::clone(vacant.insert(Arc::new(Fetch {
                state: Mutex::default(),
                changes: watch::Sender::new(0),
                taken: Notify::new(),
                session: OnceLock::new(),
            }))),
        };
        drop(fetches);
        let work = Work {
            registry: registry.clone(),
            through: Arc::clone(through),
            upstream: Arc::clone(upstream),
            repository: repository.clone(),
            digest,
            fetch: Arc::clone(&fetch),
        };
        registry.spawn(work.run());
        fetch
    }

    /// Whether anything is on its way to a repository.
    pub(crate) fn is_busy(&self, repository: &RepositoryPath) -> bool {
        self.lock().keys().any(|(path, _)| path == repository)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn forget(&self, repository: &RepositoryPath, digest: Digest) {
        self.lock().remove(&(repository.clone(), digest));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(RepositoryPath, Digest), Arc<Fetch>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fetch {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changes.send_modify(|count| *count += 1);
    }

    fn push(&self, chunk: &Bytes) {
        self.change(|state| {
            state.window.push_back((state.received, chunk.clone()));
            state.window_bytes += chunk.len();
            state.received += chunk.len() as u64;
            while state.window_bytes > WINDOW_BYTES && state.window.len() > 2 {
                let gone = state.window.pop_front().map_or(0, |(_, chunk)| chunk.len());
                state.window_bytes -= gone;
            }
        });
    }

    /// Whether the foremost reader has enough before it, and would lose the window if more came.
    fn is_ahead(&self) -> bool {
        let state = self.lock();
        let start = state.window.front().map_or(state.received, |(offset, _)| *offset);
        state.foremost > 0 && state.foremost >= start && state.received - state.foremost >= AHEAD_BYTES
    }

    /// Notes that a reader has read up to `at`.
    fn note(&self, at: u64) {
        let mut state = self.lock();
        if at > state.foremost {
            state.foremost = at;
            drop(state);
            self.taken.notify_one();
        }
    }

    /// Notes that a reader that had read up to `at` is gone: the others say where they are when they go on.
    fn leave(&self, at: u64) {
        let mut state = self.lock();
        if at == state.foremost {
            state.foremost = 0;
            drop(state);
            self.taken.notify_one();
        }
    }

    /// Waits until the upstream has answered; the length that it said.
    pub(crate) async fn head(&self) -> Result<Option<u64>, Failure> {
        let mut changes = self.changes.subscribe();
        loop {
            {
                let state = self.lock();
                match (&state.outcome, state.head) {
                    (Some(Err(failure)), _) => return Err(failure.clone()),
                    (_, Some(head)) => return Ok(head.length),
                    (Some(Ok(())), None) => return Ok(None),
                    (None, None) => {}
                }
            }
            if changes.changed().await.is_err() {
                return Err(Failure::Storage("the fetch ended without a word".into()));
            }
        }
    }

    /// Waits until the blob is stored.
    pub(crate) async fn done(&self) -> Result<(), Failure> {
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(outcome) = &self.lock().outcome {
                return outcome.clone();
            }
            if changes.changed().await.is_err() {
                return Err(Failure::Storage("the fetch ended without a word".into()));
            }
        }
    }

    /// What somebody does next who has read up to `at`.
    fn step(&self, at: u64) -> Step {
        let state = self.lock();
        match &state.outcome {
            Some(Err(failure)) => return Step::Fail(failure.clone()),
            Some(Ok(())) if at == state.received && at > 0 => return Step::End,
            Some(Ok(())) | None => {}
        }
        let is_done = state.outcome.is_some();
        let index = state.window.iter().position(|(offset, _)| *offset == at);
        match index.and_then(|index| state.window.get(index).map(|(_, chunk)| (index, chunk))) {
            Some((index, chunk)) if is_done || index + 1 < state.window.len() => Step::Chunk(chunk.clone()),
            None if is_done => Step::FromStore,
            None => match state.window.iter().find(|(offset, _)| *offset > at) {
                Some((offset, _)) => Step::Behind(*offset),
                None => Step::Wait,
            },
            Some(_) => Step::Wait,
        }
    }
}

/// A reader of a blob on its way.
struct Reader {
    registry: Registry,
    repository: RepositoryPath,
    digest: Digest,
    fetch: Arc<Fetch>,
    changes: watch::Receiver<u64>,
    at: u64,
    stored: Option<ByteStream>,
}

/// The bytes of a blob on its way. It breaks off if they turn out to be others.
pub(crate) fn read(
    registry: &Registry,
    repository: &RepositoryPath,
    digest: Digest,
    fetch: &Arc<Fetch>,
) -> BoxStream<'static, io::Result<Bytes>> {
    let reader = Reader {
        registry: registry.clone(),
        repository: repository.clone(),
        digest,
        changes: fetch.changes.subscribe(),
        fetch: Arc::clone(fetch),
        at: 0,
        stored: None,
    };
    try_unfold(reader, async |mut reader| {
        let chunk = reader.next().await?;
        Ok(chunk.map(|chunk| (chunk, reader)))
    })
    .boxed()
}

impl Reader {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(stored) = &mut self.stored {
                return stored.next().await.transpose();
            }
            match self.fetch.step(self.at) {
                Step::Chunk(chunk) => {
                    self.at += chunk.len() as u64;
                    self.fetch.note(self.at);
                    return Ok(Some(chunk));
                }
                Step::End => return Ok(None),
                Step::Fail(failure) => return Err(io::Error::other(CacheError::from(failure))),
                Step::FromStore => {
                    self.stored = Some(open(&self.registry, &self.repository, self.digest, self.at).await?);
                    continue;
                }
                Step::Behind(end) => {
                    if let Some(bytes) = self.pending(end).await? {
                        self.at += bytes.len() as u64;
                        return Ok(Some(bytes));
                    }
                }
                Step::Wait => {}
            }
            // Not received yet, not written yet, or just about to be a blob.
            let changed = self.changes.changed().await;
            changed.map_err(|_| io::Error::other("the fetch ended without a word"))?;
        }
    }

    /// What is written of the bytes before `end`, if there is any. The last chunk is never before it.
    async fn pending(&mut self, end: u64) -> io::Result<Option<Bytes>> {
        let Some(session) = self.fetch.session.get() else {
            return Ok(None);
        };
        let read = self.registry.blobs().read_pending(*session, self.at).await;
        let bytes = read.map_err(io::Error::other)?.unwrap_or_default();
        let most = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let bytes = bytes.slice(..bytes.len().min(most));
        Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.fetch.leave(self.at);
    }
}

/// The rest of a blob, from where it is stored.
async fn open(registry: &Registry, repository: &RepositoryPath, digest: Digest, at: u64) -> io::Result<ByteStream> {
    let found = registry.catalog().blob(repository, &digest).await;
    let gone = || io::Error::other("the blob is gone");
    let record = found.map_err(io::Error::other)?.ok_or_else(gone)?;
    if let Some(inline) = record.inline {
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(inline.len());
        return Ok(futures::stream::iter([Ok(inline.slice(at..))]).boxed());
    }
    let stream = registry.blobs().read(&digest, at..record.size).await;
    stream.map_err(io::Error::other)?.ok_or_else(gone)
}

/// A fetch, as a task.
struct Work {
    registry: Registry,
    through: Arc<dyn PullThrough>,
    upstream: Arc<Upstream>,
    repository: RepositoryPath,
    digest: Digest,
    fetch: Arc<Fetch>,
}

impl Work {
    async fn run(self) {
        let began = Instant::now();
        let outcome = self.claimed().await;
        let metrics = self.registry.metrics();
        match &outcome {
            Ok(()) => {
                let (bytes, millis) = (self.fetch.lock().received, began.elapsed().as_millis());
                tracing::debug!(repository.name = %self.repository.name, blob.digest = %self.digest, blob.size_bytes = bytes,
                    duration_ms = u64::try_from(millis).unwrap_or(u64::MAX), "a blob came from upstream");
                metrics.cache_fetches.inc();
            }
            Err(Failure::Upstream(error)) => {
                metrics.cache_failures.inc();
                let about = About::Blob(self.repository.clone(), self.digest);
                self.registry.cache().troubles.note(&self.upstream, about, error);
                tracing::warn!(repository.name = %self.repository.name, blob.digest = %self.digest,
                    upstream = %self.upstream.remote.registry(), error = %error, "a blob did not come from upstream");
            }
            // Nobody misses it.
            Err(Failure::RepositoryUnknown(_)) => {
                tracing::info!(repository.name = %self.repository.name, blob.digest = %self.digest,
                    "a blob does not come from upstream: its repository is gone");
            }
            Err(failure) => {
                metrics.cache_failures.inc();
                tracing::warn!(repository.name = %self.repository.name, blob.digest = %self.digest, failure = ?failure,
                    "a blob that comes from upstream was not stored");
            }
        }
        self.end(outcome);
    }

    /// Tells everybody who waits, and lets the next one begin anew.
    fn end(&self, outcome: Result<(), Failure>) {
        // Whoever asks from here on looks into the catalog first.
        self.registry.cache().fetches.forget(&self.repository, self.digest);
        self.fetch.change(|state| state.outcome = Some(outcome));
    }

    async fn claimed(&self) -> Result<(), Failure> {
        let tenant = Tenant::Account(self.repository.account.clone());
        let places = &self.registry.cache().places;
        let place = places.take(&tenant, 1, self.registry.limits().max_wait).await;
        let Ok(_place) = place else {
            return Err(Failure::Busy);
        };
        let deadline = Instant::now() + MAX_ELSEWHERE;
        loop {
            if self.is_there().await? {
                return Ok(());
            }
            let claimed = self.through.claim_fetch(&self.repository, &self.digest).await;
            if claimed.map_err(storage)? {
                break;
            }
            // Another process fetches it.
            if Instant::now() >= deadline || self.registry.cache().stop.is_cancelled() {
                return Err(Failure::Busy);
            }
            sleep(LOOK).await;
        }
        // It may have come while the claim was made.
        let outcome = if self.is_there().await? {
            Ok(())
        } else {
            self.kept(self.transfer()).await
        };
        if let Err(error) = self.through.end_fetch(&self.repository, &self.digest).await {
            tracing::debug!(error = %error, "the right to fetch a blob ends by itself");
        }
        outcome
    }

    async fn is_there(&self) -> Result<bool, Failure> {
        let found = self.registry.catalog().blob(&self.repository, &self.digest).await;
        Ok(found.map_err(storage)?.is_some())
    }

    /// Prolongs the right to fetch while `work` goes on, which ends with the repository.
    async fn kept(&self, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
        let mut work = std::pin::pin!(work);
        let stop = self.registry.cache().stop.clone();
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = stop.cancelled() => return Err(Failure::Busy),
                () = sleep(RENEWAL) => {
                    let claimed = self.through.claim_fetch(&self.repository, &self.digest).await;
                    if let Err(CatalogError::RepositoryUnknown(repository)) = claimed {
                        return Err(Failure::RepositoryUnknown(repository));
                    }
                }
            }
        }
    }

    async fn transfer(&self) -> Result<(), Failure> {
        let (remote, name) = (&self.upstream.remote, &self.upstream.repository);
        let blob = remote.blob(name, &self.digest, 0).await.map_err(Failure::Upstream)?;
        let length = blob.length;
        self.fetch.change(|state| state.head = Some(Head { length }));
        // What the stream stopped with, which the store passes on as a broken body.
        let stopped = Arc::new(Mutex::new(None));
        let source = Source {
            upstream: Arc::clone(&self.upstream),
            digest: self.digest,
            fetch: Arc::clone(&self.fetch),
            bytes: blob.bytes,
            at: 0,
            length,
            resumes: 0,
            waited: Duration::ZERO,
            stopped: Arc::clone(&stopped),
            registry: self.registry.clone(),
        };
        let body: ByteStream = Box::pin(try_unfold(source, async |mut source| {
            let chunk = source.next().await?;
            Ok(chunk.map(|chunk| (chunk, source)))
        }));
        let taken = take_whole(
            &self.registry,
            &self.repository,
            &self.digest,
            body,
            length,
            &self.fetch.session,
        )
        .await;
        let error = stopped.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (taken, error) {
            (Ok(()), _) => Ok(()),
            (Err(_), Some(error)) => Err(Failure::Upstream(error)),
            (Err(error), None) => Err(failure(error)),
        }
    }
}

/// Nobody waits for a fetch that broke off: that it panicked, or that its task was dropped, is its end.
impl Drop for Work {
    fn drop(&mut self) {
        if self.fetch.lock().outcome.is_some() {
            return;
        }
        self.registry.metrics().cache_failures.inc();
        tracing::error!(repository.name = %self.repository.name, blob.digest = %self.digest,
            "the fetch of a blob from upstream broke off");
        self.end(Err(Failure::Storage("the fetch broke off".into())));
    }
}

/// The bytes from upstream, which go on after a connection broke.
struct Source {
    upstream: Arc<Upstream>,
    digest: Digest,
    fetch: Arc<Fetch>,
    bytes: BoxStream<'static, Result<Bytes, UpstreamError>>,
    at: u64,
    length: Option<u64>,
    resumes: u32,
    /// How long it has waited for readers.
    waited: Duration,
    stopped: Arc<Mutex<Option<UpstreamError>>>,
    registry: Registry,
}

impl Source {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.pace().await;
        loop {
            match self.bytes.next().await {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => {
                    self.at += chunk.len() as u64;
                    if self.length.is_some_and(|length| self.at > length) {
                        return Err(self.stop(UpstreamError::Invalid("more bytes than it said".into())));
                    }
                    self.fetch.push(&chunk);
                    self.registry.metrics().cache_bytes.inc_by(chunk.len() as u64);
                    return Ok(Some(chunk));
                }
                Some(Err(error)) => self.resume(error).await?,
                None => return Ok(None),
            }
        }
    }

    /// Waits for the foremost reader, while there is time for that.
    async fn pace(&mut self) {
        while self.fetch.is_ahead() {
            let most = Duration::from_micros(self.at.saturating_mul(1_000_000) / PACED_BYTES_PER_SECOND);
            let Some(left) = most.checked_sub(self.waited).filter(|left| !left.is_zero()) else {
                return;
            };
            let began = Instant::now();
            let _ = timeout(left, self.fetch.taken.notified()).await;
            self.waited += began.elapsed();
        }
    }

    /// Goes on where the connection broke, if the upstream can do that.
    async fn resume(&mut self, error: UpstreamError) -> io::Result<()> {
        let is_broken = matches!(error, UpstreamError::Unreachable(_));
        if !is_broken || self.at == 0 || self.resumes >= MAX_RESUMES {
            return Err(self.stop(error));
        }
        self.resumes += 1;
        let (remote, name) = (&self.upstream.remote, &self.upstream.repository);
        match remote.blob(name, &self.digest, self.at).await {
            Ok(blob) if blob.offset == self.at => {
                self.bytes = blob.bytes;
                Ok(())
            }
            Ok(_) | Err(_) => Err(self.stop(error)),
        }
    }

    fn stop(&self, error: UpstreamError) -> io::Error {
        let text = label(&error);
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        io::Error::other(text)
    }
}

fn storage(error: CatalogError) -> Failure {
    match error {
        CatalogError::RepositoryUnknown(repository) => Failure::RepositoryUnknown(repository),
        CatalogError::Busy => Failure::Busy,
        CatalogError::Full => Failure::Full,
        error @ (CatalogError::Conflict | CatalogError::Store(_)) => Failure::Storage(error.to_string()),
    }
}

fn failure(error: UploadError) -> Failure {
    match error {
        UploadError::DigestMismatch { .. } => {
            Failure::Upstream(UpstreamError::Invalid("the bytes do not have the digest".into()))
        }
        UploadError::TooLarge(_) | UploadError::Broken { .. } | UploadError::Stalled { .. } => {
            Failure::Upstream(UpstreamError::Invalid(error.to_string()))
        }
        UploadError::Full(_) => Failure::Full,
        UploadError::Busy(_) => Failure::Busy,
        UploadError::Catalog(error) => storage(error),
        UploadError::Unknown(_)
        | UploadError::OutOfOrder { .. }
        | UploadError::HashState(_)
        | UploadError::Store(_)
        | UploadError::Read(_) => Failure::Storage(error.to_string()),
    }
}
