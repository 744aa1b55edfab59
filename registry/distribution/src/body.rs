// SPDX-License-Identifier: Apache-2.0
//! Bodies with bounds: request bodies that may not stall, small bodies read whole, answers that are counted.

use std::io;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use http_body::{Frame, SizeHint};
use hythe_blobs::ByteStream;
use prometheus_client::metrics::counter::Counter;
use tokio::time::{Instant, Sleep};

use crate::Registry;
use crate::metrics::Observation;
use crate::registry::RequestPlace;
use crate::turns::Turn;

/// After a body that is too large, this many bytes more are read and thrown away, so that a client that
/// sends first and reads later gets to see the answer.
const MAX_DRAINED_BYTES: u64 = 16 * 1024 * 1024;

/// The client sent too little for too long.
#[derive(Debug, thiserror::Error)]
#[error("the body stalled: {} seconds brought {bytes} bytes", .waited.as_secs_f64())]
pub(crate) struct Stalled {
    bytes: u64,
    waited: Duration,
}

/// The client sent more than it said; with a `Content-Length` that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("the body is longer than its range")]
struct TooLong;

/// Whether a body ended because the client stalled.
pub(crate) fn is_stall(error: &io::Error) -> bool {
    error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<Stalled>())
        .is_some()
}

/// Why a body was not read whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the body is larger than {0} bytes")]
    TooLarge(u64),
    #[error("{0}")]
    Stalled(io::Error),
    #[error("the body broke off")]
    Broken(#[source] io::Error),
}

/// The body of a request as a stream that ends with an error if the client stalls, or sends less or more than `length` bytes.
pub(crate) fn incoming(registry: &Registry, body: Body, length: Option<u64>) -> ByteStream {
    Box::pin(Incoming {
        body: body.into_data_stream(),
        length,
        received: 0,
        timeout: registry.limits().body_stall_timeout,
        min_bytes: registry.limits().min_body_bytes_per_timeout(),
        waited: Duration::ZERO,
        bytes_while_waiting: 0,
        waiting_since: None,
        alarm: None,
        is_done: false,
        counter: registry.metrics().received_bytes.clone(),
    })
}

/// Reads a body of at most `max_bytes` bytes whole.
pub(crate) async fn read_all(
    registry: &Registry,
    body: Body,
    length: Option<u64>,
    max_bytes: u64,
) -> Result<Bytes, ReadError> {
    let mut stream = incoming(registry, body, length);
    if length.is_some_and(|length| length > max_bytes) {
        drain(stream).await;
        return Err(ReadError::TooLarge(max_bytes));
    }
    let mut buffer = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| {
            if is_stall(&error) {
                ReadError::Stalled(error)
            } else {
                ReadError::Broken(error)
            }
        })?;
        if (buffer.len() + chunk.len()) as u64 > max_bytes {
            drain(stream).await;
            return Err(ReadError::TooLarge(max_bytes));
        }
        buffer.extend_from_slice(&chunk);
    }
    Ok(buffer.freeze())
}

async fn drain(mut stream: ByteStream) {
    let mut drained: u64 = 0;
    while let Some(Ok(chunk)) = stream.next().await {
        drained += chunk.len() as u64;
        if drained > MAX_DRAINED_BYTES {
            return;
        }
    }
}

/// The data of a request body. Only the time spent waiting for the client counts as its delay, not the time
/// that this side takes to deal with what arrived.
struct Incoming {
    body: BodyDataStream,
    length: Option<u64>,
    received: u64,
    timeout: Duration,
    min_bytes: u64,
    waited: Duration,
    bytes_while_waiting: u64,
    waiting_since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
    is_done: bool,
    counter: Counter<u64, AtomicU64>,
}

impl Incoming {
    /// Ends a window of waiting; whether too little came in it.
    fn is_window_too_slow(&mut self) -> bool {
        self.waited = Duration::ZERO;
        std::mem::take(&mut self.bytes_while_waiting) < self.min_bytes
    }

    fn stalled(&mut self, bytes: u64) -> io::Error {
        self.is_done = true;
        io::Error::new(
            io::ErrorKind::TimedOut,
            Stalled {
                bytes,
                waited: self.timeout,
            },
        )
    }
}

impl Stream for Incoming {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if this.is_done {
                return Poll::Ready(None);
            }
            match this.body.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(chunk))) => {
                    let bytes = chunk.len() as u64;
                    this.received += bytes;
                    if this.length.is_some_and(|length| this.received > length) {
                        this.is_done = true;
                        return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::InvalidData, TooLong))));
                    }
                    this.counter.inc_by(bytes);
                    this.bytes_while_waiting += bytes;
                    if let Some(since) = this.waiting_since.take() {
                        this.waited += since.elapsed();
                    }
                    let window_bytes = this.bytes_while_waiting;
                    if this.waited >= this.timeout && this.is_window_too_slow() {
                        return Poll::Ready(Some(Err(this.stalled(window_bytes))));
                    }
                    if !chunk.is_empty() {
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    this.is_done = true;
                    return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::ConnectionAborted, error))));
                }
                Poll::Ready(None) => {
                    this.is_done = true;
                    let is_short = this.length.is_some_and(|length| this.received < length);
                    return Poll::Ready(is_short.then(|| Err(io::ErrorKind::UnexpectedEof.into())));
                }
                Poll::Pending => {
                    let since = *this.waiting_since.get_or_insert_with(Instant::now);
                    let deadline = since + this.timeout.saturating_sub(this.waited);
                    let alarm = this
                        .alarm
                        .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                    if alarm.deadline() != deadline {
                        alarm.as_mut().reset(deadline);
                    }
                    if alarm.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    this.waiting_since = None;
                    let window_bytes = this.bytes_while_waiting;
                    if this.is_window_too_slow() {
                        return Poll::Ready(Some(Err(this.stalled(window_bytes))));
                    }
                }
            }
        }
    }
}

/// What a request takes until its answer is sent or given up.
#[derive(Debug, Default)]
pub(crate) struct Place {
    pub(crate) request: Option<RequestPlace>,
    pub(crate) tenant: Option<Turn>,
    pub(crate) bytes: Option<Turn>,
}

/// The body of an answer: counts its bytes, hands them out in bounded frames, and keeps the request's place until
/// it is sent or given up.
pub(crate) struct Outgoing {
    body: Body,
    observation: Observation,
    frame_bytes: usize,
    /// What is left of a chunk that was larger than a frame may be.
    rest: Bytes,
    _place: Place,
}

impl Outgoing {
    pub(crate) fn new(body: Body, observation: Observation, place: Place, frame_bytes: usize) -> Self {
        Self {
            body,
            observation,
            frame_bytes,
            rest: Bytes::new(),
            _place: place,
        }
    }

    fn next_part(&mut self, mut chunk: Bytes) -> Frame<Bytes> {
        if chunk.len() > self.frame_bytes {
            self.rest = chunk.split_off(self.frame_bytes);
        }
        self.observation.sent(chunk.len());
        Frame::data(chunk)
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if !this.rest.is_empty() {
            let rest = std::mem::take(&mut this.rest);
            return Poll::Ready(Some(Ok(this.next_part(rest))));
        }
        let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let frame = frame.map(|frame| match frame.into_data() {
            Ok(chunk) => this.next_part(chunk),
            Err(other) => other,
        });
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
