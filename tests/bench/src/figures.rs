// SPDX-License-Identifier: Apache-2.0
//! What was measured: rows of the tables, with a sample for each server and round.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde_json::{Map, Value, json};

/// A group of measurements that can be asked for by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Section {
    /// Start to ready: with a new store, with little stored, and with much.
    Start,
    /// Idle memory, and its peak under 64 large pulls.
    Memory,
    /// GET of blobs of four sizes, over plain HTTP and TLS.
    Get,
    /// Manifests: GET and HEAD by tag, GET by digest.
    Manifest,
    /// Durable pushes of single blobs.
    Push,
    /// Whole images pushed and pulled, in a closed loop and at given rates; the catalog.
    Images,
    /// Whole small images pushed while power cuts are taken; what either server loses.
    Power,
    /// Pages of long tag lists and of a long catalog.
    Listing,
    /// Taking away blobs that nothing needs, beside few live ones and many; pulls meanwhile.
    Collection,
    /// First pulls of a large blob through the cache beside pulls straight from its upstream; what was pulled before.
    Cache,
    /// From a push to a pull at another deployment.
    Replication,
}

/// One thing that is measured of a request or a server.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// Its name in the JSON.
    pub key: &'static str,
    /// Its unit, for people.
    pub unit: &'static str,
}

/// The metrics.
pub mod metric {
    use super::Metric;

    macro_rules! metrics {
        ($($name:ident $key:literal $unit:literal;)*) => {
            $(pub const $name: &Metric = &Metric { key: $key, unit: $unit };)*
        };
    }
    metrics! {
        MB_PER_S "mb_per_s" "MB/s";
        PER_S "per_s" "1/s";
        P50 "p50_us" "µs";
        P90 "p90_us" "µs";
        P99 "p99_us" "µs";
        P999 "p999_us" "µs";
        CPU "cpu_s" "s";
        CPU_PER_GB "cpu_s_per_gb" "s/GB";
        CPU_EACH "cpu_us_each" "µs";
        EACH "us_each" "µs";
        PEAK "peak_mib" "MiB";
        READ "read_mib" "MiB";
        WRITTEN "written_mib" "MiB";
        DISK_READ "disk_read_mib" "MiB";
        DISK_WRITTEN "disk_written_mib" "MiB";
        SECONDS "seconds" "s";
        REQUESTS "requests" "";
        MILLISECONDS "ms" "ms";
        MEMORY "mib" "MiB";
        OFFERED "offered_per_s" "1/s";
        DESCRIPTORS "descriptors" "";
        KEPT_UP "kept_up" "";
        LOST "lost" "";
        FETCHES "fetches" "";
    }
}

/// What was measured at once.
pub type Sample = BTreeMap<&'static Metric, f64>;

/// One row of the tables.
#[derive(Debug)]
pub struct Row {
    /// Its group.
    pub section: Section,
    /// What was done.
    pub name: String,
    /// The metric that stands for it.
    pub lead: &'static Metric,
    samples: BTreeMap<String, BTreeMap<usize, Sample>>,
}

/// All rows, in the order in which they came.
#[derive(Debug, Default)]
pub struct Figures {
    rows: Vec<Row>,
    /// CPU seconds that SHA-256 takes for a GB on this machine.
    pub sha256_floor: Option<f64>,
}

/// The middle of several rounds, and how far they spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Middle {
    /// The median.
    pub median: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

impl Middle {
    /// Of some values, if there are any.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        Some(Self {
            median: median(values)?,
            low: values.iter().copied().fold(f64::INFINITY, f64::min),
            high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

impl Figures {
    /// Adds a sample.
    pub fn add(
        &mut self,
        section: Section,
        name: &str,
        lead: &'static Metric,
        subject: &str,
        round: usize,
        it: Sample,
    ) {
        let at = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row {
                section,
                name: name.to_owned(),
                lead,
                samples: BTreeMap::new(),
            });
            self.rows.len() - 1
        });
        if let Some(row) = self.rows.get_mut(at) {
            row.samples.entry(subject.to_owned()).or_default().insert(round, it);
        }
    }

    /// The rows of a group.
    pub fn section(&self, section: Section) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.section == section)
    }

    /// A row by its name.
    #[must_use]
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// Everything, with every sample.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let mut subjects = Map::new();
            for (subject, rounds) in &row.samples {
                let samples = rounds.iter().map(|(round, sample)| {
                    let mut object = Map::new();
                    object.insert("round".to_owned(), json!(round));
                    for (metric, value) in sample {
                        object.insert(metric.key.to_owned(), json!(value));
                    }
                    Value::Object(object)
                });
                subjects.insert(subject.clone(), samples.collect());
            }
            let section = row.section.to_possible_value().map(|it| it.get_name().to_owned());
            json!({ "section": section, "name": row.name, "lead": row.lead.key, "samples": subjects })
        });
        rows.collect()
    }
}

impl Row {
    /// The servers that have samples here.
    pub fn subjects(&self) -> impl Iterator<Item = &str> {
        self.samples.keys().map(String::as_str)
    }

    /// The median of a metric, with its spread.
    #[must_use]
    pub fn middle(&self, subject: &str, metric: &'static Metric) -> Option<Middle> {
        let rounds = self.samples.get(subject)?;
        let values: Vec<f64> = rounds
            .values()
            .filter_map(|sample| sample.get(metric).copied())
            .collect();
        Middle::of(&values)
    }

    /// The median of the ratios of the rounds in which both were measured.
    #[must_use]
    pub fn ratio(&self, subject: &str, to: &str, metric: &'static Metric) -> Option<Middle> {
        self.compared(subject, to, metric, |own, other| (other > 0.0).then(|| own / other))
    }

    /// The median of how much more it was than another server's in the rounds in which both were measured.
    #[must_use]
    pub fn beyond(&self, subject: &str, to: &str, metric: &'static Metric) -> Option<Middle> {
        self.compared(subject, to, metric, |own, other| Some(own - other))
    }

    fn compared(
        &self,
        subject: &str,
        to: &str,
        metric: &'static Metric,
        compare: impl Fn(f64, f64) -> Option<f64>,
    ) -> Option<Middle> {
        let (own, other) = (self.samples.get(subject)?, self.samples.get(to)?);
        let compared: Vec<f64> = own
            .iter()
            .filter_map(|(round, sample)| compare(*sample.get(metric)?, *other.get(round)?.get(metric)?))
            .collect();
        Middle::of(&compared)
    }
}

/// The median; of an even number of values the middle between the two in the middle.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        return sorted.get(middle).copied();
    }
    Some(f64::midpoint(
        *sorted.get(middle.checked_sub(1)?)?,
        *sorted.get(middle)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_no_figures() {
        let cases: [(&[f64], Option<f64>); 4] = [
            (&[], None),
            (&[2.0], Some(2.0)),
            (&[3.0, 1.0], Some(2.0)),
            (&[9.0, 1.0, 5.0], Some(5.0)),
        ];
        for (figures, wanted) in cases {
            assert_eq!(median(figures), wanted, "{figures:?}");
        }
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let mut figures = Figures::default();
        // The machine is slower in the second round, for both.
        for (round, ours, theirs) in [(0, 100.0, 10.0), (1, 40.0, 5.0), (2, 90.0, 10.0)] {
            for (subject, value) in [("hythe", ours), ("peer", theirs)] {
                let sample = Sample::from([(metric::PER_S, value)]);
                figures.add(Section::Get, "a row", metric::PER_S, subject, round, sample);
            }
        }
        let sample = Sample::from([(metric::PER_S, 1.0)]);
        figures.add(Section::Get, "a row", metric::PER_S, "hythe", 3, sample);
        let row = figures.row("a row").unwrap();
        let wanted = Middle {
            median: 9.0,
            low: 8.0,
            high: 10.0,
        };
        assert_eq!(row.ratio("hythe", "peer", metric::PER_S), Some(wanted));
        assert_eq!(row.ratio("hythe", "nobody", metric::PER_S), None);
        let wanted = Middle {
            median: 80.0,
            low: 35.0,
            high: 90.0,
        };
        assert_eq!(row.beyond("hythe", "peer", metric::PER_S), Some(wanted));
        let middle = row.middle("hythe", metric::PER_S).unwrap();
        assert!((middle.median - 65.0).abs() < 1e-9);
    }
}
