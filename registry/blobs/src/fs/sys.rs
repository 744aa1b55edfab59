// SPDX-License-Identifier: Apache-2.0
//! System calls that no safe wrapper offers.
#![allow(
    unsafe_code,
    reason = "a call that `rustix` does not have, and a mapping that nobody reads; the place for such calls"
)]

use std::fs::File;
use std::io;

/// Asks the kernel to begin writing a part of the page cache to the disk, and does not wait for that. It makes
/// nothing durable: it only leaves less to do for the `fdatasync` to come. Does nothing where there is no such call.
#[cfg(target_os = "linux")]
pub(super) fn start_write_back(file: &File, offset: u64, length: u64) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let too_far = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let offset = libc::off64_t::try_from(offset).map_err(too_far)?;
    let length = libc::off64_t::try_from(length).map_err(too_far)?;
    // SAFETY: the call takes integers only and touches no memory of this process. The descriptor is open for as
    // long as `file` is borrowed; a range that makes no sense is answered with `EINVAL`.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// As above, on a system without the call.
#[cfg(not(target_os = "linux"))]
pub(super) fn start_write_back(_file: &File, _offset: u64, _length: u64) -> io::Result<()> {
    Ok(())
}

/// Reads a part of a file into the page cache, in pages as large as the kernel makes them, and waits for the disk. `offset`
/// is a multiple of the size of a page; what lies behind the end of the file is an error.
///
/// A hint (`posix_fadvise(2)`) reads pages of 4 KiB. What is sent from large ones costs a quarter less: they are looked up, held and
/// sent as one.
#[cfg(target_os = "linux")]
pub(super) fn fill_cache(file: &File, offset: u64, length: usize) -> io::Result<()> {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};
    // SAFETY: a new mapping at an address that the kernel chooses, so that no other memory is touched. Nobody reads it, and its
    // address does not leave this function, which unmaps it.
    unsafe {
        let start = mmap(
            std::ptr::null_mut(),
            length,
            ProtFlags::READ,
            MapFlags::PRIVATE,
            file,
            offset,
        )?;
        // A kernel without large pages refuses, and makes them as large as it reads ahead.
        let _ = madvise(start, length, Advice::LinuxHugepage);
        // One that is older than 5.14 does not know this.
        let filled = madvise(start, length, Advice::LinuxPopulateRead);
        munmap(start, length)?;
        Ok(filled?)
    }
}

/// There is no such call.
#[cfg(not(target_os = "linux"))]
pub(super) fn fill_cache(_file: &File, _offset: u64, _length: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
