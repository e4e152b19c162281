//! Functions of ranges, of vectors and of the time.

use super::expression::Kind;
use super::storage::Sample;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Absent,
    Abs,
    Ceil,
    Floor,
    Scalar,
    Time,
    Vector,
    OfRange(OfRange),
}

/// What makes one value of a series' samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OfRange {
    Changes,
    CountOverTime,
    Delta,
    Increase,
    LastOverTime,
    MaxOverTime,
    MinOverTime,
    Rate,
    Resets,
    SumOverTime,
}

const ALL: [(&str, Function); 17] = [
    ("absent", Function::Absent),
    ("abs", Function::Abs),
    ("ceil", Function::Ceil),
    ("floor", Function::Floor),
    ("scalar", Function::Scalar),
    ("time", Function::Time),
    ("vector", Function::Vector),
    ("changes", Function::OfRange(OfRange::Changes)),
    ("count_over_time", Function::OfRange(OfRange::CountOverTime)),
    ("delta", Function::OfRange(OfRange::Delta)),
    ("increase", Function::OfRange(OfRange::Increase)),
    ("last_over_time", Function::OfRange(OfRange::LastOverTime)),
    ("max_over_time", Function::OfRange(OfRange::MaxOverTime)),
    ("min_over_time", Function::OfRange(OfRange::MinOverTime)),
    ("rate", Function::OfRange(OfRange::Rate)),
    ("resets", Function::OfRange(OfRange::Resets)),
    ("sum_over_time", Function::OfRange(OfRange::SumOverTime)),
];

impl Function {
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
    }

    pub fn name(self) -> &'static str {
        ALL.iter().find(|(_, function)| *function == self).map_or("", |(name, _)| name)
    }

    pub const fn takes(self) -> &'static [Kind] {
        match self {
            Self::Time => &[],
            Self::Vector => &[Kind::Scalar],
            Self::Absent | Self::Abs | Self::Ceil | Self::Floor | Self::Scalar => &[Kind::Vector],
            Self::OfRange(_) => &[Kind::Range],
        }
    }

    pub const fn gives(self) -> Kind {
        match self {
            Self::Time | Self::Scalar => Kind::Scalar,
            _ => Kind::Vector,
        }
    }
}

/// The times that a range was asked for, in ms, and how long it is by its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub from: i64,
    pub to: i64,
    pub millis: i64,
}

impl OfRange {
    /// `None` where the samples are too few. The metric keeps its name only under `last_over_time`.
    pub fn of(self, samples: &[Sample], window: Window) -> Option<f64> {
        let (first, last) = (samples.first()?, samples.last()?);
        let values = samples.iter().map(|sample| sample.value);
        let pairs = samples.windows(2).map(|pair| (pair[0].value, pair[1].value));
        Some(match self {
            Self::Changes => pairs.filter(|(a, b)| a != b && !(a.is_nan() && b.is_nan())).count() as f64,
            Self::CountOverTime => samples.len() as f64,
            Self::LastOverTime => last.value,
            Self::MaxOverTime => values.fold(first.value, |a, b| if b > a || a.is_nan() { b } else { a }),
            Self::MinOverTime => values.fold(first.value, |a, b| if b < a || a.is_nan() { b } else { a }),
            Self::Resets => pairs.filter(|(a, b)| b < a).count() as f64,
            Self::SumOverTime => sum(values),
            Self::Delta => extrapolated(samples, window, false)?,
            Self::Increase => extrapolated(samples, window, true)?,
            Self::Rate => {
                let factor = extrapolation(samples, window, true)? / (window.millis as f64 / 1e3);
                increase(samples, true) * factor
            }
        })
    }

    pub const fn keeps_name(self) -> bool {
        matches!(self, Self::LastOverTime)
    }
}

fn extrapolated(samples: &[Sample], window: Window, is_counter: bool) -> Option<f64> {
    Some(increase(samples, is_counter) * extrapolation(samples, window, is_counter)?)
}

/// From the first to the last sample. A counter that is lower than before began again at zero.
fn increase(samples: &[Sample], is_counter: bool) -> f64 {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return 0.0 };
    let mut sum = last.value - first.value;
    if is_counter {
        let mut before = 0.0;
        for sample in samples {
            if sample.value < before {
                sum += before;
            }
            before = sample.value;
        }
    }
    sum
}

/// How much longer than the samples the time is that their increase is taken for: up to the window's
/// ends if they are near, else by half a sample's distance; and not below a counter's zero
/// (`extrapolatedRate` in Prometheus's `promql/functions.go`).
fn extrapolation(samples: &[Sample], window: Window, is_counter: bool) -> Option<f64> {
    let [first, .., last] = samples else { return None };
    let seconds = |from: i64, to: i64| (to - from) as f64 / 1e3;
    let mut to_start = seconds(window.from, first.at);
    let to_end = seconds(last.at, window.to);
    let sampled = seconds(first.at, last.at);
    let distance = sampled / (samples.len() - 1) as f64;
    let increase = increase(samples, is_counter);
    if is_counter && increase > 0.0 && first.value >= 0.0 {
        to_start = to_start.min(sampled * (first.value / increase));
    }
    let near = distance * 1.1;
    let mut covered = sampled;
    for wait in [to_start, to_end] {
        covered += if wait < near { wait } else { distance / 2.0 };
    }
    Some(covered / sampled)
}

/// Neumaier's sum, as Prometheus has it.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for value in values {
        let next = sum + value;
        lost += if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
        sum = next;
    }
    if sum.is_infinite() { sum } else { sum + lost }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate_of(samples: &[(i64, f64)], millis: i64) -> Option<f64> {
        let samples: Vec<_> = samples.iter().map(|(at, value)| Sample { at: *at, value: *value }).collect();
        OfRange::Increase.of(&samples, Window { from: 0, to: millis, millis })
    }

    #[test]
    fn an_increase_is_taken_for_the_whole_window() {
        // Up to both ends: 100 s for 80 s.
        assert_eq!(rate_of(&[(10_000, 100.0), (50_000, 104.0), (90_000, 108.0)], 100_000), Some(10.0));
        // A counter at zero has not grown before.
        assert_eq!(rate_of(&[(10_000, 0.0), (50_000, 4.0), (90_000, 8.0)], 90_000), Some(8.0));
        // It began again: 2 more after 5.
        assert_eq!(rate_of(&[(0, 5.0), (10_000, 2.0)], 10_000), Some(2.0));
        // Far from the ends: by half of the distance.
        assert_eq!(rate_of(&[(100_000, 50.0), (110_000, 51.0)], 200_000), Some(2.0));
        assert_eq!(rate_of(&[(10_000, 1.0)], 100_000), None);
    }

    #[test]
    fn every_function_is_found_by_its_name() {
        for (name, function) in ALL {
            assert_eq!((Function::named(name), function.name()), (Some(function), name));
        }
    }
}
