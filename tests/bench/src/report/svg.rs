// SPDX-License-Identifier: Apache-2.0
//! Plots as SVG: bars over a logarithmic scale, and lines over two of them. Readable on light and dark pages.

use std::fmt::Write as _;

use super::terminal::number;

/// One colour for each server; they differ for the colour-blind as well (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];
const WIDTH: f64 = 900.0;
const LABEL_WIDTH: f64 = 270.0;
const VALUE_WIDTH: f64 = 80.0;
const BAR_HEIGHT: f64 = 13.0;
const GROUP_GAP: f64 = 9.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 34.0;

/// A set of bars.
#[derive(Debug)]
pub struct Bars {
    /// What the plot shows.
    pub title: String,
    /// The unit of the scale.
    pub unit: String,
    /// What the bars of a group stand for.
    pub series: Vec<String>,
    /// Each group with a value for each series, if there is one.
    pub groups: Vec<(String, Vec<Option<f64>>)>,
}

/// A set of lines.
#[derive(Debug)]
pub struct Lines {
    /// What the plot shows.
    pub title: String,
    /// What the horizontal axis is.
    pub across: String,
    /// What the vertical axis is.
    pub up: String,
    /// Each line with its points, by rising first coordinate; hollow if the third is false.
    pub series: Vec<(String, Vec<Point>)>,
    /// Whether the horizontal axis is logarithmic too.
    pub is_log_across: bool,
    /// Whether the vertical axis is logarithmic; it begins at 0 otherwise.
    pub is_log_up: bool,
}

/// Across, up, and whether it is filled.
pub type Point = (f64, f64, bool);

/// Text that is safe between tags and in attributes.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // XML 1.0 has no other control characters, escaped or not.
            other if other.is_control() && !matches!(other, '\t' | '\n' | '\r') => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}

/// From values to places on the paper.
#[derive(Clone, Copy, Debug)]
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    is_log: bool,
}

impl Scale {
    /// Covers the values with whole decades, or from 0 to a little more than the highest.
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64, is_log: bool) -> Self {
        let fitting: Vec<f64> = values.filter(|it| it.is_finite() && (!is_log || *it > 0.0)).collect();
        let low = fitting.iter().copied().fold(f64::INFINITY, f64::min);
        let high = fitting.iter().copied().fold(0.0, f64::max);
        let (low, high) = match (is_log, fitting.is_empty()) {
            (true, true) => (1.0, 10.0),
            (true, false) => {
                let low = 10_f64.powf((low * 0.999).log10().floor());
                (low, 10_f64.powf(high.log10().ceil()).max(low * 10.0))
            }
            (false, _) => (0.0, if high > 0.0 { high * 1.08 } else { 1.0 }),
        };
        Self {
            low,
            high,
            from,
            to,
            is_log,
        }
    }

    fn place(&self, value: f64) -> f64 {
        let share = if self.is_log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    fn marks(&self) -> Vec<f64> {
        if !self.is_log {
            let step = 10_f64.powf((self.high / 2.0).log10().floor());
            let step = if self.high / step > 6.0 { step * 2.0 } else { step };
            return std::iter::successors(Some(0.0), |at| Some(at + step))
                .take_while(|at| *at <= self.high)
                .take(20)
                .collect();
        }
        std::iter::successors(Some(self.low), |at| Some(at * 10.0))
            .take_while(|at| *at <= self.high * 1.001)
            .take(20)
            .collect()
    }
}

fn begin(height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" width=\"{WIDTH:.0}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<title>{title}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"16\" font-weight=\"bold\" fill=\"#222222\">{title}</text>\n",
        title = escape(title)
    )
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, fill: &str, words: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{}</text>",
        escape(words)
    );
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), stroke: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{stroke}\"/>"
    );
}

fn legend<'a>(svg: &mut String, names: impl Iterator<Item = &'a str>) {
    let mut x = 16.0;
    for (name, colour) in names.zip(COLOURS.iter().cycle()) {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"36\" width=\"12\" height=\"12\" fill=\"{colour}\"/>"
        );
        text(svg, (x + 17.0, 46.0), "start", "#222222", name);
        x += 40.0 + 7.2 * as_f64(name.chars().count());
    }
}

impl Bars {
    /// Draws it.
    #[must_use]
    pub fn draw(&self) -> String {
        let group_height = as_f64(self.series.len()) * BAR_HEIGHT + GROUP_GAP;
        let height = TOP + as_f64(self.groups.len()) * group_height + BOTTOM;
        let values = self
            .groups
            .iter()
            .flat_map(|(_, values)| values.iter().flatten().copied());
        let scale = Scale::over(values, LABEL_WIDTH, WIDTH - VALUE_WIDTH, true);
        let mut svg = begin(height, &self.title);
        legend(&mut svg, self.series.iter().map(String::as_str));
        let bottom = height - BOTTOM;
        for mark in scale.marks() {
            let x = scale.place(mark);
            line(&mut svg, (x, TOP - 4.0), (x, bottom), "#dddddd");
            text(&mut svg, (x, bottom + 16.0), "middle", "#555555", &short(mark));
        }
        text(&mut svg, (WIDTH - 16.0, bottom + 16.0), "end", "#555555", &self.unit);
        for (at, (name, values)) in self.groups.iter().enumerate() {
            let top = TOP + as_f64(at) * group_height;
            let middle = top + (group_height - GROUP_GAP) / 2.0 + 4.0;
            text(&mut svg, (LABEL_WIDTH - 8.0, middle), "end", "#222222", name);
            for (nth, (value, colour)) in values.iter().zip(COLOURS.iter().cycle()).enumerate() {
                let Some(value) = value else { continue };
                let y = top + as_f64(nth) * BAR_HEIGHT;
                let end = scale.place(*value);
                let _ = writeln!(
                    svg,
                    "<rect x=\"{LABEL_WIDTH:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
                    (end - LABEL_WIDTH).max(1.0),
                    BAR_HEIGHT - 2.0
                );
                text(
                    &mut svg,
                    (end + 5.0, y + BAR_HEIGHT - 3.0),
                    "start",
                    "#222222",
                    &number(*value),
                );
            }
        }
        svg.push_str("</svg>\n");
        svg
    }
}

impl Lines {
    /// Draws it.
    #[must_use]
    pub fn draw(&self) -> String {
        const HEIGHT: f64 = 420.0;
        const LEFT: f64 = 80.0;
        let points = || self.series.iter().flat_map(|(_, points)| points.iter());
        let across = Scale::over(points().map(|it| it.0), LEFT, WIDTH - 40.0, self.is_log_across);
        let up = Scale::over(points().map(|it| it.1), HEIGHT - 50.0, TOP, self.is_log_up);
        let mut svg = begin(HEIGHT, &self.title);
        legend(&mut svg, self.series.iter().map(|(name, _)| name.as_str()));
        for mark in up.marks() {
            let y = up.place(mark);
            line(&mut svg, (LEFT, y), (WIDTH - 40.0, y), "#dddddd");
            text(&mut svg, (LEFT - 8.0, y + 4.0), "end", "#555555", &short(mark));
        }
        for mark in across.marks() {
            let x = across.place(mark);
            line(&mut svg, (x, TOP), (x, HEIGHT - 50.0), "#eeeeee");
            text(&mut svg, (x, HEIGHT - 32.0), "middle", "#555555", &short(mark));
        }
        text(
            &mut svg,
            (WIDTH / 2.0, HEIGHT - 12.0),
            "middle",
            "#222222",
            &self.across,
        );
        text(&mut svg, (WIDTH - 40.0, TOP - 6.0), "end", "#222222", &self.up);
        for ((_, points), colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let path: Vec<String> = points
                .iter()
                .map(|(x, y, _)| format!("{:.1},{:.1}", across.place(*x), up.place(*y)))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join(" ")
            );
            // Many points are a line; few are shown.
            for (x, y, is_full) in points.iter().take(if points.len() > 40 { 0 } else { points.len() }) {
                let fill = if *is_full { colour } else { "#ffffff" };
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                    across.place(*x),
                    up.place(*y)
                );
            }
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// A mark on an axis.
fn short(mark: f64) -> String {
    match mark {
        mark if mark >= 1e6 => format!("{}M", mark / 1e6),
        mark if mark >= 1e3 => format!("{}k", mark / 1e3),
        mark if mark >= 1.0 || mark == 0.0 => format!("{mark:.0}"),
        mark => format!("{mark:.4}").trim_end_matches('0').to_owned(),
    }
}

#[allow(clippy::cast_precision_loss, reason = "a count of bars or letters")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(
            escape("<b a=\"1\" c='2'>&\u{7}\n"),
            "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;\u{fffd}\n"
        );
        let bars = Bars {
            title: "</title><script>".to_owned(),
            unit: "<".to_owned(),
            series: vec!["a&b".to_owned()],
            groups: vec![("\"x\"".to_owned(), vec![Some(1.0)])],
        };
        let svg = bars.draw();
        assert!(!svg.contains("<script"));
        assert!(svg.contains("a&amp;b") && svg.contains("&quot;x&quot;"));
    }

    #[test]
    fn logarithmic_scales_cover_whole_decades() {
        let scale = Scale::over([3.0, 250.0].into_iter(), 0.0, 300.0, true);
        assert_eq!(scale.marks().len(), 4);
        assert!((scale.place(10.0) - 100.0).abs() < 1e-6);
        assert!((scale.place(1000.0) - 300.0).abs() < 1e-6);
        // What cannot be on the scale is at its edge, never outside the paper.
        assert!((scale.place(0.0)).abs() < 1e-6);
        for values in [vec![], vec![0.0], vec![10.0], vec![f64::NAN]] {
            let scale = Scale::over(values.into_iter(), 0.0, 300.0, true);
            assert!(scale.high > scale.low && scale.low > 0.0);
        }
    }

    #[test]
    fn every_value_has_its_bar_and_every_line_its_points() {
        let bars = Bars {
            title: "t".to_owned(),
            unit: "u".to_owned(),
            series: vec!["a".to_owned(), "b".to_owned()],
            groups: vec![
                ("one".to_owned(), vec![Some(1.0), Some(20.0)]),
                ("two".to_owned(), vec![Some(3.0), None]),
            ],
        };
        // The paper, two in the legend, three bars.
        assert_eq!(bars.draw().matches("<rect").count(), 6);
        let lines = Lines {
            title: "t".to_owned(),
            across: "x".to_owned(),
            up: "y".to_owned(),
            series: vec![("a".to_owned(), vec![(1.0, 2.0, true), (2.0, 3.0, false)])],
            is_log_across: false,
            is_log_up: false,
        };
        assert_eq!(lines.draw().matches("<circle").count(), 2);
    }
}
