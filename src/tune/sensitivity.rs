//! Which assumption breaks a setting first, and at what value.

use super::figures::Figures;
use super::point::{Asked, Constraint};
use crate::dist::Distribution;
use crate::scenario::question::{Question, Spells};
use crate::time::Span;
use crate::timing::Pipeline;

/// What was assumed, and may turn out worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assumption {
    Delay,
    Loss,
    PauseLength,
    PauseRate,
    OutageLength,
    OutageRate,
    Skew,
    Workers,
}

/// From so many times the assumed value on, this no longer holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Breaks {
    pub assumption: Assumption,
    /// Above 1.
    pub factor: f64,
    pub first: Constraint,
}

const ALL: [Assumption; 8] = [
    Assumption::Delay,
    Assumption::Loss,
    Assumption::PauseLength,
    Assumption::PauseRate,
    Assumption::OutageLength,
    Assumption::OutageRate,
    Assumption::Skew,
    Assumption::Workers,
];
/// Nobody is wrong by more than that.
const FACTOR_MAX: f64 = 1_000.0;
/// Of the factor's logarithm, up to its greatest; then within the step.
const STEPS: u32 = 64;
const HALVINGS: u32 = 32;
const MILLION: f64 = 1e6;

/// What a setting can bear beyond what is assumed.
#[derive(Debug, Clone, Copy)]
pub struct Spare<'q> {
    /// Without the question's delay in it.
    pub pipeline: &'q Pipeline,
    pub question: &'q Question,
    pub asked: &'q [Asked],
}

impl Spare<'_> {
    /// For each assumption that is not nothing, the least factor at which something that is asked fails; the
    /// nearest first. What holds at a thousand times its value is left out.
    #[must_use]
    pub fn breaks(self) -> Vec<Breaks> {
        let breaks = |assumption| {
            let step = (1..=STEPS).find(|step| self.fails(assumption, log_of(*step)).is_some())?;
            self.within(assumption, step)
        };
        let mut found: Vec<Breaks> = ALL.into_iter().filter_map(breaks).collect();
        found.sort_by(|a, b| a.factor.total_cmp(&b.factor));
        found
    }

    /// The least of the factors of [`Self::breaks`]; a thousand if there is none.
    #[must_use]
    pub fn least(self) -> f64 {
        let within = |step: u32| {
            let factors = ALL.into_iter().filter_map(|it| Some(self.within(it, step)?.factor));
            factors.reduce(f64::min)
        };
        (1..=STEPS).find_map(within).unwrap_or(FACTOR_MAX)
    }

    /// Whether any one assumption may be so many times as large.
    #[must_use]
    pub fn holds_at(self, factor: f64) -> bool {
        ALL.into_iter().all(|it| self.fails(it, libm::log(factor)).is_none())
    }

    /// What fails first at this factor, whose logarithm is given.
    fn fails(self, assumption: Assumption, log: f64) -> Option<Constraint> {
        let figures = Figures::of(self.pipeline, &worse(self.question, assumption, libm::exp(log)));
        self.asked.iter().find(|asked| !asked.holds(&figures)).map(|asked| asked.constraint)
    }

    /// Where in this step it breaks, if it does not hold at its end. What is lost for ever is never wrong again,
    /// so that it may hold again later: the first step that fails is the one to ask for.
    fn within(self, assumption: Assumption, step: u32) -> Option<Breaks> {
        let (mut low, mut high) = (log_of(step - 1), log_of(step));
        let mut first = self.fails(assumption, high)?;
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            match self.fails(assumption, middle) {
                Some(constraint) => (high, first) = (middle, constraint),
                None => low = middle,
            }
        }
        Some(Breaks { assumption, factor: libm::exp(high), first })
    }
}

/// Of the factor at the end of a step.
fn log_of(step: u32) -> f64 {
    libm::log(FACTOR_MAX) / f64::from(STEPS) * f64::from(step)
}

/// The question with one assumption so many times as large.
fn worse(question: &Question, assumption: Assumption, factor: f64) -> Question {
    let mut worse = question.clone();
    let bear = &mut worse.bear;
    let longer =
        |distribution: &mut Distribution| *distribution = distribution.map(|span| times(span, factor));
    let rarer = |spells: &mut Spells| {
        // So that they come `factor` times as often, with what they last.
        let apart = spells.gap.mean_ns() + spells.lasting.mean_ns();
        let gap = (apart / factor - spells.lasting.mean_ns()).max(0.0) / spells.gap.mean_ns();
        spells.gap = spells.gap.map(|span| times(span, gap));
    };
    match assumption {
        Assumption::Delay => longer(&mut bear.delay),
        Assumption::Loss => bear.loss_ppm = (f64::from(bear.loss_ppm) * factor).min(MILLION) as u32,
        Assumption::PauseLength => bear.pauses.iter_mut().for_each(|spells| longer(&mut spells.lasting)),
        Assumption::PauseRate => bear.pauses.iter_mut().for_each(rarer),
        Assumption::OutageLength => bear.outages.iter_mut().for_each(|spells| longer(&mut spells.lasting)),
        Assumption::OutageRate => bear.outages.iter_mut().for_each(rarer),
        Assumption::Skew => bear.skew = times(bear.skew, factor),
        Assumption::Workers => {
            let workers = question.later.unwrap_or(question.workers) as f64;
            worse.later = Some((workers * factor) as u64);
        }
    }
    worse
}

fn times(span: Span, factor: f64) -> Span {
    Span::from_nanos((span.as_nanos() as f64 * factor) as u64)
}
