// SPDX-License-Identifier: Apache-2.0
//! From the file of a blob to a stream.

use std::fs::File;
use std::io;
use std::mem;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use futures::Stream;
use hythe_model::Digest;

use super::header::{HEADER_BYTES, Header, HeaderError, USED_BYTES};
use super::mapping::Mapping;

/// The most bytes of one chunk that is copied. A connection over HTTP/1 queues as much, so that two to three of these wait
/// for each slow reader: what waits for all of them has to stay in the processor's cache, or is fetched from memory again.
pub const CHUNK_BYTES: usize = 128 * 1024;
/// How far the kernel is asked to read ahead, in bytes, when a reader comes to a part that is not in memory.
/// Half-way through, it is asked for as much again.
const READ_AHEAD_BYTES: u64 = 4 * 1024 * 1024;
/// The most bytes of one chunk that the kernel sends from the file.
const MAPPED_CHUNK_BYTES: u64 = 1024 * 1024;
/// The least bytes for which that is worth it.
const MIN_MAPPED_BYTES: u64 = 256 * 1024;
/// In what steps it is found out whether a chunk is in memory, in bytes: what the kernel reads at once is about this.
const PROBE_STEP_BYTES: usize = 128 * 1024;
/// The most buffers of [`CHUNK_BYTES`] that are kept for the next chunk: 4 MiB.
const MAX_IDLE_BUFFERS: usize = 16;

/// A blob that is open for reading, and whose header was checked.
#[derive(Debug)]
pub(super) struct BlobFile {
    file: Arc<File>,
    size: u64,
    /// Cleared when the file system turns out not to know reads that do not wait.
    can_try: AtomicBool,
    /// Made for the first stream that the kernel is to send; `None` if the system refused.
    mapping: OnceLock<Option<Mapping>>,
}

impl BlobFile {
    /// Opens the file of `digest`; `None` if there is none.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if the file is not the whole blob, [`io::ErrorKind::Unsupported`] if it
    /// is one that another version wrote.
    pub(super) fn open(path: &Path, digest: &Digest) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut start = [0; USED_BYTES];
        file.read_exact_at(&mut start, 0).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => HeaderError::Damaged.into(),
            _ => error,
        })?;
        let header = Header::decode(&start)?;
        if header.digest != *digest {
            return Err(HeaderError::OtherBlob(header.digest).into());
        }
        let actual = file.metadata()?.len().saturating_sub(HEADER_BYTES);
        if actual != header.size {
            return Err(HeaderError::Size {
                expected: header.size,
                actual,
            }
            .into());
        }
        Ok(Some(Self {
            file: Arc::new(file),
            size: header.size,
            can_try: AtomicBool::new(true),
            mapping: OnceLock::new(),
        }))
    }

    /// The size of the content, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Reads from the file itself, header and all, and waits for the disk.
    pub(super) fn read_raw(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// Reads what is in memory already; `None` if that is nothing, or cannot be told.
    fn try_read(&self, buffer: &mut [u8], at: u64) -> io::Result<Option<usize>> {
        if !self.can_try.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match read_without_waiting(&self.file, buffer, HEADER_BYTES + at) {
            Ok(read) => Ok(Some(read)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput => {
                    self.can_try.store(false, Ordering::Relaxed);
                    Ok(None)
                }
                _ => Err(error),
            },
        }
    }

    /// Reads, and waits for the disk.
    fn read(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        read_ahead(&self.file, HEADER_BYTES + at);
        loop {
            match self.file.read_at(buffer, HEADER_BYTES + at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Whether these bytes are in memory, as far as a few looks tell.
    fn is_in_memory(&self, at: u64, length: u64) -> bool {
        let mut probe = [0; 1];
        (at..at + length)
            .step_by(PROBE_STEP_BYTES)
            .chain([at + length - 1])
            .all(|at| matches!(self.try_read(&mut probe, at), Ok(Some(1))))
    }

    fn mapping(&self) -> Option<&Mapping> {
        let map = || Mapping::new(&self.file, HEADER_BYTES + self.size).ok();
        self.mapping.get_or_init(map).as_ref()
    }
}

/// A part of the mapping of a blob, which it keeps open.
struct MappedChunk {
    file: Arc<BlobFile>,
    at: u64,
    length: usize,
}

impl MappedChunk {
    /// The next chunk of a stream, if it is better sent by the kernel than copied: if it is not small and does not wait
    /// for the disk.
    fn next(file: &Arc<BlobFile>, at: u64, end: u64) -> Option<Bytes> {
        let length = (end - at).min(MAPPED_CHUNK_BYTES);
        if length < MIN_MAPPED_BYTES || !file.is_in_memory(at, length) {
            return None;
        }
        let length = usize::try_from(length).ok()?;
        file.mapping()?.slice(HEADER_BYTES + at, length)?;
        let file = Arc::clone(file);
        Some(Bytes::from_owner(Self { file, at, length }))
    }
}

impl AsRef<[u8]> for MappedChunk {
    fn as_ref(&self) -> &[u8] {
        let mapping = self.file.mapping();
        let slice = mapping.and_then(|mapping| mapping.slice(HEADER_BYTES + self.at, self.length));
        slice.unwrap_or_default() // was there when this was made
    }
}

#[cfg(target_os = "linux")]
fn read_without_waiting(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    preadv2(file, &mut [io::IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT).map_err(|error| match error {
        Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL => io::ErrorKind::Unsupported.into(),
        error => error.into(),
    })
}

#[cfg(not(target_os = "linux"))]
fn read_without_waiting(_file: &File, _buffer: &mut [u8], _offset: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn read_ahead(file: &File, offset: u64) {
    // A hint: many readers share the descriptor, so the kernel cannot tell that each of them is sequential.
    let length = std::num::NonZeroU64::new(READ_AHEAD_BYTES);
    let _ = rustix::fs::fadvise(file, offset, length, rustix::fs::Advice::WillNeed);
}

#[cfg(not(target_os = "linux"))]
fn read_ahead(_file: &File, _offset: u64) {}

/// How the chunks of a stream are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// In memory of this process.
    Copied,
    /// As parts of the file where that is better, see [`super::mapping::file_part`].
    MayBeMapped,
}

/// The bytes of a range, which is cut at the end of the blob. What is in memory is read at once, the rest on
/// a thread that may wait for the disk.
pub(super) fn stream(
    file: Arc<BlobFile>,
    bytes: Range<u64>,
    buffers: Arc<Buffers>,
    form: Form,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let end = bytes.end.min(file.size);
    let reading = Reading {
        file,
        buffers,
        form,
        at: bytes.start,
        end,
        ahead: 0..0,
    };
    futures::stream::try_unfold(reading, Reading::next)
}

/// How far a stream has come.
struct Reading {
    file: Arc<BlobFile>,
    buffers: Arc<Buffers>,
    form: Form,
    at: u64,
    end: u64,
    /// Behind the start of this, the kernel is asked for more than up to its end. Empty until something had to be waited for.
    ahead: Range<u64>,
}

impl Reading {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let file = &self.file;
        let at = self.at;
        if self.form == Form::MayBeMapped
            && let Some(bytes) = MappedChunk::next(file, at, self.end)
        {
            self.at += bytes.len() as u64;
            return Ok(Some((bytes, self)));
        }
        let left = usize::try_from(self.end - at).unwrap_or(CHUNK_BYTES);
        let mut buffer = self.buffers.take(left.min(CHUNK_BYTES));
        let wants_more = !self.ahead.is_empty() && at >= self.ahead.start && self.ahead.end < self.end;
        let mut read = if wants_more {
            None
        } else {
            file.try_read(buffer.space(), at)?
        };
        if read.is_none() {
            let file = Arc::clone(file);
            let result = tokio::task::spawn_blocking(move || {
                let read = file.read(buffer.space(), at);
                (buffer, read)
            });
            let (returned, count) = result.await.map_err(io::Error::other)?;
            buffer = returned;
            read = Some(count?);
            self.ahead = at + READ_AHEAD_BYTES / 2..at + READ_AHEAD_BYTES;
        }
        let read = read.unwrap_or_default();
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the blob file has become shorter",
            ));
        }
        self.at += read as u64;
        Ok(Some((buffer.into_bytes(read), self)))
    }
}

/// Buffers that have been used, for the next chunks: neither allocated nor cleared again.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    idle: Mutex<Vec<Box<[u8]>>>,
}

impl Buffers {
    fn take(self: &Arc<Self>, wanted: usize) -> Buffer {
        // A small read gets memory of its size, so that many small readers do not hold 128 KiB each.
        if wanted < CHUNK_BYTES / 2 {
            return Buffer {
                memory: vec![0; wanted].into(),
                length: wanted,
                home: None,
            };
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let memory = idle.unwrap_or_else(|| vec![0; CHUNK_BYTES].into());
        Buffer {
            memory,
            length: wanted,
            home: Some(Arc::clone(self)),
        }
    }
}

/// Memory for one chunk, which returns to its home when it is dropped.
struct Buffer {
    memory: Box<[u8]>,
    // INVARIANT: no byte behind this is shown; it may be of another blob.
    length: usize,
    home: Option<Arc<Buffers>>,
}

impl Buffer {
    fn space(&mut self) -> &mut [u8] {
        self.memory.get_mut(..self.length).unwrap_or_default()
    }

    fn into_bytes(mut self, length: usize) -> Bytes {
        self.length = length.min(self.length);
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.memory.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            let mut idle = home.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < MAX_IDLE_BUFFERS {
                idle.push(mem::take(&mut self.memory));
            }
        }
    }
}
