//! What an operator is told of the workers (S1).

use std::fmt;

use crate::time::Span;

/// Younger: the workers are healthy (source 001, status table).
const HEALTHY_BELOW: Span = Span::from_secs(5 * 60);
/// Older: they are stuck.
const STUCK_ABOVE: Span = Span::from_secs(10 * 60);

/// The status by the newest beat. The source says nothing of an age from 5 to 10 minutes: it is neither
/// healthy nor stuck, and is called unknown here. So a dead worker passes as healthy for up to 5 minutes,
/// and is called stuck only after 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkersStatus {
    NotRunning,
    Healthy,
    Unknown,
    Stuck,
}

impl WorkersStatus {
    /// `age`: of the newest beat, in model time; `None` if no worker has ever beaten.
    #[must_use]
    pub fn of(age: Option<Span>) -> Self {
        match age {
            None => Self::NotRunning,
            Some(age) if age < HEALTHY_BELOW => Self::Healthy,
            Some(age) if age > STUCK_ABOVE => Self::Stuck,
            Some(_) => Self::Unknown,
        }
    }
}

impl fmt::Display for WorkersStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRunning => "no workers running",
            Self::Healthy => "healthy",
            Self::Unknown => "unknown: neither healthy nor stuck",
            Self::Stuck => "stuck",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_five_and_ten_minutes_nothing_is_known() {
        for (age, expected) in [
            (None, WorkersStatus::NotRunning),
            (Some(0), WorkersStatus::Healthy),
            (Some(299), WorkersStatus::Healthy),
            (Some(300), WorkersStatus::Unknown),
            (Some(600), WorkersStatus::Unknown),
            (Some(601), WorkersStatus::Stuck),
        ] {
            assert_eq!(WorkersStatus::of(age.map(Span::from_secs)), expected, "{age:?}");
        }
    }
}
