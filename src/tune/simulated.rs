//! A setting in the simulator ([`crate::sim::pipeline`]): how often it is wrong with everything that has to
//! be borne at once, and how soon a crash is seen as a rule, which no bound says.
//!
//! Common random numbers: each stretch is one worker's, whose pauses, outages, delays and losses have streams
//! of their own from the seed. Every setting meets the same pauses and the same outages.

use super::figures::{DAY_S, looks_each};
use crate::dist::Distribution;
use crate::scenario::question::{self, Bear};
use crate::sim::detectors::{BATCHES, Estimate};
use crate::sim::pipeline::{Asks, Beat, Checker, Expiry, Faults, Link, Outcome, Pipeline, Schedule, Spells};
use crate::time::Span;
use crate::timing::{self, Gate, Guard, Rhythm};

/// Of the events, this part is for crashes.
const FOR_CRASHES: u64 = 4;
/// Of the longest detection: between two crashes on average, and how long each lasts.
const APART: u64 = 4;
const LASTING: u64 = 2;
/// No stretch is longer: 10 years.
const STRETCH_MAX_S: f64 = 3_650.0 * DAY_S;

/// What a simulation of one setting saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Simulated {
    pub worker_days: f64,
    pub mistakes: u64,
    /// Of one worker and day, with the interval that holds the true figure in 99 of 100 simulations.
    pub mistakes_per_day: Estimate,
    /// Of so many crashes, without pauses and outages: the median of the detection, and what one in a
    /// hundred exceeds. `None`: a crash may never be seen.
    pub detection: Option<(Span, Span)>,
    pub crashes: u64,
}

/// About `events` events. `None` for what the simulated pipeline does not have: a checker that is called by
/// chance, sweeps that are paced or wait for an idle worker, a session that ends, a store's own latency.
#[must_use]
pub fn simulate(pipeline: &timing::Pipeline, bear: &Bear, events: u64, seed: u64) -> Option<Simulated> {
    let detector = of(pipeline, bear)?;
    // A lock is lost at its end, whoever looks.
    let asks = if looks_each(pipeline).is_zero() { Asks::Always } else { detector.checker.asks.clone() };
    let borne = Pipeline {
        checker: Checker { asks, ..detector.checker.clone() },
        faults: Faults {
            pauses: bear.pauses.as_ref().map(spells),
            outages: bear.outages.as_ref().map(spells),
            crashes: None,
        },
        ..detector.clone()
    };
    let stretches = stretches(&borne, events, seed)?;
    let counts = stretches.each_ref().map(|outcome| outcome.mistakes);
    let worker_days = stretches.iter().map(|outcome| outcome.up_ns as f64).sum::<f64>() / 1e9 / DAY_S;
    let seen = crashes(&detector, pipeline, events / FOR_CRASHES, seed);
    Some(Simulated {
        worker_days,
        mistakes: counts.iter().sum(),
        mistakes_per_day: Estimate::of_count(&counts).per(worker_days),
        detection: seen
            .as_ref()
            .and_then(|seen| Some((seen.detection.quantile(500_000)?, seen.detection.quantile(990_000)?))),
        crashes: seen.map_or(0, |seen| seen.detection.count()),
    })
}

fn crashes(detector: &Pipeline, pipeline: &timing::Pipeline, events: u64, seed: u64) -> Option<Outcome> {
    let most = pipeline.detection(Span::ZERO).most()?.max(detector.beat.every);
    let faults = Faults {
        crashes: Some(Spells {
            gap: Distribution::Exponential { mean: most.saturating_mul(APART) },
            lasting: Distribution::Constant(most.saturating_mul(LASTING)),
        }),
        ..Faults::default()
    };
    let stretches = stretches(&Pipeline { faults, ..detector.clone() }, events, seed)?;
    let mut sum = Outcome::default();
    stretches.iter().for_each(|outcome| sum.merge(outcome));
    Some(sum)
}

/// Each of a worker of its own, so long that all together have about so many events.
fn stretches(pipeline: &Pipeline, events: u64, seed: u64) -> Option<[Outcome; BATCHES]> {
    let looks = match &pipeline.checker.asks {
        Asks::Always => pipeline.beat.every.as_secs_f64(),
        Asks::Each(every) | Asks::Together(every) => every.mean_ns() / 1e9,
    };
    let per_s = 2.0 / pipeline.beat.every.as_secs_f64() + 1.0 / looks;
    let stretch_s = (events as f64 / BATCHES as f64 / per_s).min(STRETCH_MAX_S);
    let stretch = Span::from_nanos((stretch_s * 1e9) as u64);
    let mut stretches = [(); BATCHES].map(|()| Outcome::default());
    for (number, outcome) in (0..).zip(&mut stretches) {
        *outcome = pipeline.simulate(stretch, seed.wrapping_mul(BATCHES as u64).wrapping_add(number)).ok()?;
    }
    Some(stretches)
}

/// One worker, without faults.
fn of(pipeline: &timing::Pipeline, bear: &Bear) -> Option<Pipeline> {
    let timing::Beat { rhythm, buffer, delay, latency } = pipeline.beat;
    if !pipeline.beats() || !latency.is_zero() {
        return None;
    }
    let slack = buffer + delay;
    let (every, schedule, late) = match rhythm {
        Rhythm::Every(every) => (every, Schedule::FixedRate, upto(slack)),
        Rhythm::Wakes(within) if slack.is_zero() => {
            (within.min(), Schedule::FixedDelay, upto(within.max() - within.min()))
        }
        // Nothing is late, so that each look but the last finds too much left.
        Rhythm::Renew { .. } if slack.is_zero() => {
            (pipeline.interval(), Schedule::FixedRate, upto(Span::ZERO))
        }
        Rhythm::Wakes(_) | Rhythm::Renew { .. } | Rhythm::Never => return None,
    };
    let age = pipeline.expiry.age().map(|age| {
        let ahead = if age.two_clocks() { bear.skew } else { Span::ZERO };
        age.threshold - ahead
    });
    let (asks, retries, backoff, sweeps) = match &pipeline.checker {
        timing::Checker::OnDemand(asked) => {
            let asks = match asked.every {
                Span::ZERO => Asks::Always,
                every => Asks::Each(Distribution::Constant(every)),
            };
            (asks, asked.retries, asked.backoff, 1)
        }
        timing::Checker::Sweep(sweep) => {
            let paced = matches!(sweep.guard, Guard::Paced(guard) if guard > sweep.period);
            if paced || !matches!(sweep.gate, Gate::Open | Gate::Leader(_)) {
                return None;
            }
            let asks = Asks::Together(Distribution::Constant(sweep.period));
            (asks, 0, Span::ZERO, if sweep.two_phase { 2 } else { 1 })
        }
        timing::Checker::Chance { .. } | timing::Checker::Nobody => return None,
    };
    let simulated = Pipeline {
        workers: 1,
        beat: Beat { every, schedule, late },
        link: Link { delay: bear.delay.clone(), loss_ppm: bear.loss_ppm },
        expiry: Expiry { ttl: pipeline.expiry.ttl(), age },
        checker: Checker { asks, retries, backoff, sweeps },
        faults: Faults::default(),
    };
    simulated.check().is_ok().then_some(simulated)
}

fn upto(max: Span) -> Distribution {
    if max.is_zero() { Distribution::Constant(max) } else { Distribution::Uniform { min: Span::ZERO, max } }
}

fn spells(spells: &question::Spells) -> Spells {
    Spells { gap: spells.gap.clone(), lasting: spells.lasting.clone() }
}
