// SPDX-License-Identifier: Apache-2.0
//! Whether a client takes what it asked for, so that one that stops reading does not hold its place for good.
//!
//! Two looks are needed. [`Paced`] sees bytes that the system does not take, because the client does not read
//! its socket. A client of HTTP/2 can read its socket, answer every ping, and yet leave a stream without a
//! window: that shows in a [`WatchedBody`] that nobody asks for its next bytes.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What may follow the head of a request in the bytes that are read with it.
const READ_AHEAD_BYTES: usize = 16 * 1024;
/// After so many times the time that a client has, a body that nobody asks for its next bytes is given up,
/// even if others of the connection go on: a client may not buy the place of many with the speed of one.
const MAX_TIMES: u32 = 10;

/// How long a connection of HTTP/2 may be without a request, however many pings it answers: its place is one that others
/// may not get. Clients that share one connection make requests less often than those of HTTP/1 open new ones.
const HTTP2_IDLE: Duration = Duration::from_mins(10);

/// How long a client may keep a connection waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For its first request.
    pub(crate) first_request: Duration,
    /// For each request after that, from the end of the answer before; counted in steps of a quarter of `write`.
    pub(crate) next_request: Duration,
    /// For taking what was sent.
    pub(crate) write: Duration,
    /// The least that it must take while it is waited for, in bytes per second.
    pub(crate) min_bytes_per_second: u64,
    /// The most bytes that it may send before they make a request.
    pub(crate) max_header_bytes: usize,
}

impl Patience {
    fn min_bytes(&self) -> u64 {
        let millis = u64::try_from(self.write.as_millis()).unwrap_or(u64::MAX);
        (self.min_bytes_per_second.saturating_mul(millis) / 1000).max(1)
    }
}

/// Why a connection is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stall {
    /// It sent no request.
    #[error("the client sent no request")]
    NoRequest,
    /// It does not read an answer.
    #[error("the client does not read what it asked for")]
    Unread,
    /// It sends a head that does not end.
    #[error("the client sent more than the head of a request may have")]
    Endless,
}

/// What is known of one connection.
#[derive(Debug)]
pub(crate) struct Progress {
    started: Instant,
    /// When the last answer ended, in milliseconds since the start.
    idle_since: AtomicU64,
    written: AtomicU64,
    has_request: AtomicBool,
    is_http2: AtomicBool,
    /// Requests that are not answered to the end.
    open_requests: AtomicUsize,
    /// Requests that there were.
    requests: AtomicU64,
    bodies: Mutex<Bodies>,
}

#[derive(Debug, Default)]
struct Bodies {
    next: u64,
    /// Since when nobody has asked for more of a body; `None` while it has no bytes to give, which is not the
    /// client's doing.
    unread_since: HashMap<u64, Option<Instant>>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            idle_since: AtomicU64::new(0),
            written: AtomicU64::new(0),
            has_request: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            open_requests: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            bodies: Mutex::default(),
        }
    }
}

impl Progress {
    /// Notes a request, until its body is dropped.
    pub(crate) fn request(&self, is_http2: bool) {
        self.is_http2.store(is_http2, Ordering::Relaxed);
        self.has_request.store(true, Ordering::Relaxed);
        self.open_requests.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that the client chose HTTP/2, whose heads are bounded where they are put together.
    pub(crate) fn speaks_http2(&self) {
        self.is_http2.store(true, Ordering::Relaxed);
    }

    fn answered(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.idle_since.store(now, Ordering::Relaxed);
        self.open_requests.fetch_sub(1, Ordering::Relaxed);
    }

    fn is_idle_for_too_long(&self, patience: Patience) -> bool {
        if self.open_requests.load(Ordering::Relaxed) > 0 {
            return false;
        }
        let since = Duration::from_millis(self.idle_since.load(Ordering::Relaxed));
        let is_http2 = self.is_http2.load(Ordering::Relaxed);
        let limit = if is_http2 { HTTP2_IDLE } else { patience.next_request };
        self.started.elapsed().saturating_sub(since) >= limit
    }

    // Frames of HTTP/2 come between requests too; its heads are bounded where they are put together.
    fn expects_head(&self) -> bool {
        self.open_requests.load(Ordering::Relaxed) == 0 && !self.is_http2.load(Ordering::Relaxed)
    }

    /// Returns when the client has kept the connection waiting for too long.
    pub(crate) async fn stall(&self, patience: Patience) -> Stall {
        tokio::time::sleep(patience.first_request).await;
        if !self.has_request.load(Ordering::Relaxed) {
            return Stall::NoRequest;
        }
        // What had been written by then, at the last four looks: together they span the client's time.
        let mut before = [self.written.load(Ordering::Relaxed); 4];
        loop {
            tokio::time::sleep(patience.write / 4).await;
            if self.is_idle_for_too_long(patience) {
                return Stall::NoRequest;
            }
            let now = self.written.load(Ordering::Relaxed);
            let [first, second, third, fourth] = before;
            before = [second, third, fourth, now];
            let is_slow = now.saturating_sub(first) < patience.min_bytes();
            let unread = self.longest_unread();
            if (is_slow && unread >= patience.write) || unread >= patience.write * MAX_TIMES {
                return Stall::Unread;
            }
        }
    }

    fn longest_unread(&self) -> Duration {
        let bodies = self.bodies();
        let since = bodies.unread_since.values().flatten().min();
        since.map_or(Duration::ZERO, Instant::elapsed)
    }

    fn bodies(&self) -> MutexGuard<'_, Bodies> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of an answer, which notes when it is asked for bytes. Of HTTP/1 it only notes its end: such a client
/// has one body at a time, and does not take it exactly when the system does not take more.
#[derive(Debug)]
pub(crate) struct WatchedBody(Watched);

#[derive(Debug)]
enum Watched {
    Http1(Body, Arc<Progress>),
    Http2(Arc<Kept>),
}

impl WatchedBody {
    pub(crate) fn new(body: Body, progress: Arc<Progress>) -> Self {
        if !progress.is_http2.load(Ordering::Relaxed) {
            return Self(Watched::Http1(body, progress));
        }
        let mut bodies = progress.bodies();
        let id = bodies.next;
        bodies.next += 1;
        bodies.unread_since.insert(id, Some(Instant::now()));
        drop(bodies);
        let body = Mutex::new(body);
        Self(Watched::Http2(Arc::new(Kept { body, id, progress })))
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.get_mut().0 {
            Watched::Http1(body, _) => Pin::new(body).poll_frame(context),
            Watched::Http2(kept) => {
                let polled = Pin::new(&mut *kept.body()).poll_frame(context);
                let since = polled.is_ready().then(Instant::now);
                kept.progress.bodies().unread_since.insert(kept.id, since);
                polled.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(|part| kept.hold(part)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Watched::Http1(body, _) => body.is_end_stream(),
            Watched::Http2(kept) => kept.body().is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Watched::Http1(body, _) => body.size_hint(),
            Watched::Http2(kept) => kept.body().size_hint(),
        }
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        if let Watched::Http1(_, progress) = &self.0 {
            progress.answered();
        }
    }
}

/// A body of HTTP/2, which stays until the last of its bytes has left: a client that opens its window a little is handed a
/// whole frame, and the end of the body with it, long before it takes them. Whatever the body has reserved for its bytes
/// stays reserved meanwhile, and they count as unread.
#[derive(Debug)]
struct Kept {
    body: Mutex<Body>,
    id: u64,
    progress: Arc<Progress>,
}

impl Kept {
    fn body(&self) -> MutexGuard<'_, Body> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same bytes; with the last of them the body goes.
    fn hold(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Part {
            bytes,
            _kept: Arc::clone(self),
        })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.progress.answered();
        self.progress.bodies().unread_since.remove(&self.id);
    }
}

/// Bytes of a body that have been handed over.
struct Part {
    bytes: Bytes,
    _kept: Arc<Kept>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A connection that fails when the system takes too little for too long. Only the time spent waiting counts.
#[derive(Debug)]
pub(crate) struct Paced<I> {
    io: I,
    progress: Arc<Progress>,
    patience: Patience,
    waited: Duration,
    taken: u64,
    /// Bytes that came since there was a request, and make none yet.
    unheard: usize,
    /// How many requests there had been then.
    heard_requests: u64,
    waiting_since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<I> Paced<I> {
    pub(crate) fn new(io: I, progress: Arc<Progress>, patience: Patience) -> Self {
        Self {
            io,
            progress,
            patience,
            waited: Duration::ZERO,
            taken: 0,
            unheard: 0,
            heard_requests: 0,
            waiting_since: None,
            alarm: None,
        }
    }

    /// Ends a stretch of waiting; fails if too little was taken in it.
    fn end_stretch(&mut self) -> io::Result<()> {
        self.waited = Duration::ZERO;
        if std::mem::take(&mut self.taken) < self.patience.min_bytes() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, Stall::Unread));
        }
        Ok(())
    }

    fn pace(&mut self, context: &mut Context<'_>, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = wrote {
            let bytes = result? as u64;
            self.progress.written.fetch_add(bytes, Ordering::Relaxed);
            self.taken = self.taken.saturating_add(bytes);
            if let Some(since) = self.waiting_since.take() {
                self.waited += since.elapsed();
            }
            if self.waited >= self.patience.write {
                self.end_stretch()?;
            }
            return Poll::Ready(Ok(usize::try_from(bytes).unwrap_or(usize::MAX)));
        }
        loop {
            let since = *self.waiting_since.get_or_insert_with(Instant::now);
            let deadline = since + self.patience.write.saturating_sub(self.waited);
            let alarm = self
                .alarm
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if alarm.deadline() != deadline {
                alarm.as_mut().reset(deadline);
            }
            ready!(alarm.as_mut().poll(context));
            self.waiting_since = None;
            self.end_stretch()?;
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Paced<I> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Nobody may have read while the last request was answered.
        let requests = this.progress.requests.load(Ordering::Relaxed);
        if std::mem::replace(&mut this.heard_requests, requests) != requests {
            this.unheard = 0;
        }
        if this.progress.expects_head() {
            if this.unheard > this.patience.max_header_bytes.saturating_add(READ_AHEAD_BYTES) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, Stall::Endless)));
            }
        } else {
            this.unheard = 0;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(context, buffer))?;
        this.unheard = this.unheard.saturating_add(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Paced<I> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.io).poll_write(context, bytes);
        this.pace(context, wrote)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.io).poll_write_vectored(context, parts);
        this.pace(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const PATIENCE: Patience = Patience {
        first_request: Duration::from_secs(15),
        next_request: Duration::from_secs(30),
        write: Duration::from_mins(1),
        min_bytes_per_second: 256,
        max_header_bytes: 64 * 1024,
    };

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_stops_reading_ends_a_write() {
        let (ours, _theirs) = tokio::io::duplex(1024);
        let mut paced = Paced::new(ours, Arc::default(), PATIENCE);
        let started = Instant::now();
        let error = paced.write_all(&[0; 4096]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_is_waited_for_and_a_crawling_one_is_not() {
        // Bytes taken every ten seconds, and whether 100,000 bytes arrive.
        for (bytes, want) in [(4096, true), (1024, false)] {
            let (ours, mut theirs) = tokio::io::duplex(1024);
            let mut paced = Paced::new(ours, Arc::default(), PATIENCE);
            let read = async {
                let mut buffer = vec![0; bytes];
                loop {
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    theirs.read_exact(&mut buffer).await.ok();
                }
            };
            let bytes_to_write = vec![0; 100_000];
            let wrote = tokio::select! {
                wrote = paced.write_all(&bytes_to_write) => wrote.is_ok(),
                () = read => false,
            };
            assert_eq!(wrote, want, "{bytes}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_given_up() {
        let progress = Progress::default();
        let started = Instant::now();
        assert_eq!(progress.stall(PATIENCE).await, Stall::NoRequest);
        assert_eq!(started.elapsed().as_secs(), 15);
    }

    #[tokio::test]
    async fn a_head_that_does_not_end_is_cut_off() {
        let progress = Arc::new(Progress::default());
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let mut paced = Paced::new(ours, Arc::clone(&progress), PATIENCE);
        let mut buffer = [0; 4096];
        let send = async { while theirs.write_all(&[b'x'; 4096]).await.is_ok() {} };
        let receive = async {
            // The body of a request may be long.
            progress.request(false);
            for _ in 0..100 {
                paced.read_exact(&mut buffer).await.unwrap();
            }
            drop(WatchedBody::new(Body::empty(), Arc::clone(&progress)));
            // So may requests that are answered before anything else is read.
            for _ in 0..100 {
                paced.read_exact(&mut buffer).await.unwrap();
                progress.request(false);
                drop(WatchedBody::new(Body::empty(), Arc::clone(&progress)));
            }
            let mut received = 0;
            loop {
                match paced.read(&mut buffer).await {
                    Ok(bytes) => received += bytes,
                    Err(error) => return (error.kind(), received),
                }
            }
        };
        let (kind, received) = tokio::select! {
            () = send => unreachable!("nobody reads to the end"),
            end = receive => end,
        };
        assert_eq!(kind, io::ErrorKind::InvalidData);
        assert!((64 * 1024..100 * 1024).contains(&received), "{received}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_of_http_1_without_a_next_request_is_given_up() {
        let progress = Arc::new(Progress::default());
        progress.request(false);
        let body = WatchedBody::new(Body::empty(), Arc::clone(&progress));
        let hour = Duration::from_hours(1);
        assert!(tokio::time::timeout(hour, progress.stall(PATIENCE)).await.is_err());
        drop(body);
        let started = Instant::now();
        assert_eq!(progress.stall(PATIENCE).await, Stall::NoRequest);
        assert!((30..=60).contains(&started.elapsed().as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_of_http_2_without_requests_is_given_up_in_the_end() {
        let progress = Arc::new(Progress::default());
        progress.request(true);
        drop(WatchedBody::new(Body::empty(), Arc::clone(&progress)));
        let started = Instant::now();
        assert_eq!(progress.stall(PATIENCE).await, Stall::NoRequest);
        assert!((600..=630).contains(&started.elapsed().as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_nobody_asks_for_is_given_up() {
        let progress = Arc::new(Progress::default());
        progress.request(true);
        let _body = WatchedBody::new(Body::from("text"), Arc::clone(&progress));
        let started = Instant::now();
        assert_eq!(progress.stall(PATIENCE).await, Stall::Unread);
        assert!((60..=90).contains(&started.elapsed().as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_was_handed_over_stays_until_its_bytes_have_left() {
        let progress = Arc::new(Progress::default());
        progress.request(true);
        let reserved = Arc::new(());
        let held = Arc::clone(&reserved);
        let stream = futures::stream::iter(["a", "b"]).map(move |text| {
            assert!(Arc::strong_count(&held) > 0);
            io::Result::Ok(Bytes::from(text))
        });
        let body = WatchedBody::new(Body::from_stream(stream), Arc::clone(&progress));
        let parts: Vec<_> = Body::new(body).into_data_stream().collect().await;
        assert_eq!(parts.len(), 2);
        assert_eq!(Arc::strong_count(&reserved), 2);
        assert_eq!(progress.stall(PATIENCE).await, Stall::Unread);
        drop(parts);
        assert_eq!(Arc::strong_count(&reserved), 1);
        assert_eq!(progress.open_requests.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_and_a_body_that_wait_for_bytes_stay() {
        let progress = Arc::new(Progress::default());
        progress.request(true);
        let hour = Duration::from_hours(1);
        assert!(tokio::time::timeout(hour, progress.stall(PATIENCE)).await.is_err());
        let pending = Body::from_stream(futures::stream::pending::<io::Result<Bytes>>());
        let mut body = Body::new(WatchedBody::new(pending, Arc::clone(&progress))).into_data_stream();
        tokio::select! {
            _ = body.next() => unreachable!("it has no bytes"),
            stall = tokio::time::timeout(hour, progress.stall(PATIENCE)) => assert!(stall.is_err()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_stream_that_moves_does_not_hold_another_for_good() {
        let progress = Arc::new(Progress::default());
        progress.request(true);
        let _body = WatchedBody::new(Body::from("text"), Arc::clone(&progress));
        let moving = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                progress.written.fetch_add(10_000, Ordering::Relaxed);
            }
        };
        let started = Instant::now();
        let stall = tokio::select! {
            stall = progress.stall(PATIENCE) => stall,
            () = moving => unreachable!("it never ends"),
        };
        assert_eq!(stall, Stall::Unread);
        assert!((600..=630).contains(&started.elapsed().as_secs()));
    }
}
