//! What a detector would need that is free to choose when it asks.

use super::figures::DAY_S;
use crate::scenario::question::Question;
use crate::time::Span;
use crate::timing::qos::configure::{Configuration, Requirement, Unmet, known_distribution, moments_only};

/// What a detector needs that is free to choose when it asks: freshness points, NFD-S (Chen, Toueg and Aguilera
/// 2002), with a detection and mistakes by lost and late beats as they are asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Yardstick {
    /// With the delay's distribution as it is borne.
    pub known: Result<Configuration, Unmet>,
    /// With no more of it than mean and variance.
    pub moments: Result<Configuration, Unmet>,
}

impl Yardstick {
    /// T_MR^L is the time that the mistakes of a day are apart, T_M^U the part of it that the query accuracy
    /// leaves: `T_M = (1 − P_A)·T_MR`. Without one a mistake may last as long as it likes.
    pub(super) fn of(question: &Question) -> Option<Self> {
        let hold = &question.hold;
        let per_day = hold.mistakes_per_day.filter(|most| *most > 0.0)?;
        let recurrence_s = DAY_S / per_day;
        let span = |seconds: f64| Span::from_nanos((seconds * 1e9) as u64);
        let requirement = Requirement {
            detection_max: hold.detection?,
            recurrence_min: span(recurrence_s),
            duration_max: hold.query_accuracy.map_or(Span::MAX, |share| span((1.0 - share) * recurrence_s)),
        };
        let (loss, delay) = (question.bear.loss_ppm, &question.bear.delay);
        Some(Self {
            known: known_distribution(&requirement, loss, delay),
            moments: moments_only(&requirement, loss, delay.mean(), delay.variance_ns2() / 1e18),
        })
    }
}
