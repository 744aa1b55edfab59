// SPDX-License-Identifier: Apache-2.0
//! Bringing parts of files into the page cache.

use std::fs::File;

use super::sys;

/// How much is brought in at once, in bytes: what most processors have as a large page. The kernel has begun to read
/// as much behind it when this is there.
pub(super) const PIECE_BYTES: u64 = 2 * 1024 * 1024;
/// How much is asked for by a hint, in bytes.
const HINTED_BYTES: u64 = 4 * 1024 * 1024;

/// Brings the piece of a file that `offset` lies in into the page cache, and waits for that; where the kernel does not do so, it is asked to
/// read ahead. `length` is that of the file. Answers up to where.
///
/// Whatever fails is told to who reads.
pub(super) fn bring_in(file: &File, offset: u64, length: u64) -> u64 {
    let start = offset - offset % PIECE_BYTES;
    let end = length.min(start + PIECE_BYTES);
    let piece = usize::try_from(end.saturating_sub(start)).unwrap_or_default();
    if piece > 0 && sys::fill_cache(file, start, piece).is_ok() {
        return end;
    }
    hint(file, offset);
    length.min(offset + HINTED_BYTES)
}

#[cfg(target_os = "linux")]
fn hint(file: &File, offset: u64) {
    // Many readers share the descriptor, so the kernel cannot tell that each of them is sequential.
    let length = std::num::NonZeroU64::new(HINTED_BYTES);
    let _ = rustix::fs::fadvise(file, offset, length, rustix::fs::Advice::WillNeed);
}

#[cfg(not(target_os = "linux"))]
fn hint(_file: &File, _offset: u64) {}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{HINTED_BYTES, PIECE_BYTES, bring_in};

    #[test]
    fn a_piece_is_brought_in_up_to_the_end_of_the_file() {
        let mut file = tempfile::tempfile().unwrap();
        let length = PIECE_BYTES * 2 + 5000;
        file.write_all(&vec![7; usize::try_from(length).unwrap()]).unwrap();
        let cases = [
            ("the first", 0, PIECE_BYTES),
            ("in its middle", 4096 + 17, PIECE_BYTES),
            ("the next", PIECE_BYTES, 2 * PIECE_BYTES),
            ("the last", 2 * PIECE_BYTES + 4999, length),
        ];
        for (what, offset, end) in cases {
            let up_to = bring_in(&file, offset, length);
            // Where the kernel only takes hints.
            let hinted = length.min(offset + HINTED_BYTES);
            assert!(up_to == end || up_to == hinted, "{what}: {up_to}");
        }
        assert_eq!(bring_in(&file, length, length), length);
    }

    #[test]
    fn a_file_that_has_become_shorter_ends_nobody() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        assert_eq!(bring_in(&file, 0, PIECE_BYTES), PIECE_BYTES);
        assert_eq!(bring_in(&file, PIECE_BYTES, 3 * PIECE_BYTES), 3 * PIECE_BYTES);
    }
}
