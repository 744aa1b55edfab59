// SPDX-License-Identifier: Apache-2.0
//! What was promised, and whether it holds.

use crate::figures::{Figures, Metric, Middle, Row, metric};
use crate::run::collection::{collect_row, pull_row};
use crate::run::{cache, catalog_row, grouped, power, replication, start_row, tags_row};

/// What a figure is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Than {
    /// The same of another server, round by round.
    Server(&'static str),
    /// The same of another server, as what it takes longer.
    Beyond(&'static str),
    /// The same server with one image.
    OneImage,
    /// The same server with the fewest live blobs.
    FewLive,
    /// The same server while it does not collect.
    NotCollecting,
    /// What SHA-256 alone takes.
    Sha256,
    /// Nothing: the figure counts.
    Itself,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

#[derive(Debug)]
struct Target {
    row: String,
    metric: &'static Metric,
    than: Than,
    bound: Bound,
}

/// Whether a target is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Met,
    /// It is not.
    NotMet,
    /// Nobody knows: this run did not measure it.
    NotMeasured,
}

impl Verdict {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "NOT MET",
            Self::NotMeasured => "not measured",
        }
    }
}

/// A target with what came of it.
#[derive(Debug)]
pub struct Judged {
    /// What is demanded of what.
    pub what: String,
    /// The bound, with its direction.
    pub demanded: String,
    /// The median, with the range of the rounds.
    pub measured: Option<Middle>,
    /// Whether it is met.
    pub verdict: Verdict,
}

const OURS: &str = "hythe";
const DISTRIBUTION: Than = Than::Server("docker-registry");
/// The upstream of the cache.
const UPSTREAM: &str = "docker-registry";
const NGINX: Than = Than::Server("nginx");
/// How many manifests "a million stored" are, and so on: smaller runs do not count.
const MANIFESTS: u64 = 1_000_000;
const TAGS: u64 = 100_000;
const REPOSITORIES: u64 = 100_000;
const LIVE: u64 = 1_000_000;
const FEW_LIVE: u64 = 10_000;
/// Of the slowest pull of a hundred while blobs are collected.
const MAX_WHILE_COLLECTING: f64 = 1.1;
/// "As with none", as a ratio: about what two starts of the same server differ by.
const AS_WITH_NONE: f64 = 1.25;
/// CPU of a push, as a multiple of what hashing alone takes.
const MAX_SHA256: f64 = 3.0;
const TEN_MILLISECONDS: f64 = 10_000.0;
const SECOND: f64 = 1_000_000.0;

fn targets() -> Vec<Target> {
    use Bound::{AtLeast, AtMost};
    let target = |row: &str, metric, than, bound| Target {
        row: row.to_owned(),
        metric,
        than,
        bound,
    };
    let mut all = vec![
        target(
            "GET 256 MiB, 16 connections",
            metric::MB_PER_S,
            DISTRIBUTION,
            AtLeast(1.6),
        ),
        target("GET 256 MiB, 16 connections", metric::MB_PER_S, NGINX, AtLeast(1.2)),
        target(
            "GET 256 MiB, 16 connections",
            metric::CPU_PER_GB,
            DISTRIBUTION,
            AtMost(1.0 / 1.8),
        ),
        target("GET 256 MiB, 1 connection", metric::MB_PER_S, NGINX, AtLeast(0.9)),
        target(
            "GET 1 MiB, 16 connections",
            metric::MB_PER_S,
            DISTRIBUTION,
            AtLeast(7.0),
        ),
        target("GET 64 KiB, 16 connections", metric::PER_S, DISTRIBUTION, AtLeast(25.0)),
        target("GET 64 KiB, 16 connections", metric::PER_S, NGINX, AtLeast(0.8)),
        target("GET 1 KiB, 16 connections", metric::PER_S, DISTRIBUTION, AtLeast(60.0)),
        target(
            "GET 1 KiB, 16 connections",
            metric::CPU_EACH,
            DISTRIBUTION,
            AtMost(1.0 / 60.0),
        ),
        target(
            "GET manifest by tag, 16 connections",
            metric::PER_S,
            DISTRIBUTION,
            AtLeast(35.0),
        ),
        target(
            "HEAD manifest by tag, 16 connections",
            metric::PER_S,
            DISTRIBUTION,
            AtLeast(35.0),
        ),
        target(
            "HTTPS GET 256 MiB, 16 connections",
            metric::MB_PER_S,
            DISTRIBUTION,
            AtLeast(1.25),
        ),
        target(
            "HTTPS GET 256 MiB, 16 connections",
            metric::CPU_PER_GB,
            DISTRIBUTION,
            AtMost(1.0 / 1.6),
        ),
        target("push 1 KiB, 1 connection", metric::PER_S, DISTRIBUTION, AtLeast(6.0)),
        target("push 1 KiB, 8 connections", metric::PER_S, DISTRIBUTION, AtLeast(8.0)),
        target("push 1 KiB, 32 connections", metric::PER_S, DISTRIBUTION, AtLeast(8.0)),
    ];
    for (row, ratio) in [
        ("push 1 MiB, 1 connection", 1.6),
        ("push 1 MiB, 8 connections", 1.6),
        ("push 256 MiB, 1 connection", 1.2),
        ("push 256 MiB, 4 connections", 1.2),
    ] {
        all.push(target(row, metric::MB_PER_S, DISTRIBUTION, AtLeast(ratio)));
        all.push(target(row, metric::CPU_PER_GB, Than::Sha256, AtMost(MAX_SHA256)));
    }
    all.extend([
        target(power::ROW, metric::PER_S, DISTRIBUTION, AtLeast(5.0)),
        target("idle memory", metric::MEMORY, Than::Itself, AtMost(20.0)),
        target("GET 256 MiB, 64 connections", metric::PEAK, Than::Itself, AtMost(64.0)),
        target(
            &start_row(MANIFESTS),
            metric::MILLISECONDS,
            Than::OneImage,
            AtMost(AS_WITH_NONE),
        ),
        target(&tags_row(TAGS), metric::P99, Than::Itself, AtMost(TEN_MILLISECONDS)),
        target(
            &catalog_row(REPOSITORIES),
            metric::P99,
            Than::Itself,
            AtMost(TEN_MILLISECONDS),
        ),
        target(
            &collect_row(LIVE),
            metric::CPU_EACH,
            Than::FewLive,
            AtMost(AS_WITH_NONE),
        ),
        target(
            pull_row(true),
            metric::P99,
            Than::NotCollecting,
            AtMost(MAX_WHILE_COLLECTING),
        ),
        target(
            cache::FIRST_BYTE_ROW,
            metric::MILLISECONDS,
            Than::Beyond(UPSTREAM),
            AtMost(10.0),
        ),
        target(
            cache::FIRST_PULL_ROW,
            metric::MB_PER_S,
            Than::Server(UPSTREAM),
            AtLeast(0.8),
        ),
        target(cache::LINE_ROW, metric::MB_PER_S, Than::Server(UPSTREAM), AtLeast(0.8)),
        target(cache::CROWD_ROW, metric::FETCHES, Than::Itself, AtMost(1.0)),
        target(replication::LARGE_ROW, metric::P50, Than::Itself, AtMost(SECOND)),
    ]);
    all
}

/// Judges every target.
#[must_use]
pub fn judge(figures: &Figures) -> Vec<Judged> {
    targets().into_iter().map(|target| target.judge(figures)).collect()
}

impl Target {
    fn judge(&self, figures: &Figures) -> Judged {
        let measured = self.measured(figures);
        let verdict = match (measured, self.bound) {
            (None, _) => Verdict::NotMeasured,
            (Some(it), Bound::AtLeast(bound)) if it.median >= bound => Verdict::Met,
            (Some(it), Bound::AtMost(bound)) if it.median <= bound => Verdict::Met,
            (Some(_), _) => Verdict::NotMet,
        };
        let what = match self.metric.key {
            "mb_per_s" | "per_s" | "ms" | "mib" => self.row.clone(),
            "cpu_s_per_gb" | "cpu_us_each" => format!("{}: CPU", self.row),
            "peak_mib" => format!("{}: peak memory", self.row),
            key => format!("{}: {}", self.row, key.trim_end_matches("_us")),
        };
        let unit = match self.than {
            Than::Itself => format!(" {}", self.metric.unit).trim_end().to_owned(),
            Than::Beyond(_) => format!(" {} more", self.metric.unit),
            Than::Server(_) | Than::OneImage | Than::FewLive | Than::NotCollecting | Than::Sha256 => "×".to_owned(),
        };
        let than = match self.than {
            Than::Server(name) | Than::Beyond(name) => format!(" ({name})"),
            Than::OneImage => " (one image)".to_owned(),
            Than::FewLive => format!(" ({} live)", grouped(FEW_LIVE)),
            Than::NotCollecting => " (not collecting)".to_owned(),
            Than::Sha256 => " (SHA-256)".to_owned(),
            Than::Itself => String::new(),
        };
        Judged {
            what: what + &than,
            demanded: match self.bound {
                Bound::AtLeast(bound) => {
                    format!("≥ {bound:.4}")
                        .trim_end_matches('0')
                        .trim_end_matches('.')
                        .to_owned()
                        + &unit
                }
                // As it was promised: a share, not its decimal fraction.
                Bound::AtMost(bound) if bound < 1.0 => {
                    let share = format!("{:.4}", 1.0 / bound);
                    format!("≤ 1/{}{unit}", share.trim_end_matches('0').trim_end_matches('.'))
                }
                Bound::AtMost(bound) => format!("≤ {bound}{unit}"),
            },
            measured,
            verdict,
        }
    }

    fn measured(&self, figures: &Figures) -> Option<Middle> {
        let row = figures.row(&self.row)?;
        match self.than {
            Than::Server(other) => row.ratio(OURS, other, self.metric),
            Than::Beyond(other) => row.beyond(OURS, other, self.metric),
            Than::Itself => row.middle(OURS, self.metric),
            Than::Sha256 => scaled(row.middle(OURS, self.metric)?, figures.sha256_floor?),
            Than::OneImage => self.beside(row, figures, &start_row(1)),
            Than::FewLive => self.beside(row, figures, &collect_row(FEW_LIVE)),
            Than::NotCollecting => self.beside(row, figures, pull_row(false)),
        }
    }
}

impl Target {
    fn beside(&self, row: &Row, figures: &Figures, other: &str) -> Option<Middle> {
        let other = figures.row(other)?.middle(OURS, self.metric)?;
        scaled(row.middle(OURS, self.metric)?, other.median)
    }
}

fn scaled(it: Middle, by: f64) -> Option<Middle> {
    (by > 0.0).then(|| Middle {
        median: it.median / by,
        low: it.low / by,
        high: it.high / by,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Sample, Section};

    fn figures(rows: &[(&str, &str, &'static Metric, f64)]) -> Figures {
        let mut figures = Figures::default();
        figures.sha256_floor = Some(0.5);
        for (row, subject, metric, value) in rows {
            let sample = Sample::from([(*metric, *value)]);
            figures.add(Section::Get, row, metric, subject, 0, sample);
        }
        figures
    }

    fn verdict(judged: &[Judged], what: &str) -> Verdict {
        judged.iter().find(|it| it.what == what).unwrap().verdict
    }

    #[test]
    fn targets_are_met_missed_or_not_measured() {
        let row = "GET 1 KiB, 16 connections";
        let judged = judge(&figures(&[
            (row, "hythe", metric::PER_S, 60_000.0),
            (row, "docker-registry", metric::PER_S, 1000.0),
            ("idle memory", "hythe", metric::MEMORY, 21.0),
            ("push 256 MiB, 1 connection", "hythe", metric::CPU_PER_GB, 1.5),
            (&start_row(1), "hythe", metric::MILLISECONDS, 40.0),
            (&start_row(MANIFESTS), "hythe", metric::MILLISECONDS, 51.0),
            (&tags_row(1000), "hythe", metric::P99, 1.0),
        ]));
        assert_eq!(verdict(&judged, &format!("{row} (docker-registry)")), Verdict::Met);
        assert_eq!(
            verdict(&judged, &format!("{row}: CPU (docker-registry)")),
            Verdict::NotMeasured
        );
        assert_eq!(verdict(&judged, "idle memory"), Verdict::NotMet);
        assert_eq!(
            verdict(&judged, "push 256 MiB, 1 connection: CPU (SHA-256)"),
            Verdict::Met
        );
        let start = format!("{} (one image)", start_row(MANIFESTS));
        assert_eq!(verdict(&judged, &start), Verdict::NotMet);
        // Fewer tags than were promised prove nothing.
        assert_eq!(
            verdict(&judged, &format!("{}: p99", tags_row(TAGS))),
            Verdict::NotMeasured
        );
    }

    #[test]
    fn the_table_of_targets() {
        let lines: Vec<String> = judge(&Figures::default())
            .into_iter()
            .map(|it| format!("{} {}", it.what, it.demanded))
            .collect();
        assert_eq!(
            lines.join("\n"),
            "GET 256 MiB, 16 connections (docker-registry) ≥ 1.6×
GET 256 MiB, 16 connections (nginx) ≥ 1.2×
GET 256 MiB, 16 connections: CPU (docker-registry) ≤ 1/1.8×
GET 256 MiB, 1 connection (nginx) ≥ 0.9×
GET 1 MiB, 16 connections (docker-registry) ≥ 7×
GET 64 KiB, 16 connections (docker-registry) ≥ 25×
GET 64 KiB, 16 connections (nginx) ≥ 0.8×
GET 1 KiB, 16 connections (docker-registry) ≥ 60×
GET 1 KiB, 16 connections: CPU (docker-registry) ≤ 1/60×
GET manifest by tag, 16 connections (docker-registry) ≥ 35×
HEAD manifest by tag, 16 connections (docker-registry) ≥ 35×
HTTPS GET 256 MiB, 16 connections (docker-registry) ≥ 1.25×
HTTPS GET 256 MiB, 16 connections: CPU (docker-registry) ≤ 1/1.6×
push 1 KiB, 1 connection (docker-registry) ≥ 6×
push 1 KiB, 8 connections (docker-registry) ≥ 8×
push 1 KiB, 32 connections (docker-registry) ≥ 8×
push 1 MiB, 1 connection (docker-registry) ≥ 1.6×
push 1 MiB, 1 connection: CPU (SHA-256) ≤ 3×
push 1 MiB, 8 connections (docker-registry) ≥ 1.6×
push 1 MiB, 8 connections: CPU (SHA-256) ≤ 3×
push 256 MiB, 1 connection (docker-registry) ≥ 1.2×
push 256 MiB, 1 connection: CPU (SHA-256) ≤ 3×
push 256 MiB, 4 connections (docker-registry) ≥ 1.2×
push 256 MiB, 4 connections: CPU (SHA-256) ≤ 3×
push images of 64 KiB, 4 clients, power cuts (docker-registry) ≥ 5×
idle memory ≤ 20 MiB
GET 256 MiB, 64 connections: peak memory ≤ 64 MiB
start to ready, 1,000,000 manifests (one image) ≤ 1.25×
tag list page of 1000, 100,000 tags: p99 ≤ 10000 µs
catalog page of 1000, 100,000 repositories: p99 ≤ 10000 µs
collect a blob beside 1,000,000 live: CPU (10,000 live) ≤ 1.25×
pull 64 KiB images, 200/s, collecting: p99 (not collecting) ≤ 1.1×
first byte of a blob of 256 MiB, first pull (docker-registry) ≤ 10 ms more
blob of 256 MiB, first pull (docker-registry) ≥ 0.8×
blob of 64 MiB over a line of 1 Gbit/s, first pull (docker-registry) ≥ 0.8×
100 clients pull one blob of 1 MiB for the first time: fetches ≤ 1
from a push of a 20 MiB image to its pull elsewhere: p50 ≤ 1000000 µs"
        );
    }
}
