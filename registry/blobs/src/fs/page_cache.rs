// SPDX-License-Identifier: Apache-2.0
//! Bringing parts of files into the page cache.

use std::fs::File;

use tokio::sync::Semaphore;

use super::sys;

/// How much is brought in at once, in bytes: what most processors have as a large page. The kernel has begun to read
/// as much behind it when this is there.
pub(super) const PIECE_BYTES: u64 = 2 * 1024 * 1024;
/// How much is asked for by a hint, in bytes.
const HINTED_BYTES: u64 = 4 * 1024 * 1024;
/// How many pieces are brought in at once in this process. Each counts as its memory meanwhile.
static FILLING: Semaphore = Semaphore::const_new(16);

/// Brings the piece of a file that `offset` lies in into the page cache, and waits for that; where the kernel does not do so, or too many
/// others wait already, it is asked to read ahead. `length` is that of the file.
///
/// Whatever fails is told to who reads.
pub(super) fn bring_in(file: &File, offset: u64, length: u64) {
    let start = offset - offset % PIECE_BYTES;
    let piece = usize::try_from(piece_end(offset, length).saturating_sub(start)).unwrap_or_default();
    let turn = FILLING.try_acquire();
    if piece > 0 && (turn.is_err() || sys::fill_cache(file, start, piece).is_err()) {
        hint(file, offset);
    }
}

/// Where the piece ends that `offset` lies in.
pub(super) fn piece_end(offset: u64, length: u64) -> u64 {
    length.min(offset - offset % PIECE_BYTES + PIECE_BYTES)
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
    use std::os::unix::fs::FileExt as _;

    use super::{PIECE_BYTES, bring_in, piece_end};

    #[test]
    fn a_piece_ends_with_the_next_one_or_the_file() {
        let length = PIECE_BYTES * 2 + 5000;
        let cases = [
            ("the first", 0, PIECE_BYTES),
            ("in its middle", 4096 + 17, PIECE_BYTES),
            ("the next", PIECE_BYTES, 2 * PIECE_BYTES),
            ("the last", 2 * PIECE_BYTES + 4999, length),
            ("behind it", length, length),
        ];
        for (what, offset, end) in cases {
            assert_eq!(piece_end(offset, length), end, "{what}");
        }
    }

    #[test]
    fn bytes_stay_what_they_are() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..=250).cycle().take(5_000_000).collect();
        file.write_all(&bytes).unwrap();
        for offset in [0, 4097, PIECE_BYTES, 4_999_999, 5_000_000] {
            bring_in(&file, offset, 5_000_000);
        }
        let mut read = vec![0; bytes.len()];
        file.read_exact_at(&mut read, 0).unwrap();
        assert!(read == bytes);
    }

    #[test]
    fn a_file_that_has_become_shorter_ends_nobody() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        bring_in(&file, 0, PIECE_BYTES);
        bring_in(&file, PIECE_BYTES, 3 * PIECE_BYTES);
    }
}
