//! Settings that are allowed and cannot work, or work less well than they look: what follows from a
//! pipeline alone.

use serde::{Deserialize, Serialize};

use crate::time::Span;
use crate::timing::{Checker, Mistakes, Pipeline, Subject};

/// A warning. Durations are as the pipeline's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The key is gone before its age can reach the threshold.
    ThresholdNeverDecides { ttl: Span, threshold: Span },
    /// A beat expires no later than the next one is written; `bridged`: only retries reach over it.
    MistakesCertain { expiry: Span, interval: Span, bridged: bool },
    /// A beat expires before the next but one is written.
    NoBeatMayBeLost { expiry: Span, interval: Span },
    /// The lock ends no later than its renewal.
    RenewalTooLate { lock: Span, renewal: Span },
}

impl Finding {
    /// The stable name, with the page `docs/errors/` after its last part.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ThresholdNeverDecides { .. } => "lint::threshold-never-decides",
            Self::MistakesCertain { .. } => "lint::mistakes-certain",
            Self::NoBeatMayBeLost { .. } => "lint::no-beat-may-be-lost",
            Self::RenewalTooLate { .. } => "lint::renewal-too-late",
        }
    }

    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::ThresholdNeverDecides { ttl, threshold } => {
                format!("the threshold of {threshold} never decides: the key is gone after {ttl}")
            }
            Self::MistakesCertain { expiry, interval, bridged } => {
                let but = if *bridged { "; only the retries reach over the gap" } else { "" };
                format!(
                    "mistakes are certain: a beat is valid for {expiry} and the next comes after {interval}{but}"
                )
            }
            Self::NoBeatMayBeLost { expiry, interval } => format!(
                "not one beat may be lost: a beat is valid for {expiry}, the next but one comes after {}",
                interval.saturating_mul(2)
            ),
            Self::RenewalTooLate { lock, renewal } => {
                format!("the lock of {lock} ends before its renewal after {renewal}: every longer job stalls")
            }
        }
    }

    /// What to change.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::ThresholdNeverDecides { ttl, .. } => {
                format!(
                    "a threshold below {ttl}, or a longer `ttl`; the margin is what the smaller one leaves"
                )
            }
            Self::MistakesCertain { expiry, .. } => {
                format!("an interval of at most a third of {expiry}, or a longer expiry")
            }
            Self::NoBeatMayBeLost { interval, .. } => {
                format!("an expiry above {}, or a shorter interval", interval.saturating_mul(2))
            }
            Self::RenewalTooLate { lock, .. } => {
                format!("renew after half of the lock's duration, {}", Span::from_nanos(lock.as_nanos() / 2))
            }
        }
    }

    /// With each duration changed, as from wall time to model time.
    #[must_use]
    pub fn map(self, change: impl Fn(Span) -> Span) -> Self {
        match self {
            Self::ThresholdNeverDecides { ttl, threshold } => {
                Self::ThresholdNeverDecides { ttl: change(ttl), threshold: change(threshold) }
            }
            Self::MistakesCertain { expiry, interval, bridged } => {
                Self::MistakesCertain { expiry: change(expiry), interval: change(interval), bridged }
            }
            Self::NoBeatMayBeLost { expiry, interval } => {
                Self::NoBeatMayBeLost { expiry: change(expiry), interval: change(interval) }
            }
            Self::RenewalTooLate { lock, renewal } => {
                Self::RenewalTooLate { lock: change(lock), renewal: change(renewal) }
            }
        }
    }
}

/// Every warning that follows from the pipeline alone.
#[must_use]
pub fn lint(pipeline: &Pipeline) -> Vec<Finding> {
    let mut found = Vec::new();
    if let (Some(ttl), Some(age)) = (pipeline.expiry.ttl(), pipeline.expiry.age())
        && ttl <= age.threshold
    {
        found.push(Finding::ThresholdNeverDecides { ttl, threshold: age.threshold });
    }
    if !pipeline.beats() {
        return found;
    }
    let expiry = pipeline.expiry.effective();
    let interval = pipeline.interval_min() + pipeline.slack();
    match pipeline.mistakes(Span::ZERO) {
        // A lock that ended cannot be renewed, whoever looks.
        Mistakes::Certain | Mistakes::BridgedByRetries if is_lock(pipeline) => {
            found.push(Finding::RenewalTooLate { lock: expiry, renewal: interval });
        }
        Mistakes::None => {
            let longest = pipeline.interval();
            if expiry < longest.saturating_mul(2) + pipeline.slack() {
                found.push(Finding::NoBeatMayBeLost { expiry, interval: longest });
            }
        }
        mistakes => {
            let bridged = mistakes == Mistakes::BridgedByRetries;
            found.push(Finding::MistakesCertain { expiry, interval, bridged });
        }
    }
    found
}

/// A lock of a job, looked at by sweeps.
fn is_lock(pipeline: &Pipeline) -> bool {
    pipeline.subject == Subject::Holder
        && pipeline.expiry.ttl().is_some()
        && matches!(pipeline.checker, Checker::Sweep(_))
}
