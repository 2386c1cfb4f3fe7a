//! Medians, spreads, and the cost at a recall.

use std::time::Duration;

/// The middle of some numbers with the ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Spread {
    /// Of at least one number.
    pub fn of(mut numbers: Vec<f64>) -> Option<Self> {
        numbers.sort_by(f64::total_cmp);
        let (low, high) = (*numbers.first()?, *numbers.last()?);
        let middle = numbers.len() / 2;
        let median = if numbers.len() % 2 == 1 {
            numbers[middle]
        } else {
            (numbers[middle - 1] + numbers[middle]) / 2.0
        };
        Some(Self { median, low, high })
    }

    /// Of quotients, round by round: what slows a whole round down does not show. None where one
    /// of the divisors is too small to be measured.
    pub fn of_ratios(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        if theirs.iter().any(|b| *b <= 0.0) {
            return None;
        }
        Self::of(ours.iter().zip(theirs).map(|(a, b)| a / b).collect())
    }

    /// As in `0.93 (0.91–0.97)`.
    pub fn ratio_text(&self) -> String {
        format!("{:.2} ({:.2}–{:.2})", self.median, self.low, self.high)
    }
}

/// Microseconds.
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A point of a curve.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    pub recall: f64,
    /// In any unit.
    pub cost: f64,
}

/// The cost at which a curve, in the order of growing effort, first reaches a recall: between two
/// points interpolated on a log scale of cost. None where it is not reached.
pub fn cost_at(curve: &[Point], recall: f64) -> Option<f64> {
    let reached = curve.iter().position(|point| point.recall >= recall)?;
    let above = curve[reached];
    let Some(below) = reached.checked_sub(1).map(|index| curve[index]) else {
        return Some(above.cost);
    };
    let share = (recall - below.recall) / (above.recall - below.recall);
    Some((below.cost.ln() * (1.0 - share) + above.cost.ln() * share).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        let spread = Spread::of(vec![3.0, 1.0, 8.0]).unwrap();
        assert_eq!((spread.median, spread.low, spread.high), (3.0, 1.0, 8.0));
        assert_eq!(Spread::of(vec![1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Spread::of(vec![]), None);
        let ratios = Spread::of_ratios(&[1.0, 30.0], &[2.0, 20.0]).unwrap();
        assert_eq!(ratios.ratio_text(), "1.00 (0.50–1.50)");
        assert_eq!(Spread::of_ratios(&[1.0], &[0.0]), None);
    }

    #[test]
    fn cost_is_interpolated_on_a_log_scale() {
        let curve =
            [(0.8, 100.0), (0.9, 400.0), (0.9, 800.0)].map(|(recall, cost)| Point { recall, cost });
        assert!((cost_at(&curve, 0.85).unwrap() - 200.0).abs() < 1e-9);
        assert_eq!(cost_at(&curve, 0.5), Some(100.0));
        assert!((cost_at(&curve, 0.9).unwrap() - 400.0).abs() < 1e-9);
        assert_eq!(cost_at(&curve, 0.95), None);
    }
}
