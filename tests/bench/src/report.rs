// SPDX-License-Identifier: Apache-2.0
//! Figures by row and server, their medians, and the ratio between the servers.

use serde_json::{Map, Value, json};

use crate::subject::Kind;

/// One line on standard output.
#[allow(clippy::print_stdout, reason = "the harness's one writer")]
pub fn line(text: &str) {
    println!("{text}");
}

/// All figures, in the order in which rows first came.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    unit: &'static str,
    hythe: Vec<f64>,
    peer: Vec<f64>,
}

impl Report {
    /// Adds one figure.
    pub fn add(&mut self, kind: Kind, name: &str, unit: &'static str, figure: f64) {
        if !self.rows.iter().any(|row| row.name == name) {
            self.rows.push(Row {
                name: name.to_owned(),
                unit,
                hythe: Vec::new(),
                peer: Vec::new(),
            });
        }
        if let Some(row) = self.rows.iter_mut().find(|row| row.name == name) {
            match kind {
                Kind::Hythe => row.hythe.push(figure),
                Kind::DockerRegistry => row.peer.push(figure),
            }
        }
    }

    /// Prints medians and ratios.
    pub fn print(&self) {
        let (ours, peer) = (Kind::Hythe.name(), Kind::DockerRegistry.name());
        line(&format!(
            "\n{:44} {:>8} {ours:>12} {peer:>16} {:>8}",
            "medians", "unit", "ratio"
        ));
        for row in &self.rows {
            let show = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), |it| format!("{it:.2}"));
            let (hythe, other) = (median(&row.hythe), median(&row.peer));
            let ratio = hythe
                .zip(other)
                .filter(|(_, other)| *other > 0.0)
                .map(|(hythe, other)| hythe / other);
            line(&format!(
                "{:44} {:>8} {:>12} {:>16} {:>8}",
                row.name,
                row.unit,
                show(hythe),
                show(other),
                show(ratio)
            ));
        }
    }

    /// Every figure, with the medians.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut rows = Map::new();
        for row in &self.rows {
            let side = |figures: &[f64]| json!({ "median": median(figures), "all": figures });
            let value = json!({
                "unit": row.unit,
                Kind::Hythe.name(): side(&row.hythe),
                Kind::DockerRegistry.name(): side(&row.peer),
            });
            rows.insert(row.name.clone(), value);
        }
        Value::Object(rows)
    }
}

fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
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
    use super::median;

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
}
