//! Claims against what was measured. It is the measurement that decides: a scenario that states the
//! true behaviour passes, and the claim of another one is refuted all the same.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::check::{Bound, Judged, Range, Verdict};
use crate::scenario::claims::{Claim, Claims, Condition, Holds};

/// What the runs say of one claim.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedClaim {
    pub id: String,
    pub text: String,
    /// The document that says so.
    pub source: Option<String>,
    pub verdict: ClaimVerdict,
    pub conditions: Vec<JudgedCondition>,
    pub elsewhere: Vec<JudgedElsewhere>,
    /// Those that the conditions name, and those that ran and name the claim.
    pub scenarios: Vec<String>,
}

/// What the runs of another system say of it.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedElsewhere {
    pub system: String,
    pub verdict: ClaimVerdict,
    pub conditions: Vec<JudgedCondition>,
    /// It is confirmed of the one and refuted of the other.
    pub differs: bool,
}

/// Confirmed: every condition was measured by a conclusive run, and holds. Refuted: one was, and
/// certainly does not hold. Else untested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClaimVerdict {
    Confirmed,
    Refuted,
    Untested,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct JudgedCondition {
    pub scenario: String,
    pub figure: String,
    /// Where it must lie: model milliseconds, a count, or a share. Open at both ends where it is a
    /// check's verdict that is asked for.
    pub claimed: Bound,
    /// The least and the most that was measured; `max` is `None` where something did not come at all.
    pub measured: Option<Range>,
    /// The claim rests on it; else it is shown beside the others.
    pub decides: bool,
    pub standing: Standing,
    /// Why it is open.
    pub why: Option<String>,
    /// Conclusive runs in which the figure was measured, and measurements in them.
    pub runs: u64,
    pub values: u64,
    /// Runs in which it certainly held, and in which it certainly did not.
    pub held: u64,
    pub broken: u64,
    /// Of several runs: the share in which it held lies in this interval at 95 % (Clopper and Pearson
    /// 1934); where all or none held, one-sided.
    pub share_held: Option<Bound>,
    /// Of virtual time, not of real processes.
    pub simulated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Holds,
    Broken,
    /// Not measured, or measured too coarsely.
    Open,
}

/// Each claim of the file against the runs. `not_run`: scenarios that could not be run, each with why.
#[must_use]
pub fn judge_claims(claims: &Claims, runs: &[Judged], not_run: &[(&str, &str)]) -> Vec<JudgedClaim> {
    claims.claims.iter().map(|claim| judge(claim, runs, not_run)).collect()
}

fn judge(claim: &Claim, runs: &[Judged], not_run: &[(&str, &str)]) -> JudgedClaim {
    let judge_all = |measured: &[Condition]| -> Vec<JudgedCondition> {
        measured.iter().map(|condition| judge_condition(condition, runs, not_run)).collect()
    };
    let conditions = judge_all(&claim.measured);
    let verdict = verdict(&conditions);
    let elsewhere = claim.elsewhere.iter().map(|other| {
        let conditions = judge_all(&other.measured);
        let of_it = self::verdict(&conditions);
        let is_known = of_it != ClaimVerdict::Untested && verdict != ClaimVerdict::Untested;
        let differs = is_known && of_it != verdict;
        JudgedElsewhere { system: other.system.clone(), verdict: of_it, conditions, differs }
    });
    let elsewhere: Vec<JudgedElsewhere> = elsewhere.collect();
    let all = conditions.iter().chain(elsewhere.iter().flat_map(|other| &other.conditions));
    let named = all.map(|condition| condition.scenario.clone());
    let naming = runs.iter().filter(|run| run.claims.contains(&claim.id)).map(|run| run.name.clone());
    let mut seen = BTreeSet::new();
    let scenarios = named.chain(naming).filter(|name| seen.insert(name.clone())).collect();
    JudgedClaim {
        id: claim.id.clone(),
        text: claim.text.clone(),
        source: claim.source.clone(),
        verdict,
        conditions,
        elsewhere,
        scenarios,
    }
}

fn verdict(conditions: &[JudgedCondition]) -> ClaimVerdict {
    let any = |standing| conditions.iter().any(|it| it.decides && it.standing == standing);
    if any(Standing::Broken) {
        ClaimVerdict::Refuted
    } else if any(Standing::Open) || !conditions.iter().any(|condition| condition.decides) {
        ClaimVerdict::Untested
    } else {
        ClaimVerdict::Confirmed
    }
}

/// What the runs of one scenario say of one condition.
#[derive(Default)]
struct Tally {
    /// Conclusive runs in which the figure was measured.
    runs: u64,
    values: u64,
    held: u64,
    broken: u64,
    measured: Option<Range>,
}

fn judge_condition(condition: &Condition, runs: &[Judged], not_run: &[(&str, &str)]) -> JudgedCondition {
    let of_it: Vec<&Judged> = runs.iter().filter(|run| run.name == condition.scenario).collect();
    // Of a simulated run's many seeds only those that did not pass are shown beside the first: they
    // say nothing of how often something holds.
    let simulated = !of_it.is_empty() && of_it.iter().all(|run| run.backend == "sim");
    let counted = of_it.iter().filter(|run| !simulated || run.repeat == 1);
    let conclusive: Vec<&&Judged> = counted.filter(|run| run.verdict != Verdict::Inconclusive).collect();
    let mut tally = Tally::default();
    for run in &conclusive {
        tally.add(condition, run);
    }
    let standing = match (tally.broken, tally.held) {
        (1.., _) => Standing::Broken,
        (0, held) if held > 0 && held == tally.runs => Standing::Holds,
        _ => Standing::Open,
    };
    let name = &condition.scenario;
    let why = (standing == Standing::Open).then(|| {
        if let Some((_, why)) = not_run.iter().find(|(known, _)| known == name) {
            format!("{name} could not be run: {why}")
        } else if of_it.is_empty() {
            format!("{name} was not run")
        } else if conclusive.is_empty() {
            format!("{name} was inconclusive")
        } else if tally.runs == 0 {
            format!("{} was not measured in {name}", condition.figure)
        } else {
            format!("what was measured in {name} lies across the end of what is claimed")
        }
    });
    let claimed = match condition.holds {
        Holds::Within { min, max } => Bound { min, max },
        Holds::Check { .. } | Holds::Any => Bound { min: None, max: None },
    };
    JudgedCondition {
        scenario: name.clone(),
        figure: condition.figure.clone(),
        claimed,
        measured: tally.measured,
        decides: condition.holds != Holds::Any,
        standing,
        why,
        runs: tally.runs,
        values: tally.values,
        held: tally.held,
        broken: tally.broken,
        share_held: (tally.runs > 1 && condition.holds != Holds::Any)
            .then(|| share_interval(tally.held, tally.runs)),
        simulated,
    }
}

impl Tally {
    fn add(&mut self, condition: &Condition, run: &Judged) {
        let standings: Vec<Standing> = match condition.holds {
            Holds::Check { passes } => {
                let check = run.checks.iter().find(|check| check.name == condition.figure);
                let standing = |verdict| match verdict {
                    Verdict::Inconclusive => Standing::Open,
                    verdict if (verdict == Verdict::Pass) == passes => Standing::Holds,
                    _ => Standing::Broken,
                };
                check.map(|check| standing(check.verdict)).into_iter().collect()
            }
            Holds::Within { .. } | Holds::Any => {
                let (min, max) = match condition.holds {
                    Holds::Within { min, max } => (min, max),
                    Holds::Check { .. } | Holds::Any => (None, None),
                };
                let figure = run.figures.iter().find(|figure| figure.name == condition.figure);
                let values = figure.map_or(&[][..], |figure| &figure.values);
                self.values += values.len() as u64;
                for value in values {
                    self.measured = Some(self.measured.map_or(*value, |so_far| hull(so_far, *value)));
                }
                values.iter().map(|value| standing(*value, min, max)).collect()
            }
        };
        if standings.is_empty() {
            return;
        }
        self.runs += 1;
        self.broken += u64::from(standings.contains(&Standing::Broken));
        self.held += u64::from(standings.iter().all(|standing| *standing == Standing::Holds));
    }
}

/// Wholly within: it holds. Wholly outside: it is broken. Across an end: open.
fn standing(value: Range, min: Option<f64>, max: Option<f64>) -> Standing {
    let most = value.max.unwrap_or(f64::INFINITY);
    let (least_claimed, most_claimed) = (min.unwrap_or(f64::NEG_INFINITY), max.unwrap_or(f64::INFINITY));
    if value.min > most_claimed || most < least_claimed {
        Standing::Broken
    } else if least_claimed <= value.min && (most <= most_claimed && value.max.is_some()) {
        Standing::Holds
    } else {
        Standing::Open
    }
}

fn hull(one: Range, other: Range) -> Range {
    let max = one.max.zip(other.max).map(|(one, other)| one.max(other));
    Range { min: one.min.min(other.min), max }
}

/// The level of confidence.
const LEVEL: f64 = 0.95;

/// Where the probability lies that shows itself in `held` of `runs` runs, at 95 %: Clopper and Pearson,
/// "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika 26,
/// 1934. Where none or all held, all of the doubt is on one side: with none of n the upper end is
/// 1 − 0.05^(1/n), the exact form of the rule of three.
#[must_use]
pub fn share_interval(held: u64, runs: u64) -> Bound {
    let doubt = 1.0 - LEVEL;
    let one_sided = held == 0 || held >= runs;
    let tail = if one_sided { doubt } else { doubt / 2.0 };
    let min = match held {
        0 => 0.0,
        // The share at which so many or more would be as rare as the tail.
        held => solve(|share| 1.0 - at_most(held - 1, runs, share) >= tail),
    };
    let max = match held {
        held if held >= runs => 1.0,
        // The share at which so few or fewer would be.
        held => solve(|share| at_most(held, runs, share) <= tail),
    };
    // More digits would not survive the report's file, and mean nothing.
    let round = |share: f64| (share * 1e6).round() / 1e6;
    Bound { min: Some(round(min)), max: Some(round(max)) }
}

/// Where a condition that turns true once as the share rises does so.
fn solve(is_true: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    // Each halving is a bit of the result: 60 of them are all that a double has.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if is_true(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    f64::midpoint(low, high)
}

/// P(X ≤ k) of a binomial with `runs` trials, by its terms: their logarithms do not underflow.
fn at_most(k: u64, runs: u64, share: f64) -> f64 {
    if share <= 0.0 {
        return 1.0;
    }
    if share >= 1.0 {
        return if k >= runs { 1.0 } else { 0.0 };
    }
    let (p, q) = (libm::log(share), libm::log1p(-share));
    let factorial = |n: u64| libm::lgamma(n as f64 + 1.0);
    let all = factorial(runs);
    let term = |i: u64| {
        let log = all - factorial(i) - factorial(runs - i) + i as f64 * p + (runs - i) as f64 * q;
        libm::exp(log)
    };
    (0..=k.min(runs)).map(term).sum::<f64>().min(1.0)
}
