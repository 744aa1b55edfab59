// SPDX-License-Identifier: Apache-2.0
//! Parts of files as addresses, so that whoever writes a body to a socket can let the kernel send the file.
//!
//! A blob's file is mapped for reading, and chunks of its body are slices of the mapping that nobody is meant to
//! read: the writer of the connection asks [`file_part`] which part of which file a slice is, and calls
//! `sendfile` with that. If somebody does read the slice, the bytes are right; they are only not there yet, and
//! a disk that fails then ends the process. So only connections that send files ask for such chunks.
//!
//! This and `sys.rs` are the only modules with `unsafe` code.

#![allow(unsafe_code, reason = "memory maps; each use says why it is sound")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The mappings that there are, by their first address.
static MAPPED: RwLock<BTreeMap<usize, Mapped>> = RwLock::new(BTreeMap::new());
/// How many there are, to be looked at without a lock.
static MAPPED_COUNT: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
struct Mapped {
    length: usize,
    file: Arc<File>,
}

/// A file, mapped for reading as a whole.
#[derive(Debug)]
pub(super) struct Mapping {
    // INVARIANT: `start..start + length` is mapped, readable and never written until this is dropped.
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory is only ever read, from any thread, and belongs to no thread.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&Mapping` gives shared slices only.
unsafe impl Sync for Mapping {}

/// Where the bytes of a slice are on disk.
#[derive(Debug)]
pub struct FilePart {
    /// The file.
    pub file: Arc<File>,
    /// The offset of the first byte, in bytes.
    pub offset: u64,
}

impl Mapping {
    /// Maps the first `length` bytes of `file`, which must be a blob's file: such files are unlinked, and never
    /// written or cut again.
    pub(super) fn new(file: &Arc<File>, length: u64) -> io::Result<Self> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // SAFETY: a new mapping at an address that the kernel chooses, so that no other memory is touched. It is
        // private and read-only.
        let start = unsafe { mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, file, 0) }?;
        let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let mapped = Mapped {
            length,
            file: Arc::clone(file),
        };
        let mut all = MAPPED.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(start.addr().get(), mapped);
        MAPPED_COUNT.store(all.len(), Ordering::Release);
        Ok(Self { start, length })
    }

    /// `length` bytes from `offset` on; `None` if the file has fewer. To be sent, not to be read.
    pub(super) fn slice(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let offset = usize::try_from(offset).ok()?;
        if offset.checked_add(length)? > self.length {
            return None;
        }
        // SAFETY: the range lies within the mapping (checked above), which is readable, lives as long as `self`,
        // and is not written: it is private, this process has no other way to it, and a blob's file does not
        // change (the store's invariant), nor is it cut, so that every page has a file behind it.
        Some(unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(offset), length) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let mut all = MAPPED.write().unwrap_or_else(PoisonError::into_inner);
        all.remove(&self.start.addr().get());
        MAPPED_COUNT.store(all.len(), Ordering::Release);
        drop(all);
        // SAFETY: this is the mapping that `new` made, as long as it made it. Slices of it borrow `self`, so there
        // are none any more, and it is forgotten above, so that its addresses may be given out again.
        let _unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// The part of a blob's file that `bytes` are, if they are one that the store gave out to be sent.
#[must_use]
pub fn file_part(bytes: &[u8]) -> Option<FilePart> {
    if MAPPED_COUNT.load(Ordering::Acquire) == 0 || bytes.is_empty() {
        return None;
    }
    let address = bytes.as_ptr().addr();
    let all = MAPPED.read().unwrap_or_else(PoisonError::into_inner);
    let (start, mapped) = all.range(..=address).next_back()?;
    let offset = address - start;
    if offset.checked_add(bytes.len())? > mapped.length {
        return None;
    }
    Some(FilePart {
        file: Arc::clone(&mapped.file),
        offset: offset as u64,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn slices_are_recognised_while_the_mapping_lives() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mapping = Mapping::new(&Arc::new(file), 10).unwrap();
        let slice = mapping.slice(3, 4).unwrap();
        assert_eq!(slice, b"3456");
        assert_eq!(file_part(slice).unwrap().offset, 3);
        assert_eq!(file_part(slice.get(2..).unwrap()).unwrap().offset, 5);
        assert!(mapping.slice(3, 8).is_none());
        assert!(mapping.slice(u64::MAX, 1).is_none());
        assert!(file_part(b"elsewhere").is_none());
        assert!(file_part(&[]).is_none());
        let address = slice.as_ptr().addr();
        drop(mapping);
        let all = MAPPED.read().unwrap();
        assert!(!all.contains_key(&(address - 3)));
    }
}
