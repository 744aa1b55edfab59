// SPDX-License-Identifier: Apache-2.0
//! Whether a figure grows, or only goes up and down.
//!
//! Two questions, both robust against outliers. How fast: the median of the slopes between all pairs of samples (Theil and
//! Sen). Is it a trend at all: more pairs rise than chance would let (Mann and Kendall). Only samples of the same life of a
//! process are paired, since memory begins anew with each; what comes before the end of the warm-up is left out.

/// A sample: which life of the process, seconds since the run began, and the figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Only points of the same life are compared.
    pub life: u32,
    /// Seconds since the run began.
    pub at: f64,
    /// The figure.
    pub value: f64,
}

/// The most points of a life that are paired: their number grows with the square. More are thinned out evenly.
const MAX_POINTS: usize = 400;
/// Fewer points than this in a life say nothing.
const MIN_POINTS: usize = 8;

/// What the points say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Growth for each second, typically.
    pub slope: f64,
    /// By how many standard deviations more pairs rise than fall, compared with no trend.
    pub significance: f64,
    /// The longest time that points of one life cover, in seconds.
    pub span: f64,
    /// The median of the figure.
    pub median: f64,
}

impl Trend {
    /// Looks for it; `None` if there are too few points.
    #[must_use]
    pub fn of(points: &[Point]) -> Option<Self> {
        let mut slopes = Vec::new();
        let (mut score, mut variance, mut span) = (0.0_f64, 0.0_f64, 0.0_f64);
        let mut lives: Vec<u32> = points.iter().map(|point| point.life).collect();
        lives.sort_unstable();
        lives.dedup();
        for life in lives {
            let own: Vec<Point> = points.iter().copied().filter(|point| point.life == life).collect();
            let own = thinned(&own);
            if own.len() < MIN_POINTS {
                continue;
            }
            for (at, first) in own.iter().enumerate() {
                for second in own.iter().skip(at + 1) {
                    let distance = second.at - first.at;
                    if distance <= 0.0 {
                        continue;
                    }
                    let rise = second.value - first.value;
                    slopes.push(rise / distance);
                    if rise != 0.0 {
                        score += rise.signum();
                    }
                    span = span.max(distance);
                }
            }
            // Kendall's variance without ties; with ties it is smaller, so that this errs towards "no trend".
            #[allow(clippy::cast_precision_loss, reason = "a few hundred points")]
            let count = own.len() as f64;
            variance += count * (count - 1.0) * (2.0 * count + 5.0) / 18.0;
        }
        let values: Vec<f64> = points.iter().map(|point| point.value).collect();
        Some(Self {
            slope: crate::figures::median(&slopes)?,
            significance: score / variance.sqrt(),
            span,
            median: crate::figures::median(&values)?,
        })
    }

    /// How much it grew over the longest life.
    #[must_use]
    pub fn growth(&self) -> f64 {
        self.slope * self.span
    }
}

/// At most [`MAX_POINTS`] of them: runs of neighbours become their median.
fn thinned(points: &[Point]) -> Vec<Point> {
    let run = points.len().div_ceil(MAX_POINTS).max(1);
    points
        .chunks(run)
        .filter_map(|chunk| {
            let values: Vec<f64> = chunk.iter().map(|point| point.value).collect();
            let middle = chunk.get(chunk.len() / 2)?;
            Some(Point {
                value: crate::figures::median(&values)?,
                ..*middle
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::body::Random;

    /// A figure of 100 with noise of a tenth, an outlier now and then, and `leak` for each second.
    fn noisy(lives: u32, seconds: u32, leak: f64) -> Vec<Point> {
        let mut random = Random::new(11);
        let mut points = Vec::new();
        for life in 0..lives {
            for second in 0..seconds {
                let noise = random.fraction() * 10.0;
                let outlier = if random.below(50) == 0 { 300.0 } else { 0.0 };
                points.push(Point {
                    life,
                    at: f64::from(life * seconds + second),
                    value: 100.0 + noise + outlier + leak * f64::from(second),
                });
            }
        }
        points
    }

    #[test]
    fn a_planted_leak_is_found_through_noise_and_restarts() {
        for (lives, seconds) in [(1, 120), (4, 30), (2, 3000)] {
            let trend = Trend::of(&noisy(lives, seconds, 0.5)).unwrap();
            assert!((0.4..0.6).contains(&trend.slope), "{lives} × {seconds}: {trend:?}");
            assert!(trend.significance > 5.0, "{lives} × {seconds}: {trend:?}");
            let wanted = f64::from(seconds) * 0.5;
            assert!((0.7..1.3).contains(&(trend.growth() / wanted)), "{trend:?}");
        }
    }

    #[test]
    fn noise_is_no_trend() {
        for (lives, seconds) in [(1, 120), (4, 30), (2, 3000)] {
            let trend = Trend::of(&noisy(lives, seconds, 0.0)).unwrap();
            assert!(trend.significance.abs() < 3.0, "{lives} × {seconds}: {trend:?}");
            assert!(trend.growth().abs() < 5.0, "{lives} × {seconds}: {trend:?}");
        }
    }

    /// Each life begins low: pairs across lives would show a fall, or a rise, that is none.
    #[test]
    fn lives_are_not_compared_with_each_other() {
        let points: Vec<Point> = (0..4)
            .flat_map(|life| (0..30).map(move |at| (life, at)))
            .map(|(life, at)| Point {
                life,
                at: f64::from(life * 30 + at),
                value: 100.0 * f64::from(life),
            })
            .collect();
        let trend = Trend::of(&points).unwrap();
        assert!(trend.slope.abs() < 1e-9 && trend.significance.abs() < 1e-9, "{trend:?}");
    }

    #[test]
    fn a_few_points_say_nothing() {
        assert_eq!(Trend::of(&[]), None);
        assert_eq!(Trend::of(&noisy(3, 7, 1.0)), None);
    }
}
