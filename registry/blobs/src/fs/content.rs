// SPDX-License-Identifier: Apache-2.0
//! From the file of a blob to a stream.

use std::fs::File;
use std::io;
use std::mem;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::Stream;
use hythe_model::Digest;

use super::header::{HEADER_BYTES, Header, HeaderError, USED_BYTES};

/// The most bytes of one chunk.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;
/// How far the kernel is asked to read ahead, in bytes, when a reader comes to a part that is not in memory.
const READ_AHEAD_BYTES: u64 = 2 * 1024 * 1024;
/// The most buffers of [`CHUNK_BYTES`] that are kept for the next chunk: 4 MiB.
const MAX_IDLE_BUFFERS: usize = 16;

/// A blob that is open for reading, and whose header was checked.
#[derive(Debug)]
pub(super) struct BlobFile {
    file: File,
    size: u64,
    /// Cleared when the file system turns out not to know reads that do not wait.
    can_try: AtomicBool,
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
            file,
            size: header.size,
            can_try: AtomicBool::new(true),
        }))
    }

    /// The size of the content, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
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

/// The bytes of a range, which is cut at the end of the blob. What is in memory is read at once, the rest on
/// a thread that may wait for the disk.
pub(super) fn stream(
    file: Arc<BlobFile>,
    bytes: Range<u64>,
    buffers: Arc<Buffers>,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let end = bytes.end.min(file.size);
    futures::stream::try_unfold(bytes.start, move |at| {
        let (file, buffers) = (Arc::clone(&file), Arc::clone(&buffers));
        async move {
            if at >= end {
                return Ok(None);
            }
            let wanted = usize::try_from(end - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            let mut buffer = buffers.take(wanted);
            let mut read = file.try_read(buffer.space(), at)?;
            if read.is_none() {
                let result = tokio::task::spawn_blocking(move || {
                    let read = file.read(buffer.space(), at);
                    (buffer, read)
                });
                let (returned, count) = result.await.map_err(io::Error::other)?;
                buffer = returned;
                read = Some(count?);
            }
            let read = read.unwrap_or_default();
            if read == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the blob file has become shorter",
                ));
            }
            Ok(Some((buffer.into_bytes(read), at + read as u64)))
        }
    })
}

/// Buffers that have been used, for the next chunks: neither allocated nor cleared again.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    idle: Mutex<Vec<Box<[u8]>>>,
}

impl Buffers {
    fn take(self: &Arc<Self>, wanted: usize) -> Buffer {
        // A small read gets memory of its size, so that many small readers do not hold 256 KiB each.
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
