// SPDX-License-Identifier: Apache-2.0
//! From a body into the file of an upload.
//!
//! Bytes are gathered in buffers, and a blocking thread writes a full one while the next fills. Large writes go
//! past the page cache: copying into fresh pages costs several times what hashing costs, and a large push would
//! push out of the cache what others pull.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use hythe_model::fail_point;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::buffer::{BLOCK_BYTES, WriteBuffer, WriteBuffers};
use super::disk::{Disk, is_full};
use super::header::HEADER_BYTES;
use super::uploads::Claim;
use crate::{AppendError, Appended, ByteStream, Hasher, Progress};

/// Up to so many bytes are written at once, by whoever received them, into the page cache: less than a thread or
/// a wait for the disk would cost.
const MAX_INLINE_BYTES: usize = 64 * 1024;
/// After how many bytes of one body hashing moves to a thread of its own. For smaller bodies the move costs more
/// than it gains.
const HASH_ASIDE_AFTER_BYTES: u64 = 1024 * 1024;
/// How many bytes may be in the page cache alone before the kernel is asked to write them, so that the final
/// `fdatasync` finds little to do. Only where writing past the page cache is not possible.
const WRITE_BACK_BYTES: u64 = 8 * 1024 * 1024;

/// What appending needs of its store.
#[derive(Clone, Debug)]
pub(super) struct Means {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) buffers: Arc<WriteBuffers>,
    /// One permit for each upload that may have a thread for its hash: with more uploads than cores, a thread for
    /// each gains nothing.
    pub(super) hashers: Arc<Semaphore>,
    /// Cleared when the file system turns out not to know writes past the page cache.
    pub(super) can_bypass: Arc<AtomicBool>,
}

/// An upload that is open for writing. Whoever holds it holds the claim on the upload.
#[derive(Debug)]
pub(super) struct Writer {
    means: Means,
    file: Arc<File>,
    progress: Progress,
    /// Up to where the kernel was asked to write what is in the page cache.
    written_back: u64,
    is_tainted: bool,
    claim: Claim,
}

/// How an append ended. The claim goes along, so that its holder can note that before it lets go.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) appended: Appended,
    /// The file and the claim, unless they were lost with the thread that had them.
    pub(super) rest: Option<(Arc<File>, Claim)>,
    /// The kernel could not write bytes that it had taken before: the file cannot be trusted any more.
    pub(super) is_tainted: bool,
}

/// A buffer that is being written, and hashed if that was not done before.
struct Pending {
    writing: Writing,
    hashing: Hashing,
}

enum Writing {
    Done(Box<(Writer, Result<(), AppendError>)>),
    Aside(JoinHandle<(Writer, Result<(), AppendError>)>),
}

enum Hashing {
    Done(Box<Hasher>),
    Aside(JoinHandle<Hasher>),
}

impl Writer {
    /// Opens an upload that has come as far as `from`; creates it if that is nowhere. What is behind is cut off.
    /// `known` is its file, if this process has it open.
    pub(super) fn open(
        means: Means,
        path: &Path,
        from: &Progress,
        known: Option<Arc<File>>,
        claim: Claim,
    ) -> io::Result<Self> {
        let is_start = from.bytes == 0;
        let file = match known {
            Some(file) => file,
            None => Arc::new(
                OpenOptions::new()
                    .read(true)
                    .write(true)
                    .create(is_start)
                    .mode(0o600)
                    .open(path)?,
            ),
        };
        let end = from
            .bytes
            .checked_add(HEADER_BYTES)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        let length = file.metadata()?.len();
        if length < end && !is_start {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the upload has lost bytes"));
        }
        if length > end {
            file.set_len(end)?;
        }
        claim.note_written(from.bytes);
        fail_point("blob.append.opened");
        Ok(Self {
            means,
            file,
            progress: from.clone(),
            written_back: from.bytes,
            is_tainted: false,
            claim,
        })
    }

    /// The file.
    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Writes what comes next. The place of the header stays a hole until the blob is published.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let offset = HEADER_BYTES + self.progress.bytes;
        let is_aligned = offset.is_multiple_of(BLOCK_BYTES as u64);
        let can_bypass = is_aligned && bytes.len() > MAX_INLINE_BYTES && self.means.can_bypass.load(Ordering::Relaxed);
        let blocks = if can_bypass {
            bytes.len() - bytes.len() % BLOCK_BYTES
        } else {
            0
        };
        let (mut blocks, mut rest) = bytes.split_at_checked(blocks).unwrap_or((&[], bytes));
        if !blocks.is_empty() {
            match self.means.disk.write_past_cache(&self.file, blocks, offset) {
                Ok(()) => {}
                Err(error) if is_not_possible(&error) => {
                    self.means.can_bypass.store(false, Ordering::Relaxed);
                    (blocks, rest) = (&[], bytes);
                }
                Err(error) => return Err(error),
            }
        }
        if !rest.is_empty() {
            self.means.disk.write(&self.file, rest, offset + blocks.len() as u64)?;
        }
        fail_point("blob.append.written");
        let end = self.progress.bytes + bytes.len() as u64;
        if !blocks.is_empty() {
            self.written_back = end;
        } else if end - self.written_back >= WRITE_BACK_BYTES {
            let from = HEADER_BYTES + self.written_back;
            let started = self
                .means
                .disk
                .start_write_back(&self.file, from, end - self.written_back);
            self.is_tainted = started.is_err();
            started?;
            self.written_back = end;
        }
        self.progress.bytes = end;
        self.claim.note_written(end);
        Ok(())
    }

    fn write_all(mut self, bytes: &[u8]) -> (Self, Result<(), AppendError>) {
        let result = self.write(bytes).map_err(|error| {
            if is_full(&error) {
                AppendError::Full(error)
            } else {
                AppendError::Store(error)
            }
        });
        (self, result)
    }

    /// Writes a body to its end, to `max_bytes` or to the first failure.
    ///
    /// When this future is dropped, a buffer that is being written is written to its end, and only then the claim
    /// is released.
    pub(super) async fn receive(self, mut body: ByteStream, max_bytes: u64) -> Received {
        let start = self.progress.clone();
        let mut pump = Pump {
            received: start.bytes,
            hasher: start.hasher.clone(),
            aside: None,
            idle: Some(self),
            pending: None,
        };
        let failure = pump.run(&mut body, start.bytes, max_bytes).await;
        let Some(writer) = pump.idle else {
            let lost = || AppendError::Store(io::Error::other("the writer was lost"));
            let failure = Some(failure.err().unwrap_or_else(lost));
            return Received {
                appended: Appended {
                    progress: start,
                    failure,
                },
                rest: None,
                is_tainted: false,
            };
        };
        Received {
            appended: Appended {
                progress: writer.progress,
                failure: failure.err(),
            },
            rest: Some((writer.file, writer.claim)),
            is_tainted: writer.is_tainted,
        }
    }
}

/// Moves a body through two buffers.
struct Pump {
    /// Counts what has arrived; what is written is behind.
    received: u64,
    /// The hash over what was filled into buffers, unless that is done aside: then over what was settled.
    hasher: Hasher,
    aside: Option<OwnedSemaphorePermit>,
    /// The writer, unless it is away with a buffer.
    idle: Option<Writer>,
    pending: Option<Pending>,
}

impl Pump {
    /// Whatever happens, nothing is pending afterwards.
    async fn run(&mut self, body: &mut ByteStream, start: u64, max_bytes: u64) -> Result<(), AppendError> {
        let Some(means) = self.idle.as_ref().map(|writer| writer.means.clone()) else {
            return Ok(());
        };
        let mut filling: Option<WriteBuffer> = None;
        let ended = loop {
            let chunk = match next_chunk(body, self.received, max_bytes).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break Ok(()),
                Err(failure) => break Err(failure),
            };
            let mut left: &[u8] = &chunk;
            while !left.is_empty() {
                let buffer = filling.get_or_insert_with(|| means.buffers.take(room(self.received)));
                let (taken, rest) = left.split_at(buffer.fill(left));
                left = rest;
                self.received += taken.len() as u64;
                if self.aside.is_none() {
                    self.hasher.update(taken);
                }
                if let Some(full) = filling.take_if(|buffer| buffer.is_full()) {
                    self.settle().await?;
                    self.flush(full);
                    if self.aside.is_none() && self.received - start >= HASH_ASIDE_AFTER_BYTES {
                        self.aside = Arc::clone(&means.hashers).try_acquire_owned().ok();
                    }
                }
            }
        };
        self.settle().await?;
        if let Some(last) = filling {
            self.flush(last);
            self.settle().await?;
        }
        ended
    }

    /// Sends a buffer on its way; few bytes are written at once.
    fn flush(&mut self, buffer: WriteBuffer) {
        let Some(writer) = self.idle.take() else { return };
        let is_small = buffer.bytes().len() <= MAX_INLINE_BYTES;
        let buffer = Arc::new(buffer);
        let hashing = if self.aside.is_some() {
            let (mut hasher, buffer) = (self.hasher.clone(), Arc::clone(&buffer));
            Hashing::Aside(spawn_blocking(move || {
                hasher.update(buffer.bytes());
                hasher
            }))
        } else {
            Hashing::Done(Box::new(self.hasher.clone()))
        };
        let writing = if is_small && matches!(hashing, Hashing::Done(_)) {
            let done = writer.write_all(buffer.bytes());
            Writing::Done(Box::new(done))
        } else {
            Writing::Aside(spawn_blocking(move || writer.write_all(buffer.bytes())))
        };
        self.pending = Some(Pending { writing, hashing });
    }

    /// Waits until the buffer that is on its way is written and hashed.
    async fn settle(&mut self) -> Result<(), AppendError> {
        let Some(Pending { writing, hashing }) = self.pending.take() else {
            return Ok(());
        };
        let lost = |error: JoinError| AppendError::Store(io::Error::other(error));
        let (mut writer, result) = match writing {
            Writing::Done(done) => *done,
            Writing::Aside(writing) => writing.await.map_err(lost)?,
        };
        let hasher = match hashing {
            Hashing::Done(hasher) => *hasher,
            Hashing::Aside(hashing) => {
                let hasher = hashing.await.map_err(lost)?;
                self.hasher = hasher.clone();
                hasher
            }
        };
        if result.is_ok() {
            writer.progress.hasher = hasher;
        }
        self.idle = Some(writer);
        result
    }
}

/// How many bytes may come before the next block begins, or as many as a buffer has.
fn room(received: u64) -> usize {
    match usize::try_from(received % BLOCK_BYTES as u64) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(beyond) => BLOCK_BYTES - beyond,
    }
}

/// Whether the file system does not know writes past the page cache, or not in this form.
fn is_not_possible(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

/// The next chunk that is not empty and fits; `None` at the end.
async fn next_chunk(body: &mut ByteStream, received: u64, max_bytes: u64) -> Result<Option<Bytes>, AppendError> {
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(AppendError::Body)?;
        if received
            .checked_add(chunk.len() as u64)
            .is_none_or(|total| total > max_bytes)
        {
            return Err(AppendError::TooLarge(max_bytes));
        }
        if !chunk.is_empty() {
            return Ok(Some(chunk));
        }
    }
    Ok(None)
}
