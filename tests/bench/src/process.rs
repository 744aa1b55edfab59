// SPDX-License-Identifier: Apache-2.0
//! What a server's processes used, as the kernel counts it (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// A server that used less than this share of one core between two looks has nothing to do.
const SETTLE_SHARE: f64 = 0.2;
const SETTLE_POLL: Duration = Duration::from_millis(60);
const SETTLE_LIMIT: Duration = Duration::from_secs(3);

/// A process and all that descend from it.
#[derive(Clone, Debug)]
pub struct Tree {
    pids: Vec<u32>,
}

/// Sums over a tree, since its processes began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time.
    pub cpu_seconds: f64,
    /// Bytes read, from wherever (`rchar`).
    pub read_bytes: u64,
    /// Bytes written, to wherever (`wchar`). `sendfile` and sockets count on some kernels only.
    pub written_bytes: u64,
    /// Bytes fetched from the disk (`read_bytes`).
    pub disk_read_bytes: u64,
    /// Bytes that made pages dirty (`write_bytes`).
    pub disk_written_bytes: u64,
}

impl Tree {
    /// The tree under some processes, as it is now.
    pub fn of(roots: &[u32]) -> Result<Self> {
        let mut parents = BTreeMap::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // A process may end while the folder is read.
            if let Some(parent) = stat(pid).ok().and_then(|fields| fields.get(1)?.parse::<u32>().ok()) {
                parents.insert(pid, parent);
            }
        }
        let mut pids = Vec::new();
        let mut next = roots.to_vec();
        while let Some(pid) = next.pop() {
            ensure!(parents.contains_key(&pid), "there is no process {pid}");
            if !pids.contains(&pid) {
                pids.push(pid);
                next.extend(
                    parents
                        .iter()
                        .filter(|(_, parent)| **parent == pid)
                        .map(|(child, _)| *child),
                );
            }
        }
        Ok(Self { pids })
    }

    /// What it used so far.
    pub fn usage(&self) -> Result<Usage> {
        let mut sum = Usage::default();
        #[allow(clippy::cast_precision_loss, reason = "100 on every Linux that matters")]
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        for pid in &self.pids {
            let fields = stat(*pid)?;
            // Fields 14 and 15 of proc(5): utime and stime.
            for field in fields.iter().skip(11).take(2) {
                sum.cpu_seconds += field.parse::<f64>()? / ticks_per_second;
            }
            let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
            let value = |name| number_of(&io, name).unwrap_or(0);
            sum.read_bytes += value("rchar");
            sum.written_bytes += value("wchar");
            sum.disk_read_bytes += value("read_bytes");
            sum.disk_written_bytes += value("write_bytes");
        }
        Ok(sum)
    }

    /// Waits until it has finished what it was asked for: a client that leaves in the middle of an answer leaves work
    /// behind, which must not stand in the next figure.
    pub fn settle(&self) -> Result<()> {
        let began = Instant::now();
        let mut before = self.usage()?.cpu_seconds;
        while began.elapsed() < SETTLE_LIMIT {
            std::thread::sleep(SETTLE_POLL);
            let now = self.usage()?.cpu_seconds;
            if now - before < SETTLE_SHARE * SETTLE_POLL.as_secs_f64() {
                break;
            }
            before = now;
        }
        Ok(())
    }

    /// Forgets the peak of its memory.
    pub fn reset_peak(&self) -> Result<()> {
        for pid in &self.pids {
            fs::write(format!("/proc/{pid}/clear_refs"), "5").context("cannot reset the peak memory of a server")?;
        }
        Ok(())
    }

    /// The peak of its memory since then, in MiB. Pages that processes share count in each.
    pub fn peak_mib(&self) -> Result<f64> {
        self.memory_mib("VmHWM")
    }

    /// Its memory now, in MiB.
    pub fn resident_mib(&self) -> Result<f64> {
        self.memory_mib("VmRSS")
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> Result<usize> {
        let mut sum = 0;
        for pid in &self.pids {
            sum += fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        }
        Ok(sum)
    }

    #[allow(clippy::cast_precision_loss, reason = "memory in KiB is far below 2^53")]
    fn memory_mib(&self, field: &str) -> Result<f64> {
        let mut kibibytes = 0;
        for pid in &self.pids {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            kibibytes += number_of(&status, field).context("no such figure")?;
        }
        Ok(kibibytes as f64 / 1024.0)
    }
}

impl Usage {
    /// What was used between two looks.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
            read_bytes: self.read_bytes.saturating_sub(before.read_bytes),
            written_bytes: self.written_bytes.saturating_sub(before.written_bytes),
            disk_read_bytes: self.disk_read_bytes.saturating_sub(before.disk_read_bytes),
            disk_written_bytes: self.disk_written_bytes.saturating_sub(before.disk_written_bytes),
        }
    }
}

/// The fields of `/proc/PID/stat` from the third on: the name before may hold spaces; what follows its bracket does not.
fn stat(pid: u32) -> Result<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("not a stat line")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

/// The number on the line `name: number`.
fn number_of(text: &str, name: &str) -> Option<u64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_with_what_it_uses() {
        let tree = Tree::of(&[std::process::id()]).unwrap();
        assert!(tree.pids.contains(&std::process::id()));
        assert!(tree.resident_mib().unwrap() > 0.5);
        assert!(tree.descriptors().unwrap() > 2);
        let before = tree.usage().unwrap();
        fs::read("/proc/self/status").unwrap();
        assert!(tree.usage().unwrap().since(before).read_bytes > 0);
        assert!(Tree::of(&[u32::MAX]).is_err());
    }

    #[test]
    fn numbers_are_read_by_their_whole_name() {
        let text = "rchar: 1\nread_bytes: 22\ncancelled_write_bytes: 3\n";
        assert_eq!(number_of(text, "read_bytes"), Some(22));
        assert_eq!(number_of(text, "write_bytes"), None);
    }
}
