// SPDX-License-Identifier: Apache-2.0
//! How much a figure may grow.
//!
//! A figure fails if both hold: it rises more steadily than chance lets it ([`MIN_SIGNIFICANCE`]), and by more over the
//! longest life than its allowance. The allowance is there for what fills up once and stays: caches, pools, the file that
//! the allocator keeps. It is absolute, so that a longer run finds a slower leak.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::sampler::{Sampler, Watched};
use super::trend::Trend;
use crate::report::terminal::{self, number};

/// One in about thirty thousand runs without any trend rises so steadily by chance.
pub const MIN_SIGNIFICANCE: f64 = 4.0;

/// So many blobs the server keeps open for the next reader; a run of some minutes ends before that cache is full.
const OPEN_BLOBS: f64 = 256.0;

/// A figure and what is allowed.
#[derive(Clone, Copy, Debug)]
struct Rule {
    what: Watched,
    /// What fills up once: at most so much more at the end of a life than after its warm-up.
    allowance: f64,
    /// And a share of the median, for figures whose size depends on the machine.
    share: f64,
}

/// Memory: caches hold tens of MiB at most (blobs, manifests, SQLite's pages), and fill while the load goes on.
/// Descriptors: the blobs that are kept open, and pools of connections. Latency: half as much again, and 5 ms, which is what
/// writing back to a disk that others use may add.
const RULES: [Rule; 4] = [
    Rule {
        what: Watched::Memory,
        allowance: 24.0,
        share: 0.1,
    },
    Rule {
        what: Watched::Descriptors,
        allowance: OPEN_BLOBS + 32.0,
        share: 0.0,
    },
    Rule {
        what: Watched::P50,
        allowance: 5000.0,
        share: 0.5,
    },
    Rule {
        what: Watched::P99,
        allowance: 5000.0,
        share: 1.0,
    },
];

/// What became of a figure.
#[derive(Clone, Copy, Debug)]
pub struct Judgement {
    what: Watched,
    trend: Option<Trend>,
    allowed: f64,
    /// Whether it trends upwards.
    pub grows: bool,
}

/// Judges every figure that has a rule.
#[must_use]
pub fn judge(sampler: &Sampler) -> Vec<Judgement> {
    RULES
        .iter()
        .map(|rule| {
            let trend = Trend::of(&sampler.points(rule.what));
            rule.judge(trend)
        })
        .collect()
}

impl Rule {
    fn judge(&self, trend: Option<Trend>) -> Judgement {
        let allowed = self.allowance + self.share * trend.map_or(0.0, |it| it.median);
        let grows = trend.is_some_and(|it| it.significance >= MIN_SIGNIFICANCE && it.growth() > allowed);
        Judgement {
            what: self.what,
            trend,
            allowed,
            grows,
        }
    }
}

impl Judgement {
    fn words(&self) -> &'static str {
        match (self.trend, self.grows) {
            (None, _) => "too few samples",
            (_, true) => "GROWS",
            (_, false) => "steady",
        }
    }

    fn figures(&self) -> [String; 4] {
        let show = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), number);
        [
            show(self.trend.map(|it| it.median)),
            show(self.trend.map(|it| it.growth())),
            number(self.allowed),
            show(self.trend.map(|it| it.significance)),
        ]
    }

    /// For the report.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "figure": self.what.title(),
            "unit": self.what.unit(),
            "median": self.trend.map(|it| it.median),
            "growth": self.trend.map(|it| it.growth()),
            "growth_per_hour": self.trend.map(|it| it.slope * 3600.0),
            "significance": self.trend.map(|it| it.significance),
            "allowed": self.allowed,
            "verdict": self.words(),
        })
    }
}

/// As a table for the terminal.
pub fn print(judgements: &[Judgement]) {
    terminal::line(&format!(
        "\n{:32} {:>10} {:>10} {:>10} {:>8}  verdict",
        "figure", "median", "growth", "allowed", "steady"
    ));
    for it in judgements {
        let [median, growth, allowed, significance] = it.figures();
        let name = format!("{}, {}", it.what.title(), it.what.unit());
        terminal::line(&format!(
            "{name:32} {median:>10} {growth:>10} {allowed:>10} {significance:>8}  {}",
            it.words()
        ));
    }
}

/// As a table for the page.
#[must_use]
pub fn table(judgements: &[Judgement]) -> String {
    let mut page = format!(
        "A figure fails if it grows by more than is allowed over the longest life of the server, and steadily: {MIN_SIGNIFICANCE} standard \
         deviations above chance (Mann-Kendall). Growth is the median slope of all pairs of samples (Theil-Sen).\n\n\
         | figure | median | growth | allowed | significance | verdict |\n|---|---:|---:|---:|---:|---|\n"
    );
    for it in judgements {
        let [median, growth, allowed, significance] = it.figures();
        let _ = writeln!(
            page,
            "| {}, {} | {median} | {growth} | {allowed} | {significance} | {} |",
            it.what.title(),
            it.what.unit(),
            it.words()
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_fails_and_a_cache_that_fills_does_not() {
        let memory = RULES[0];
        let trend = |slope, span, significance| {
            Some(Trend {
                slope,
                span,
                significance,
                median: 40.0,
            })
        };
        // 1 MiB a minute is found in the longest life there is, and 10 MiB within two minutes would be a cache.
        let longest = crate::soak::MAX_LIFE.as_secs_f64() - crate::soak::sampler::MAX_WARM_UP;
        assert!(memory.judge(trend(1.0 / 60.0, longest, 9.0)).grows);
        assert!(!memory.judge(trend(10.0 / 120.0, 120.0, 9.0)).grows);
        // Large but by chance, and falling.
        assert!(!memory.judge(trend(1.0, 3600.0, 1.0)).grows);
        assert!(!memory.judge(trend(-1.0, 3600.0, -9.0)).grows);
        assert!(!memory.judge(None).grows);
    }
}
