// SPDX-License-Identifier: Apache-2.0
//! From a body into the file of an upload.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::disk::{Disk, is_full};
use super::header::HEADER_BYTES;
use super::uploads::Claim;
use crate::{AppendError, Appended, ByteStream, Progress};

/// After how many bytes of one body hashing and writing move to a thread of their own, beside receiving.
/// For smaller bodies the move costs more than it gains.
const PIPELINE_AFTER_BYTES: u64 = 1024 * 1024;
/// The most bytes that wait for that thread.
const MAX_WAITING_BYTES: u32 = 8 * 1024 * 1024;
/// The most chunks that wait for that thread: a bound on what many tiny chunks cost beside their bytes.
const MAX_WAITING_CHUNKS: usize = 1024;

/// An upload that is open for writing. Whoever holds it holds the claim on the upload.
#[derive(Debug)]
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    file: File,
    progress: Progress,
    claim: Claim,
}

/// What an append achieved, and the claim, so that its holder can note that before it lets go.
type Received = (Appended, Option<Claim>);

impl Writer {
    /// Opens an upload that has come as far as `from`; creates it if that is nowhere. What is behind is cut off.
    pub(super) fn open(disk: Arc<dyn Disk>, path: &Path, from: &Progress, claim: Claim) -> io::Result<Self> {
        let is_start = from.bytes == 0;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(is_start)
            .mode(0o600)
            .open(path)?;
        let end = from
            .bytes
            .checked_add(HEADER_BYTES)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        let length = file.metadata()?.len();
        if length < end && !is_start {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the upload has lost bytes"));
        }
        if length != end {
            // The place of the header stays a hole until the blob is published.
            file.set_len(end)?;
        }
        Ok(Self {
            disk,
            file,
            progress: from.clone(),
            claim,
        })
    }

    fn write(&mut self, chunk: &[u8]) -> Result<(), AppendError> {
        let written = self.disk.write(&self.file, chunk, HEADER_BYTES + self.progress.bytes);
        written.map_err(|error| {
            if is_full(&error) {
                AppendError::Full(error)
            } else {
                AppendError::Store(error)
            }
        })?;
        self.progress.hasher.update(chunk);
        self.progress.bytes += chunk.len() as u64;
        Ok(())
    }

    fn stop(self, failure: Option<AppendError>) -> Received {
        (
            Appended {
                progress: self.progress,
                failure,
            },
            Some(self.claim),
        )
    }

    /// Writes a body to its end, to `max_bytes` or to the first failure. A large one gets a thread, as long
    /// as `threads` has a permit: with more uploads than cores, a thread for each gains nothing.
    pub(super) async fn receive(mut self, mut body: ByteStream, max_bytes: u64, threads: &Arc<Semaphore>) -> Received {
        let start = self.progress.bytes;
        loop {
            let failure = match next_chunk(&mut body, self.progress.bytes, max_bytes).await {
                Ok(Some(chunk)) => self.write(&chunk).err(),
                Ok(None) => return self.stop(None),
                Err(failure) => Some(failure),
            };
            if failure.is_some() {
                return self.stop(failure);
            }
            if self.progress.bytes - start >= PIPELINE_AFTER_BYTES
                && let Ok(permit) = Arc::clone(threads).try_acquire_owned()
            {
                return self.receive_on_thread(body, max_bytes, permit).await;
            }
        }
    }

    /// As above, with a thread that hashes and writes. When this future is dropped the thread writes what
    /// waits, which is bounded, and ends; only then is the claim released.
    async fn receive_on_thread(self, mut body: ByteStream, max_bytes: u64, permit: OwnedSemaphorePermit) -> Received {
        let before = self.progress.clone();
        let mut received = before.bytes;
        let room = Arc::new(Semaphore::new(MAX_WAITING_BYTES as usize));
        let (sender, chunks) = mpsc::channel(MAX_WAITING_CHUNKS);
        let thread = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            self.drain(chunks)
        });
        let body_failure = loop {
            let chunk = match next_chunk(&mut body, received, max_bytes).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break None,
                Err(failure) => break Some(failure),
            };
            received += chunk.len() as u64;
            let share = u32::try_from(chunk.len()).unwrap_or(u32::MAX).min(MAX_WAITING_BYTES);
            // Neither fails but when the thread has stopped, and then it says why.
            let Ok(share) = Arc::clone(&room).acquire_many_owned(share).await else {
                break None;
            };
            if sender.send((chunk, share)).await.is_err() {
                break None;
            }
        };
        drop(sender);
        match thread.await {
            Ok((appended, claim)) => (
                Appended {
                    failure: appended.failure.or(body_failure),
                    ..appended
                },
                claim,
            ),
            Err(error) => {
                let failure = Some(AppendError::Store(io::Error::other(error)));
                (
                    Appended {
                        progress: before,
                        failure,
                    },
                    None,
                )
            }
        }
    }

    fn drain(mut self, mut chunks: mpsc::Receiver<(Bytes, OwnedSemaphorePermit)>) -> Received {
        let mut failure = None;
        while failure.is_none()
            && let Some((chunk, _share)) = chunks.blocking_recv()
        {
            failure = self.write(&chunk).err();
        }
        self.stop(failure)
    }
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
