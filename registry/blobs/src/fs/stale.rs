// SPDX-License-Identifier: Apache-2.0
//! Uploads that nobody goes on with.

use std::collections::BinaryHeap;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, SystemTime};

use hythe_model::UploadId;

use super::Inner;

impl Inner {
    /// Its cost follows the number of uploads, and its memory the limit. What time it is now is asked of the file
    /// system, whose clock dates the files: this process's may have jumped, and a network's is another one.
    pub(super) fn stale_uploads(&self, untouched_for: Duration, limit: usize) -> io::Result<Vec<UploadId>> {
        let Some(latest) = self.time_of_files()?.checked_sub(untouched_for) else {
            return Ok(Vec::new());
        };
        let mut oldest: BinaryHeap<(SystemTime, UploadId)> = BinaryHeap::new();
        for entry in std::fs::read_dir(self.layout.uploads())? {
            let entry = entry?;
            // Whatever else an operator put there stays.
            let Some(upload) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let touched = match entry.metadata().and_then(|found| found.modified()) {
                Ok(touched) => touched,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // ended in the meantime
                Err(error) => return Err(error),
            };
            if touched <= latest && !self.uploads.is_claimed(upload) {
                oldest.push((touched, upload));
                if oldest.len() > limit {
                    oldest.pop();
                }
            }
        }
        Ok(oldest.into_sorted_vec().into_iter().map(|(_, upload)| upload).collect())
    }

    fn time_of_files(&self) -> io::Result<SystemTime> {
        let probe = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.layout.probe())?;
        self.disk.write(&probe, b"hythe\n", 0)?;
        probe.metadata()?.modified()
    }
}
