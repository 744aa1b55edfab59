// SPDX-License-Identifier: Apache-2.0
//! What the figures were taken on: enough to judge them, nothing about whose machine it is.

use std::fs;

use serde_json::{Value, json};

/// A machine and the programs on it.
#[derive(Debug)]
pub struct Machine {
    /// When the run began (UTC).
    pub date: String,
    cores: usize,
    processor: String,
    memory_gib: u64,
    kernel: String,
    file_system: String,
    congestion_control: String,
    /// Names and versions of what was measured.
    pub versions: Vec<(String, String)>,
    /// How many processes wanted to run in the minute before: more than a fraction of the cores means noise.
    load: String,
}

impl Machine {
    /// Looks around.
    #[must_use]
    pub fn look(versions: Vec<(String, String)>) -> Self {
        let uname = rustix::system::uname().release().to_string_lossy().into_owned();
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let line = |text: &str, name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
            value.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
        };
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kibibytes = memory.lines().find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .split_whitespace()
                .next()?
                .parse::<u64>()
                .ok()
        });
        let first_word = |path: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.split_whitespace().next().unwrap_or("unknown").to_owned()
        };
        Self {
            date: now(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: line(&processors, "model name"),
            memory_gib: kibibytes.unwrap_or(0).div_ceil(1024 * 1024),
            // What a distribution puts behind the version is about its builds, not about the kernel.
            kernel: uname.split('-').next().unwrap_or_default().to_owned(),
            file_system: file_system(),
            congestion_control: first_word("/proc/sys/net/ipv4/tcp_congestion_control"),
            versions,
            load: first_word("/proc/loadavg"),
        }
    }

    /// As lines of a list.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let versions: Vec<String> = self
            .versions
            .iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        vec![
            format!("Date: {}", self.date),
            format!("Machine: {} × {}, {} GiB", self.cores, self.processor, self.memory_gib),
            format!(
                "System: Linux {}, data on {}, TCP congestion control {}, load before the run {}",
                self.kernel, self.file_system, self.congestion_control, self.load
            ),
            format!("Versions: {}", versions.join(", ")),
        ]
    }

    /// For the JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "date": self.date,
            "cores": self.cores,
            "processor": self.processor,
            "memory_gib": self.memory_gib,
            "kernel": self.kernel,
            "file_system": self.file_system,
            "congestion_control": self.congestion_control,
            "load": self.load,
            "versions": self.versions.iter().map(|(name, version)| (name.clone(), json!(version))).collect::<serde_json::Map<_, _>>(),
        })
    }
}

/// The day and minute, in UTC.
#[allow(
    clippy::disallowed_methods,
    reason = "a report says when it was made; nothing is decided by it"
)]
#[must_use]
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The kind of file system that holds temporary folders.
fn file_system() -> String {
    let magic = rustix::fs::statfs(std::env::temp_dir()).map(|it| it.f_type);
    // statfs(2)
    match magic {
        Ok(0xEF53) => "ext4".to_owned(),
        Ok(0x9123_683E) => "btrfs".to_owned(),
        Ok(0x5846_5342) => "xfs".to_owned(),
        Ok(0x0102_1994) => "tmpfs".to_owned(),
        Ok(0x794C_7630) => "overlayfs".to_owned(),
        Ok(0x2FC1_2FC1) => "zfs".to_owned(),
        Ok(other) => format!("file system {other:#x}"),
        Err(_) => "an unknown file system".to_owned(),
    }
}
