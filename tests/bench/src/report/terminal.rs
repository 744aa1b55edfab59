// SPDX-License-Identifier: Apache-2.0
//! The one place that writes to the terminal.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a terminal program's one writer"
)]

use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::Instant;

use clap::ValueEnum as _;

use super::targets::{Judged, Verdict};
use crate::figures::{Figures, Metric, Section, metric};

/// One line.
pub fn line(text: &str) {
    println!("{text}");
}

/// Something that went wrong.
pub fn problem(text: &str) {
    eprintln!("error: {text}");
}

/// Says where a run is: on one line that changes in a terminal, one line a round elsewhere.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    steps: usize,
    done: usize,
    last_round: Option<usize>,
    is_terminal: bool,
}

impl Progress {
    /// For a run that begins now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            steps: 0,
            done: 0,
            last_round: None,
            is_terminal: stdout().is_terminal(),
        }
    }

    /// Says how many steps there will be.
    pub fn begin(&mut self, steps: usize) {
        self.steps = steps;
    }

    /// The next step begins.
    pub fn step(&mut self, round: usize, subject: &str, what: &str) {
        self.done += 1;
        let seconds = self.began.elapsed().as_secs();
        let state = format!(
            "[{:>3}/{}] {:>2}:{:02}",
            self.done,
            self.steps,
            seconds / 60,
            seconds % 60
        );
        if self.is_terminal {
            print!("\r\x1b[K{state}  round {}  {subject}: {what}", round + 1);
            let _ = stdout().flush();
        } else if self.last_round != Some(round) {
            println!("{state}  round {}", round + 1);
        }
        self.last_round = Some(round);
    }

    /// Something worth a line of its own.
    pub fn note(&self, text: &str) {
        if self.is_terminal {
            print!("\r\x1b[K");
        }
        println!("{text}");
    }

    /// The run is over.
    pub fn end(&self) {
        let seconds = self.began.elapsed().as_secs();
        self.note(&format!("measured in {} min {:02} s", seconds / 60, seconds % 60));
    }
}

/// Prints medians, spreads and ratios.
pub fn table(figures: &Figures, subjects: &[String]) {
    let ours = subjects.first().map_or("", String::as_str);
    for section in Section::value_variants() {
        let rows: Vec<_> = figures.section(*section).collect();
        if rows.is_empty() {
            continue;
        }
        let title = section.to_possible_value().map(|it| it.get_name().to_owned());
        print!("\n{:40} {:>6}", title.unwrap_or_default(), "unit");
        for subject in subjects {
            print!(" {subject:>20}");
        }
        for peer in subjects.iter().skip(1) {
            print!(" {:>22}", format!("{ours}/{peer}"));
        }
        println!();
        for row in rows {
            print!("{:40} {:>6}", row.name, row.lead.unit);
            for subject in subjects {
                let shown = row.middle(subject, row.lead).map_or_else(
                    || "-".to_owned(),
                    |it| {
                        let spread = (it.high - it.low) / it.median.max(f64::MIN_POSITIVE) * 100.0;
                        format!("{} ±{spread:.0}%", number(it.median))
                    },
                );
                print!(" {shown:>20}");
            }
            for peer in subjects.iter().skip(1) {
                let shown = row.ratio(ours, peer, row.lead).map_or_else(
                    || "-".to_owned(),
                    |it| format!("{} [{}-{}]", number(it.median), number(it.low), number(it.high)),
                );
                print!(" {shown:>22}");
            }
            println!();
        }
    }
    cost(figures, subjects);
}

/// Prints what the server needed for it.
fn cost(figures: &Figures, subjects: &[String]) {
    let columns: [(&'static Metric, &str); 5] = [
        (metric::CPU_PER_GB, "CPU s/GB"),
        (metric::CPU_EACH, "CPU µs each"),
        (metric::P50, "p50 µs"),
        (metric::P99, "p99 µs"),
        (metric::PEAK, "peak MiB"),
    ];
    print!("\n{:40} {:16}", "cost and latency", "");
    for (_, title) in columns {
        print!(" {title:>12}");
    }
    println!();
    for section in Section::value_variants() {
        for row in figures.section(*section) {
            for subject in subjects {
                if row.middle(subject, metric::PEAK).is_none() {
                    continue;
                }
                print!("{:40} {subject:16}", row.name);
                for (metric, _) in columns {
                    let shown = row
                        .middle(subject, metric)
                        .map_or_else(|| "-".to_owned(), |it| number(it.median));
                    print!(" {shown:>12}");
                }
                println!();
            }
        }
    }
}

/// Prints what was demanded and what came.
pub fn verdicts(judged: &[Judged]) {
    println!(
        "\n{:52} {:>10} {:>24}  verdict",
        "target", "demanded", "measured [range]"
    );
    for it in judged {
        let measured = it.measured.map_or_else(
            || "-".to_owned(),
            |middle| {
                format!(
                    "{} [{}-{}]",
                    number(middle.median),
                    number(middle.low),
                    number(middle.high)
                )
            },
        );
        println!(
            "{:52} {:>10} {measured:>24}  {}",
            it.what,
            it.demanded,
            it.verdict.words()
        );
    }
    let count = |verdict| judged.iter().filter(|it| it.verdict == verdict).count();
    println!(
        "{} met, {} not met, {} not measured",
        count(Verdict::Met),
        count(Verdict::NotMet),
        count(Verdict::NotMeasured)
    );
}

/// A figure with about three digits that matter.
#[must_use]
pub fn number(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{figure:.2}"),
        _ => format!("{figure:.4}"),
    }
}
