// SPDX-License-Identifier: Apache-2.0
//! System calls that no safe wrapper offers.
#![allow(
    unsafe_code,
    reason = "one call that `rustix` does not have; the place for such calls"
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
