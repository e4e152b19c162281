//! What a simulation saw, and how sure it is of it.

use crate::time::{Instant, Span};

/// A figure, and the interval that holds the true one in 99 of 100 runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Estimate {
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// What a simulation saw of a detector, after it had settled.
///
/// The intervals come from batch means: 32 stretches of equal length, and Student's t (Law, Simulation
/// Modeling and Analysis, 9.5.3); for E(T_M), a quotient, by the delta method. Batches are too empty for
/// that where fewer than a hundred mistakes were seen. Then the interval of their rate is that of a
/// Poisson count (Garwood 1936), with as few independent mistakes as the batches' dispersion suggests,
/// and t has a degree of freedom less than there are mistakes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// How long it was watched.
    pub elapsed: Span,
    pub mistakes: u64,
    /// In which it was suspected.
    pub suspected: Span,
    /// E(T_MR) in seconds. Without a mistake infinite, and `low` is what 99 % confidence leaves: the
    /// time watched over 4.6.
    pub recurrence_s: Estimate,
    /// E(T_M) in seconds; `None` without a mistake, for then nothing is known of it. `high` takes a kind
    /// of mistake that was not seen, a beat's interval longer, to be as frequent as 99 % confidence
    /// leaves: 4.6 in as many mistakes as were seen.
    pub duration_s: Option<Estimate>,
    /// P_A. Without a mistake 1, and `low` takes 4.6 beats' intervals to have been suspected.
    pub query_accuracy: Estimate,
}

/// Batches that count; one more before them is for settling.
pub const BATCHES: usize = 32;
/// Student's t, 99.5 %, from 1 degree of freedom to 31.
const STUDENT: [f64; BATCHES - 1] = [
    63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169, 3.106, 3.055, 3.012, 2.977, 2.947,
    2.921, 2.898, 2.878, 2.861, 2.845, 2.831, 2.819, 2.807, 2.797, 2.787, 2.779, 2.771, 2.763, 2.756, 2.750,
    2.744,
];
/// Garwood's interval is taken below this many mistakes.
const FEW: u64 = 100;
/// Half of what 99 % leaves out.
const TAIL: f64 = 0.005;

#[derive(Debug, Clone, Copy, Default)]
struct Batch {
    mistakes: u64,
    suspected_ns: u64,
}

/// Mistakes by batch.
#[derive(Debug)]
pub(super) struct Ledger {
    batch: Span,
    interval: Span,
    batches: [Batch; BATCHES + 1],
}

impl Ledger {
    /// For the time up to `end`; a remainder of less than 33 ns is left out.
    pub(super) fn new(end: Instant, interval: Span) -> Self {
        let batch = Span::from_nanos((end.as_nanos() / (BATCHES as u64 + 1)).max(1));
        Self { batch, interval, batches: [Batch::default(); BATCHES + 1] }
    }

    /// Suspected from `from` to `to`; a mistake if it was trusted before, `from` is then known.
    pub(super) fn suspected(&mut self, from: Option<Instant>, to: Instant) {
        let batch_ns = self.batch.as_nanos();
        let mut at_ns = from.unwrap_or(Instant::ZERO).as_nanos();
        if from.is_some()
            && let Some(batch) = self.batches.get_mut((at_ns / batch_ns) as usize)
        {
            batch.mistakes += 1;
        }
        while at_ns < to.as_nanos() {
            let index = at_ns / batch_ns;
            let Some(batch) = self.batches.get_mut(index as usize) else {
                break;
            };
            let until_ns = ((index + 1) * batch_ns).min(to.as_nanos());
            batch.suspected_ns += until_ns - at_ns;
            at_ns = until_ns;
        }
    }

    pub(super) fn close(&self) -> Observed {
        let counted = &self.batches[1..];
        let elapsed = self.batch.saturating_mul(BATCHES as u64);
        let mistakes: u64 = counted.iter().map(|batch| batch.mistakes).sum();
        let suspected = Span::from_nanos(counted.iter().map(|batch| batch.suspected_ns).sum());
        let counts: Vec<f64> = counted.iter().map(|batch| batch.mistakes as f64).collect();
        let suspected_s: Vec<f64> = counted.iter().map(|batch| batch.suspected_ns as f64 / 1e9).collect();

        let seconds = elapsed.as_secs_f64();
        let count = count_interval(mistakes, &counts);
        let share = suspected.as_secs_f64() / seconds;
        let mut inaccuracy = Estimate { value: share, low: 0.0, high: 0.0 }
            .with_half(half_width(&suspected_s, mistakes) / self.batch.as_secs_f64());
        if 0 < mistakes && mistakes < FEW {
            inaccuracy.low = inaccuracy.low.min(share * count.low / count.value);
            inaccuracy.high = inaccuracy.high.max(share * count.high / count.value);
        }
        if suspected.is_zero() {
            inaccuracy.high = count.high * self.interval.as_secs_f64() / seconds;
        }
        Observed {
            elapsed,
            mistakes,
            suspected,
            recurrence_s: Estimate {
                value: seconds / count.value,
                low: seconds / count.high,
                high: seconds / count.low,
            },
            duration_s: (mistakes > 0).then(|| {
                let value = suspected.as_secs_f64() / mistakes as f64;
                let off: Vec<f64> = suspected_s.iter().zip(&counts).map(|(s, n)| s - value * n).collect();
                let mean_count = mistakes as f64 / BATCHES as f64;
                let mut duration = Estimate { value, low: 0.0, high: 0.0 }
                    .with_half(half_width(&off, mistakes) / mean_count);
                duration.high += garwood(0).1 / mistakes as f64 * self.interval.as_secs_f64();
                duration
            }),
            query_accuracy: Estimate {
                value: 1.0 - inaccuracy.value,
                low: 1.0 - inaccuracy.high.min(1.0),
                high: 1.0 - inaccuracy.low,
            },
        }
    }
}

impl Estimate {
    /// How many come in all such batches together, on average, of which some had so many.
    #[must_use]
    pub fn of_count(batches: &[u64; BATCHES]) -> Self {
        count_interval(batches.iter().sum(), &batches.map(|count| count as f64))
    }

    /// The figure over `divisor`, which is above zero.
    #[must_use]
    pub fn per(self, divisor: f64) -> Self {
        Self { value: self.value / divisor, low: self.low / divisor, high: self.high / divisor }
    }

    fn with_half(self, half: f64) -> Self {
        Self { low: (self.value - half).max(0.0), high: self.value + half, ..self }
    }
}

/// The number of mistakes that such a run has on average.
fn count_interval(mistakes: u64, batches: &[f64]) -> Estimate {
    let estimate = Estimate { value: mistakes as f64, low: 0.0, high: 0.0 };
    if mistakes >= FEW {
        return estimate.with_half(half_width(batches, mistakes) * batches.len() as f64);
    }
    // A Poisson count's variance is its mean; what comes in bunches has more, and counts for less.
    let bunch = if mistakes == 0 { 1.0 } else { (variance(batches) / mean(batches)).max(1.0) };
    let (low, high) = garwood((estimate.value / bunch) as u64);
    Estimate { low: low * bunch, high: (high * bunch).max(estimate.value), ..estimate }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Of the population that the values come from.
fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (values.len() - 1) as f64
}

/// Half the width of the 99 % interval of the mean of the batches, which hold so many mistakes.
fn half_width(batches: &[f64], mistakes: u64) -> f64 {
    let degrees = (batches.len() as u64).min(mistakes).saturating_sub(1) as usize;
    let student = degrees.checked_sub(1).map_or(f64::INFINITY, |index| STUDENT[index]);
    let error = libm::sqrt(variance(batches) / batches.len() as f64);
    // Where nothing ever differs nothing is uncertain, and infinity times zero is no number.
    if error == 0.0 { 0.0 } else { student * error }
}

/// Garwood's 99 % interval: the means between which a Poisson variable that came out as `count` may have: at the lower one as
/// much or more has a probability of 0.5 %, at the upper one as little or less. For zero, where there is
/// no lower one, the upper one has 1 %: `ln 100`.
#[must_use]
pub fn garwood(count: u64) -> (f64, f64) {
    let at_most = |count: u64, mean: f64| {
        let mut term = libm::exp(-mean);
        let mut sum = term;
        for i in 1..=count {
            term *= mean / i as f64;
            sum += term;
        }
        sum
    };
    // The probability falls as the mean rises.
    let solve = |count: u64, probability: f64| {
        let (mut low, mut high) = (0.0, 2.0 * count as f64 + 20.0);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if at_most(count, middle) > probability { low = middle } else { high = middle }
        }
        low
    };
    match count {
        0 => (0.0, solve(0, 2.0 * TAIL)),
        _ => (solve(count - 1, 1.0 - TAIL), solve(count, TAIL)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 99 % limits of a Poisson mean, as tables print them.
    #[test]
    fn garwood_s_limits() {
        for (count, low, high) in
            [(0, 0.0, 4.605), (1, 0.005, 7.430), (10, 3.717, 21.398), (50, 33.664, 71.266)]
        {
            let found = garwood(count);
            assert!((found.0 - low).abs() < 1e-3 && (found.1 - high).abs() < 1e-3, "{count}: {found:?}");
        }
    }

    #[test]
    fn a_mistake_counts_where_it_begins_and_lasts_where_it_lasts() {
        let second = |s: u64| Instant::from_nanos(s * 1_000_000_000);
        let mut ledger = Ledger::new(second(330), Span::from_secs(1));
        ledger.suspected(None, second(5));
        ledger.suspected(Some(second(8)), second(12));
        ledger.suspected(Some(second(325)), second(340));
        let observed = ledger.close();
        assert_eq!((observed.mistakes, observed.suspected), (1, Span::from_secs(2 + 5)));
        assert_eq!(observed.elapsed, Span::from_secs(320));
    }
}
