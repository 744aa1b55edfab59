// SPDX-License-Identifier: Apache-2.0
//! Giving back the part of the program that an idle server does not need.
//!
//! Pages of a program are mapped when they are first used, sixteen at a time (the kernel's `fault_around_bytes`), and stay
//! mapped: migrations, command line, configuration, relocations, and what the last request needed count as resident memory for as
//! long as the server runs. They are clean copies of the file. Once they are unmapped, what is used again comes back from the page
//! cache at the cost of some hundred minor faults, and the kernel may take the rest if it wants the memory.
#![allow(
    unsafe_code,
    reason = "`madvise` on the program's own pages; no safe wrapper can know that nothing is lost"
)]

use std::io;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Where the kernel tells what is mapped (`proc_pid_smaps(5)`).
const MAPPINGS: &str = "/proc/self/smaps";
/// Where it tells what time was used, and the field with that of the user, which that of the system follows (`proc_pid_stat(5)`).
const TIMES: &str = "/proc/self/stat";
const USER_TIME_FIELD: usize = 14;
/// Where it tells how much (`proc_pid_statm(5)`).
const SIZES: &str = "/proc/self/statm";
/// How long the server has to be idle.
const PERIOD: Duration = Duration::from_secs(2);
/// A server that takes less of a processor than a hundredth is idle.
const IDLE_SHARE: u64 = 100;
/// Less is not worth the faults.
const MIN_GAIN_PAGES: u64 = 256;

/// Gives the program's pages back once the server has started, and again whenever it is idle and has mapped many since, until `stop`.
pub(crate) async fn release_when_idle(stop: CancellationToken) {
    let mut mapped = 0;
    let idle_ticks = rustix::param::clock_ticks_per_second() * PERIOD.as_secs() / IDLE_SHARE;
    let mut used = used_ticks();
    loop {
        let now = used_ticks();
        let is_idle = now
            .zip(used)
            .is_some_and(|(now, before)| now.saturating_sub(before) <= idle_ticks);
        used = now;
        if is_idle && file_pages().is_some_and(|pages| pages >= mapped + MIN_GAIN_PAGES) {
            match release() {
                // What was in use at this moment is back at once.
                Ok(()) => mapped = file_pages().unwrap_or(u64::MAX - MIN_GAIN_PAGES),
                Err(error) => {
                    tracing::debug!(error = %error, "pages of the program cannot be given back");
                    return;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// What this process has used of processors, in ticks; nothing if the kernel does not say.
fn used_ticks() -> Option<u64> {
    let table = std::fs::read_to_string(TIMES).ok()?;
    // The name of the program, which may hold anything, ends with the last bracket; the state is the third field.
    let (_, fields) = table.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(USER_TIME_FIELD - 3);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(ticks()? + ticks()?)
}

/// How many pages of files are mapped and resident, if the kernel says so.
fn file_pages() -> Option<u64> {
    std::fs::read_to_string(SIZES).ok()?.split(' ').nth(2)?.parse().ok()
}

/// A range of addresses, from the first to the one behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapping {
    start: usize,
    end: usize,
}

/// Unmaps the program's pages until they are used again.
#[cfg(target_os = "linux")]
fn release() -> io::Result<()> {
    use rustix::mm::{Advice, madvise};

    let program = std::fs::read_link("/proc/self/exe")?;
    let Some(program) = program.to_str() else {
        return Ok(());
    };
    for mapping in clean_mappings(&std::fs::read_to_string(MAPPINGS)?, program) {
        let start = std::ptr::with_exposed_provenance_mut(mapping.start);
        // SAFETY: the pages belong to a mapping of the program's own file, which is there until the process ends, cannot be written,
        // and has no page that differs from the file: the next use of any of them reads the same bytes from there.
        unsafe { madvise(start, mapping.end - mapping.start, Advice::LinuxDontNeed) }?;
    }
    Ok(())
}

/// Does nothing where the kernel has no such table.
#[cfg(not(target_os = "linux"))]
fn release() -> io::Result<()> {
    Ok(())
}

/// The mappings of `program` that cannot be written and hold nothing but what is in the file. Relocated constants are
/// private copies (`Anonymous`), and not among them.
fn clean_mappings(table: &str, program: &str) -> Vec<Mapping> {
    let mut found = Vec::new();
    let mut current = None;
    for line in table.lines() {
        if let Some(mapping) = Mapping::of(line) {
            let is_program = line.strip_suffix(program).is_some_and(|rest| rest.ends_with(' '));
            current = (is_program && is_read_only(line)).then_some(mapping);
        } else if let Some(private) = line.strip_prefix("Anonymous:") {
            found.extend(current.take().filter(|_| private.trim() == "0 kB"));
        }
    }
    found
}

impl Mapping {
    /// Of the first line of an entry; nothing of the others.
    fn of(line: &str) -> Option<Self> {
        let (range, _) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        Some(Self {
            start: address(start)?,
            end: address(end)?,
        })
    }
}

/// Whether its permissions are `r--p` or `r-xp`.
fn is_read_only(line: &str) -> bool {
    line.split(' ').nth(1).is_some_and(|permissions| {
        permissions.starts_with('r') && permissions.ends_with('p') && !permissions.contains('w')
    })
}

#[cfg(test)]
mod tests {
    use super::{Mapping, clean_mappings};

    #[test]
    fn only_what_cannot_be_written_and_was_not_relocated_is_given_back() {
        let table = "\
5500-5600 r--p 00000000 fe:00 12                         /usr/bin/hythe
Size:                 16 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
5600-5900 r-xp 00000100 fe:00 12                         /usr/bin/hythe
Anonymous:             0 kB
5900-5a00 r--p 00000400 fe:00 12                         /usr/bin/hythe
Anonymous:             8 kB
5a00-5b00 rw-p 00000500 fe:00 12                         /usr/bin/hythe
Anonymous:             0 kB
5b00-5c00 rw-p 00000000 00:00 0                          [heap]
Anonymous:             0 kB
7f00-7f80 r-xp 00000000 fe:00 99                         /usr/lib/libc.so.6
Anonymous:             0 kB
7f80-7f90 r--p 00000000 fe:00 13                         /opt/usr/bin/hythe
Anonymous:             0 kB
";
        let found = clean_mappings(table, "/usr/bin/hythe");
        let wanted = [(0x5500, 0x5600), (0x5600, 0x5900)].map(|(start, end)| Mapping { start, end });
        assert_eq!(found, wanted);
        assert_eq!(clean_mappings("not a table\nAnonymous: 0 kB", "/usr/bin/hythe"), []);
    }

    #[test]
    fn used_time_is_found_in_the_table() {
        let before = super::used_ticks().unwrap();
        let began = std::time::Instant::now();
        while super::used_ticks().unwrap() == before {
            assert!(
                began.elapsed() < std::time::Duration::from_mins(1),
                "no tick in a minute of work"
            );
        }
    }

    #[test]
    fn the_program_goes_on_after_its_pages_were_given_back() {
        super::release().unwrap();
        let program = std::env::current_exe().unwrap();
        let table = std::fs::read_to_string(super::MAPPINGS).unwrap();
        let found = clean_mappings(&table, program.to_str().unwrap());
        assert!(!found.is_empty(), "no mapping of {} in {table}", program.display());
    }
}
