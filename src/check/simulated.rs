//! What the simulator says of a scenario over many seeds, and how far the measured times are from it.

use serde::{Deserialize, Serialize};

use crate::check::{Judged, Verdict};

/// Values kept of each figure, evenly over its order: enough for a comparison and a picture.
const KEPT_MAX: usize = 1_000;
/// Seeds named of those that did not pass.
const SEEDS_MAX: usize = 10;
/// A two-sample comparison of fewer values has hardly any power, and is not made.
const COMPARED_MIN: usize = 8;
/// The level at which a comparison rejects.
const LEVEL: f64 = 0.01;

/// One scenario in virtual time, over many seeds. Model milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Simulated {
    /// What was simulated is the detection of crashes by the liveness pipeline alone, for the fleet is
    /// somebody else's: nothing is said of recovery, of mistakes, of jobs, nor of verdicts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pipeline_alone: bool,
    pub runs: u64,
    pub first_seed: u64,
    pub passed: u64,
    pub inconclusive: u64,
    pub failed: u64,
    /// The first seeds that did not pass.
    pub other_seeds: Vec<u64>,
    pub detection_ms: Option<Spread>,
    pub recovery_ms: Option<Spread>,
    /// Runs with at least one mistake, and the mistakes of all runs.
    pub runs_with_mistakes: u64,
    pub mistakes: u64,
    pub runs_with_losses: u64,
    pub runs_with_duplicates: u64,
}

/// How a measured time is spread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Spread {
    pub n: u64,
    pub min: f64,
    pub p1: f64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    /// In ascending order; all, or as many as are kept, evenly over the order. Left out of
    /// `summary.json`; `simulated.json` beside the history has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<f64>,
}

/// Reality and simulation disagree. Not a fail: the bound is what is judged; but the model is missing
/// something, and says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Gap {
    /// `detection_time` or `recovery_time`.
    pub of: String,
    /// How far the measured value that is farthest out lies outside of all that were simulated;
    /// zero if none does and only their distributions differ.
    pub beyond_ms: f64,
    /// Of the two-sample Kolmogorov-Smirnov test, where it was made.
    pub p_value: Option<f64>,
    pub note: String,
}

/// What one simulated run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub seed: u64,
    pub verdict: Verdict,
    pub detection_ms: Vec<f64>,
    pub recovery_ms: Vec<f64>,
    pub mistakes: u64,
    pub losses: bool,
    pub duplicates: bool,
}

impl From<&Judged> for Outcome {
    fn from(judged: &Judged) -> Self {
        Self {
            seed: judged.seed,
            verdict: judged.verdict,
            detection_ms: judged.samples.detection_ms.clone(),
            recovery_ms: judged.samples.recovery_ms.clone(),
            mistakes: judged.mistakes.count,
            losses: judged.jobs.lost > 0 || judged.steps.lost > 0,
            duplicates: judged.jobs.duplicated > 0,
        }
    }
}

impl Simulated {
    /// In the order of the seeds.
    #[must_use]
    pub fn of(outcomes: &[Outcome]) -> Self {
        let count = |verdict| outcomes.iter().filter(|outcome| outcome.verdict == verdict).count() as u64;
        let runs_with =
            |has: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| has(outcome)).count() as u64;
        let others = outcomes.iter().filter(|outcome| outcome.verdict != Verdict::Pass);
        Self {
            pipeline_alone: false,
            runs: outcomes.len() as u64,
            first_seed: outcomes.first().map_or(0, |outcome| outcome.seed),
            passed: count(Verdict::Pass),
            inconclusive: count(Verdict::Inconclusive),
            failed: count(Verdict::Fail),
            other_seeds: others.map(|outcome| outcome.seed).take(SEEDS_MAX).collect(),
            detection_ms: Spread::of(outcomes.iter().flat_map(|outcome| &outcome.detection_ms)),
            recovery_ms: Spread::of(outcomes.iter().flat_map(|outcome| &outcome.recovery_ms)),
            runs_with_mistakes: runs_with(|outcome| outcome.mistakes > 0),
            mistakes: outcomes.iter().map(|outcome| outcome.mistakes).sum(),
            runs_with_losses: runs_with(|outcome| outcome.losses),
            runs_with_duplicates: runs_with(|outcome| outcome.duplicates),
        }
    }

    /// Where the measured times of a scenario's runs and the simulated ones disagree.
    #[must_use]
    pub fn gaps(&self, measured: &[&Judged]) -> Vec<Gap> {
        let resolution = |pick: fn(&Judged) -> Option<f64>| {
            measured.iter().filter_map(|judged| pick(judged)).fold(0.0, f64::max)
        };
        let values = |pick: fn(&Judged) -> &Vec<f64>| {
            measured.iter().flat_map(|judged| pick(judged).iter().copied()).collect::<Vec<f64>>()
        };
        let detection = gap(
            "detection_time",
            &values(|judged| &judged.samples.detection_ms),
            resolution(|judged| judged.detection_ms.map(|q| q.resolution)),
            self.detection_ms.as_ref(),
        );
        let recovery = gap(
            "recovery_time",
            &values(|judged| &judged.samples.recovery_ms),
            resolution(|judged| judged.recovery_ms.map(|q| q.resolution)),
            self.recovery_ms.as_ref(),
        );
        let recovery = recovery.filter(|_| !self.pipeline_alone);
        detection.into_iter().chain(recovery).collect()
    }
}

impl Spread {
    /// Quantiles by nearest rank. `None` of nothing.
    #[must_use]
    pub fn of<'a>(values: impl IntoIterator<Item = &'a f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let rank = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)];
        let last = sorted.len().checked_sub(1)?;
        let kept = sorted.len().min(KEPT_MAX);
        let values = (0..kept).map(|place| sorted[place * last / (kept - 1).max(1)]).collect();
        Some(Self {
            n: sorted.len() as u64,
            min: sorted[0],
            p1: rank(1),
            p50: rank(50),
            p99: rank(99),
            max: sorted[last],
            values,
        })
    }
}

fn gap(of: &str, measured: &[f64], resolution: f64, simulated: Option<&Spread>) -> Option<Gap> {
    let measured = Spread::of(measured)?;
    let gap = |beyond_ms, p_value, note| Some(Gap { of: of.to_owned(), beyond_ms, p_value, note });
    let Some(simulated) = simulated else {
        let note = "It was measured, and never happened in the simulation.".to_owned();
        return gap(0.0, None, note);
    };
    let beyond = (simulated.min - measured.min).max(measured.max - simulated.max) - resolution;
    let below = measured.values.iter().filter(|value| **value < simulated.min - resolution).count();
    let above = measured.values.iter().filter(|value| **value > simulated.max + resolution).count();
    // Of two equal samples, the larger has seen farther: that is no gap, unless it is very far.
    let by_chance = chance_of_lying_beyond(below.max(above), measured.n, simulated.n);
    let is_beyond = by_chance < LEVEL / 2.0 || beyond > simulated.max - simulated.min;
    let compared = measured.values.len() >= COMPARED_MIN;
    let p_value = compared.then(|| kolmogorov_smirnov(&measured.values, &simulated.values));
    let ends = format!("{:.0} to {:.0} ms", simulated.min, simulated.max);
    if beyond > 0.0 && is_beyond {
        let note = format!(
            "Measured {:.0} to {:.0} ms, simulated {ends}: reality is {beyond:.0} ms outside of all {} simulated values.",
            measured.min, measured.max, simulated.n
        );
        return gap(beyond, p_value, note);
    }
    match p_value {
        Some(p) if p < LEVEL => {
            let note = format!(
                "Within the simulated range, and distributed otherwise: median {:.0} ms, simulated {:.0} ms (p = {p:.4}).",
                measured.p50, simulated.p50
            );
            gap(0.0, p_value, note)
        }
        _ => None,
    }
}

/// How likely it is that so many of the measured values lie beyond all simulated ones at one end, if all
/// are of one distribution: any order of the values is then as likely as any other.
fn chance_of_lying_beyond(beyond: usize, measured: u64, simulated: u64) -> f64 {
    (0..beyond as u64).map(|i| (measured - i) as f64 / (measured + simulated - i) as f64).product()
}

/// The two-sample Kolmogorov-Smirnov test: how likely a distance at least as large is if both samples
/// are of one distribution. Both sorted. Asymptotic series with the correction of Stephens (1970), as
/// in Numerical Recipes, 14.3; good for an effective number of values of at least four.
#[must_use]
pub fn kolmogorov_smirnov(one: &[f64], other: &[f64]) -> f64 {
    let (mut i, mut j, mut distance) = (0, 0, 0.0_f64);
    while i < one.len() && j < other.len() {
        let at = one[i].min(other[j]);
        while i < one.len() && one[i] <= at {
            i += 1;
        }
        while j < other.len() && other[j] <= at {
            j += 1;
        }
        let apart = i as f64 / one.len() as f64 - j as f64 / other.len() as f64;
        distance = distance.max(apart.abs());
    }
    let (n, m) = (one.len() as f64, other.len() as f64);
    let effective = (n * m / (n + m)).sqrt();
    let lambda = (effective + 0.12 + 0.11 / effective) * distance;
    if lambda < 0.2 {
        return 1.0;
    }
    let term = |k: i32| {
        let sign = if k % 2 == 1 { 2.0 } else { -2.0 };
        sign * libm::exp(-2.0 * f64::from(k * k) * lambda * lambda)
    };
    (1..=100).map(term).sum::<f64>().clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn even(n: usize, from: f64, to: f64) -> Vec<f64> {
        (0..n).map(|i| from + (to - from) * (i as f64 + 0.5) / n as f64).collect()
    }

    #[test]
    fn quantiles_are_by_nearest_rank_and_few_values_are_all_kept() {
        let spread = Spread::of(&[5.0, 1.0, 3.0]).unwrap();
        assert_eq!((spread.n, spread.min, spread.p50, spread.max), (3, 1.0, 3.0, 5.0));
        assert_eq!(spread.values, [1.0, 3.0, 5.0]);
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&even(50_000, 0.0, 1.0)).unwrap().values.len(), KEPT_MAX);
    }

    #[test]
    fn the_two_sample_test_has_the_textbook_s_values() {
        let same = kolmogorov_smirnov(&even(20, 0.0, 1.0), &even(1_000, 0.0, 1.0));
        assert!(same > 0.99, "{same}");
        let shifted = kolmogorov_smirnov(&even(20, 0.5, 1.5), &even(1_000, 0.0, 1.0));
        assert!(shifted < 1e-3, "{shifted}");
        // D = 0.5 of 8 and 8 values: p = 0.2827 exactly, 0.22 to 0.29 by the asymptotic series.
        let few = kolmogorov_smirnov(&even(8, 0.0, 1.0), &even(8, 0.5, 1.5));
        assert!((0.18..0.30).contains(&few), "{few}");
    }

    #[test]
    fn a_measured_value_outside_of_all_simulated_ones_is_a_gap_of_that_size() {
        let simulated = Spread::of(&even(1_000, 100.0, 200.0));
        assert_eq!(gap("detection_time", &[120.0, 199.0], 1.0, simulated.as_ref()), None);
        assert_eq!(gap("detection_time", &[201.0], 2.0, simulated.as_ref()), None, "within the resolution");
        let found = gap("detection_time", &[250.0], 2.0, simulated.as_ref()).unwrap();
        assert!((47.0..49.0).contains(&found.beyond_ms), "{found:?}");
        let few = Spread::of(&even(200, 100.0, 200.0));
        let one_of_twenty = [even(19, 100.0, 200.0), vec![205.0]].concat();
        assert_eq!(gap("detection_time", &one_of_twenty, 2.0, few.as_ref()), None, "that may be chance");
        let three_of_twenty = [even(17, 100.0, 200.0), vec![205.0; 3]].concat();
        assert!(gap("detection_time", &three_of_twenty, 2.0, few.as_ref()).is_some());
        assert!(gap("detection_time", &[350.0], 2.0, few.as_ref()).is_some(), "too far to be chance");
        assert!(gap("detection_time", &[1.0], 0.0, None).is_some(), "never simulated");
        assert_eq!(gap("detection_time", &[], 0.0, None), None, "nothing measured");
    }

    #[test]
    fn another_distribution_within_the_range_is_a_gap_without_a_distance() {
        let simulated = Spread::of(&even(1_000, 100.0, 200.0));
        let found = gap("recovery_time", &even(20, 180.0, 199.0), 0.0, simulated.as_ref()).unwrap();
        assert_eq!(found.beyond_ms, 0.0);
        assert!(found.p_value.unwrap() < LEVEL);
    }
}
