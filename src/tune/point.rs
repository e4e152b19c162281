//! A setting, what it gives, and what of that which is asked it holds.

use super::figures::Figures;
use super::front::Cost;
use super::simulated::Simulated;
use crate::scenario::catalogue::Quantity;
use crate::scenario::question::{Hold, Question};
use crate::timing::Pipeline;

/// Something that is asked for, with its limit as the question has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Constraint {
    Detection,
    Recovery,
    MistakesPerDay,
    QueryAccuracy,
    BeatsPerSecond,
}

/// What is asked for: never more than `limit`, in seconds, a day's mistakes, a share, or beats per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    pub constraint: Constraint,
    /// Of the query accuracy, what it may lack to 1.
    pub limit: f64,
}

/// A setting, and what it gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Of the parameters that move, in the question's order.
    pub values: Vec<(String, Quantity)>,
    pub figures: Figures,
    /// By how much of each limit it stays below it, in the order of what is asked: 1 − value ÷ limit, so
    /// negative where it does not hold.
    pub margins: Vec<f64>,
    /// Of the settings that are shown, if the simulator has such a pipeline.
    pub simulated: Option<Simulated>,
}

impl Constraint {
    /// What is held against the limit: the worst that the figures allow.
    #[must_use]
    pub fn of(self, figures: &Figures) -> f64 {
        match self {
            Self::Detection => figures.detection.map_or(f64::INFINITY, |(_, most)| most.as_secs_f64()),
            Self::Recovery => figures.recovery.map_or(f64::INFINITY, |most| most.as_secs_f64()),
            Self::MistakesPerDay => figures.mistakes.total().most,
            Self::QueryAccuracy => figures.inaccuracy.most,
            Self::BeatsPerSecond => figures.beats_per_second,
        }
    }
}

impl Asked {
    #[must_use]
    pub fn all(hold: &Hold) -> Vec<Self> {
        let asked = [
            (Constraint::Detection, hold.detection.map(|span| span.as_secs_f64())),
            (Constraint::Recovery, hold.recovery.map(|span| span.as_secs_f64())),
            (Constraint::MistakesPerDay, hold.mistakes_per_day),
            (Constraint::QueryAccuracy, hold.query_accuracy.map(|share| 1.0 - share)),
            (Constraint::BeatsPerSecond, hold.beats_per_second),
        ];
        let asked = asked.into_iter().filter_map(|(constraint, limit)| Some((constraint, limit?)));
        asked.map(|(constraint, limit)| Self { constraint, limit }).collect()
    }

    #[must_use]
    pub fn holds(&self, figures: &Figures) -> bool {
        self.constraint.of(figures) <= self.limit
    }

    /// 1 − value ÷ limit; a limit of nothing is kept by nothing alone.
    #[must_use]
    pub fn margin(&self, figures: &Figures) -> f64 {
        let value = self.constraint.of(figures);
        if self.limit > 0.0 {
            1.0 - value / self.limit
        } else if value <= 0.0 {
            0.0
        } else {
            f64::NEG_INFINITY
        }
    }
}

impl Point {
    #[must_use]
    pub fn holds(&self) -> bool {
        self.margins.iter().all(|margin| *margin >= 0.0)
    }

    /// The smallest of its margins; without a limit there is none to fall short of.
    #[must_use]
    pub fn smallest_margin(&self) -> f64 {
        self.margins.iter().copied().fold(1.0, f64::min)
    }

    /// The simulation saw surely more mistakes than the closed form has at most: things that went wrong coincided.
    #[must_use]
    pub fn coincide(&self) -> bool {
        self.is_refuted(self.figures.mistakes.total().most)
    }

    /// The simulation saw surely more mistakes a day than these.
    pub(super) fn is_refuted(&self, limit: f64) -> bool {
        self.simulated.is_some_and(|it| it.mistakes_per_day.low > limit)
    }

    /// Without the question's delay in it.
    #[must_use]
    pub fn pipeline(&self, question: &Question) -> Option<Pipeline> {
        let mut values = question.system.values();
        values.extend(self.values.iter().cloned());
        question.system.pipeline_of(&values).ok()
    }

    #[must_use]
    pub fn cost(&self) -> Cost {
        Cost {
            detection_s: Constraint::Detection.of(&self.figures),
            mistakes_per_day: Constraint::MistakesPerDay.of(&self.figures),
            beats_per_second: self.figures.beats_per_second,
        }
    }
}
