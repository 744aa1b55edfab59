// SPDX-License-Identifier: Apache-2.0
//! The one place that writes to the terminal.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a terminal program's one writer"
)]

use std::time::{Duration, Instant};

use anyhow::Result;

/// One line.
pub fn line(text: &str) {
    println!("{text}");
}

/// Something that went wrong.
pub fn problem(text: &str) {
    eprintln!("error: {text}");
}

/// Something that nobody may overlook.
pub fn loudly(text: &str) {
    println!("\n!!! {text}\n");
}

/// Says what is being done, does it, and says how long it took.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("==> {what}");
    let started = Instant::now();
    let outcome = work();
    let verdict = if outcome.is_ok() { "done" } else { "FAILED" };
    println!("    {verdict} in {}", seconds(started.elapsed()));
    outcome
}

/// A duration for people.
pub fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..=59 => format!("{:.1} s", duration.as_secs_f64()),
        whole => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}
