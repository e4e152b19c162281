//! What recorded runs say of that which a question assumes: how late beats are, how long their store takes,
//! and how long and how often workers stood still. In model time, as reports are: only at a time scale of 1 is
//! a store as slow as it was recorded.

use std::collections::BTreeMap;

use crate::dist::{Distribution, Recorded};
use crate::fault::{FaultId, Injection, Stage};
use crate::history::log::History;
use crate::history::{Event, Phase, What};
use crate::names::ProcessName;
use crate::protocol::FleetEvent;
use crate::scenario::Scenario;
use crate::scenario::question::{Bear, Spells};
use crate::time::{Instant, Scale, Span};

/// Of a recording with more samples, as many are kept, evenly: the least and the greatest among them.
const SAMPLES_MAX: usize = 129;
/// Kolmogorov: of samples of the distribution itself one in a hundred is farther away than that over √n.
const DISTANCE_99: f64 = 1.628;
/// −ln 0.01: what did not happen in t happens, at 99 %, less than so often in t.
const NEVER_99: f64 = 4.605;

/// What was recorded of one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    pub count: usize,
    /// What is reckoned and simulated with.
    pub recorded: Recorded,
    /// The shape that is closest to it.
    pub shape: Distribution,
    /// The greatest difference of the two distribution functions.
    pub distance: f64,
}

/// All that recorded runs say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    pub runs: u64,
    /// Some run had another time scale than 1.
    pub scaled: bool,
    /// How long workers ran, all together.
    pub observed: Span,
    /// By how much the next beat came later than an interval after the last.
    pub lateness: Option<Fit>,
    /// From a beat's sending to the store's acknowledgement.
    pub latency: Option<Fit>,
    /// Both together, of each beat.
    pub delay: Option<Fit>,
    /// Of pauses that the runs proved.
    pub pauses: Option<Fit>,
}

impl Fit {
    fn of(mut samples: Vec<Span>) -> Option<Self> {
        samples.sort_unstable();
        let shapes = shapes(&samples)?.map(|shape| (distance(&shape, &samples), shape));
        let (distance, shape) = shapes.into_iter().reduce(|a, b| if b.0 < a.0 { b } else { a })?;
        let count = samples.len();
        Some(Self { count, recorded: Recorded::new(thinned(samples))?, shape, distance })
    }

    /// Whether a sample of the shape would be as far away from it in more than one of a hundred cases.
    #[must_use]
    pub fn is_close(&self) -> bool {
        self.distance <= DISTANCE_99 / (self.count as f64).sqrt()
    }

    /// At 99 % no greater part of all is longer than the longest that was recorded.
    #[must_use]
    pub fn longer_at_most(&self) -> f64 {
        (NEVER_99 / self.count as f64).min(1.0)
    }

    /// So many parts of a hundred, at least, do not exceed it.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Span {
        let samples = self.recorded.samples();
        samples[((samples.len() - 1) * percent.min(100)).div_ceil(100)]
    }
}

impl Trace {
    /// Each run with its scenario, as it was resolved for it.
    #[must_use]
    pub fn of<'r>(runs: impl IntoIterator<Item = (&'r Scenario, &'r History)>) -> Self {
        let mut trace = Self::default();
        let mut seen = Seen::default();
        for (scenario, history) in runs {
            trace.runs += 1;
            trace.scaled |= scenario.time_scale != Scale::ONE;
            Recording::of(scenario, history).tell(&mut seen);
        }
        let Seen { observed, lateness, latency, delay, pauses } = seen;
        Self {
            observed,
            lateness: Fit::of(lateness),
            latency: Fit::of(latency),
            delay: Fit::of(delay),
            pauses: Fit::of(pauses),
            ..trace
        }
    }

    /// Puts what was recorded in place of what is assumed; what was not seen stays as it is.
    pub fn replace(&self, bear: &mut Bear) {
        if let Some(delay) = &self.delay {
            bear.delay = Distribution::Empirical(delay.recorded.clone());
        }
        if let (Some(pauses), Some(apart)) = (&self.pauses, self.pauses_apart()) {
            let lasting = Distribution::Empirical(pauses.recorded.clone());
            bear.pauses = Some(Spells { gap: Distribution::Exponential { mean: apart }, lasting });
        }
    }

    /// From the end of one to the start of the next, on average.
    #[must_use]
    pub fn pauses_apart(&self) -> Option<Span> {
        let pauses = self.pauses.as_ref()?;
        let lasted = Distribution::Empirical(pauses.recorded.clone()).mean();
        let count = pauses.count as u64;
        let between = self.observed.as_nanos().saturating_sub(lasted.saturating_mul(count).as_nanos());
        Some(Span::from_nanos((between / count).max(1)))
    }

    /// Of a worker in a day, at 99 % fewer than that; where none was seen.
    #[must_use]
    pub fn pauses_per_day_at_most(&self) -> Option<f64> {
        let days = self.observed.as_secs_f64() / super::figures::DAY_S;
        (self.pauses.is_none() && days > 0.0).then(|| NEVER_99 / days)
    }
}

/// What was seen, in model time.
#[derive(Debug, Default)]
struct Seen {
    observed: Span,
    lateness: Vec<Span>,
    latency: Vec<Span>,
    delay: Vec<Span>,
    pauses: Vec<Span>,
}

/// A fault in force: on one process, or, without one, on all.
#[derive(Debug, Clone, Copy)]
struct Force<'h> {
    process: Option<&'h ProcessName>,
    is_pause: bool,
    from: Instant,
    /// `None`: it was not healed.
    to: Option<Instant>,
}

struct Recording<'h> {
    scenario: &'h Scenario,
    events: &'h [Event],
    forces: BTreeMap<(FaultId, u16), Force<'h>>,
}

impl<'h> Recording<'h> {
    fn of(scenario: &'h Scenario, history: &'h History) -> Self {
        let mut forces: BTreeMap<_, Force<'h>> = BTreeMap::new();
        for event in &history.events {
            let What::FaultDone { order, effective, .. } = &event.ev else { continue };
            let part = (order.fault, order.part);
            match order.stage {
                Stage::Onset => {
                    let is_pause = matches!(order.injection, Injection::Pause { .. });
                    let process = order.injection.process();
                    forces.insert(part, Force { process, is_pause, from: effective.0, to: None });
                }
                Stage::Heal => {
                    if let Some(force) = forces.get_mut(&part) {
                        force.to = Some(effective.1);
                    }
                }
            }
        }
        Self { scenario, events: &history.events, forces }
    }

    fn tell(&self, seen: &mut Seen) {
        let scale = self.scenario.time_scale;
        let workers = self.scenario.fleet.workers();
        let interval = self.scenario.fleet.pipeline.as_ref().filter(|it| it.beats()).map(|it| it.interval());
        let mut lives: BTreeMap<&ProcessName, Life> = BTreeMap::new();
        let until = self.events.iter().find(|event| matches!(event.ev, What::Phase(Phase::TearDown)));
        let until = until.or(self.events.last()).map_or(Instant::ZERO, |event| event.at);
        for event in self.events.iter().filter(|event| workers.contains(&event.by)) {
            match &event.ev {
                What::Started { .. } => {
                    let before = lives.insert(&event.by, Life { since: event.at, last_beat: None });
                    seen.observed = seen.observed + ran(before, event.at, scale);
                }
                What::Exited { .. } => {
                    seen.observed = seen.observed + ran(lives.remove(&event.by), event.at, scale);
                }
                What::Fleet(FleetEvent::Beat { sent }) => {
                    let Some(life) = lives.get_mut(&event.by) else { continue };
                    let last = life.last_beat.replace(*sent);
                    let since = last.unwrap_or(*sent);
                    if self.forces.values().any(|force| force.touches(&event.by, since, event.at)) {
                        continue;
                    }
                    let latency = scale.to_model(event.at.since(*sent));
                    seen.latency.push(latency);
                    let Some((last, interval)) = last.zip(interval) else { continue };
                    let late = sent.since(last) - interval;
                    // Else a beat is missing: it failed.
                    if late < interval {
                        let late = scale.to_model(late);
                        seen.lateness.push(late);
                        seen.delay.push(late + latency);
                    }
                }
                _ => {}
            }
        }
        for life in lives.into_values() {
            seen.observed = seen.observed + ran(Some(life), until, scale);
        }
        let is_worker = |force: &Force<'_>| force.process.is_some_and(|process| workers.contains(process));
        let pauses = self.forces.values().filter(|force| force.is_pause && is_worker(force));
        let lasted = pauses.filter_map(|force| Some(scale.to_model(force.to?.since(force.from))));
        seen.pauses.extend(lasted);
    }
}

/// One run of a process.
struct Life {
    since: Instant,
    last_beat: Option<Instant>,
}

fn ran(life: Option<Life>, until: Instant, scale: Scale) -> Span {
    life.map_or(Span::ZERO, |life| scale.to_model(until.since(life.since)))
}

impl Force<'_> {
    fn touches(&self, process: &ProcessName, from: Instant, to: Instant) -> bool {
        self.process.is_none_or(|it| it == process)
            && self.from <= to
            && self.to.is_none_or(|end| from <= end)
    }
}

/// By moments and quantiles; `None` without samples.
fn shapes(samples: &[Span]) -> Option<[Distribution; 3]> {
    let (least, most) = (*samples.first()?, *samples.last()?);
    let mean = samples.iter().map(|it| it.as_nanos() as f64).sum::<f64>() / samples.len() as f64;
    let at = |percent: usize| samples[(samples.len() - 1) * percent / 100].max(Span::from_nanos(1));
    Some([
        Distribution::Lognormal { median: at(50), p99: at(99) },
        Distribution::Exponential { mean: Span::from_nanos((mean as u64).max(1)) },
        Distribution::Uniform { min: least, max: most },
    ])
}

/// Kolmogorov's: the greatest difference, before and after each step.
fn distance(shape: &Distribution, sorted: &[Span]) -> f64 {
    let count = sorted.len() as f64;
    let apart = sorted.iter().enumerate().map(|(number, sample)| {
        let at_ns = sample.as_nanos() as f64;
        let (below, up_to) = (shape.below(at_ns), 1.0 - shape.above(at_ns));
        f64::max(below - number as f64 / count, (number + 1) as f64 / count - up_to)
    });
    apart.fold(0.0, f64::max)
}

fn thinned(sorted: Vec<Span>) -> Vec<Span> {
    let last = sorted.len().saturating_sub(1);
    if last < SAMPLES_MAX {
        return sorted;
    }
    (0..SAMPLES_MAX).map(|number| sorted[last * number / (SAMPLES_MAX - 1)]).collect()
}
