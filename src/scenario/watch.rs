//! Watches: further questions that are asked all the time, and what their answers are expected to be.

use crate::fault::FaultId;
use crate::names::ProcessName;
#[cfg(doc)]
use crate::protocol::table::FleetStatus;
use crate::protocol::table::StatusRule;
use crate::time::{Interval, Span};

/// A question that is asked all the time, beside the liveness probe. Durations are wall time.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    /// Unique in the scenario.
    pub name: String,
    pub every: Span,
    /// Without an answer for this long nothing is known.
    pub timeout: Span,
    pub ask: Question,
}

/// The answer is kept as text: of a JSON value its text without quotes, `null` for nothing at all (a
/// key that is not there, a query without a row).
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// GET; the JSON value at the pointer (RFC 6901).
    Http { process: ProcessName, path: String, pointer: String },
    /// What the command answers.
    Redis { command: Vec<String> },
    /// The first column of the first row.
    Sql { query: String },
    /// What the fleet's own tables say of its workers and jobs ([`FleetStatus`]); the JSON value at the
    /// pointer. The rule's ages are wall time.
    Status { pointer: String, rule: StatusRule },
    /// The alert's state in Prometheus: `inactive`, `pending` or `firing`.
    Alert { name: String },
}

/// One expectation of a watch's answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Watched {
    /// The watch's name.
    pub watch: String,
    pub expect: WatchExpect,
}

#[derive(Debug, Clone, PartialEq)]
pub enum WatchExpect {
    /// The first time that the answer is this, counted from `since`. `Span::MAX` as the upper end: at
    /// some time before the run ends.
    Becomes { answer: String, since: Since, within: Interval },
    /// In no answer to what was asked from the workload's start to the end of settling.
    Never { answer: String },
}

/// Where a time is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// The workload's start.
    Start,
    /// The fault's first effect.
    Fault(FaultId),
    /// The fault's last heal.
    Heal(FaultId),
}

/// Whether an answer is the expected one: the same text, or the same number.
#[must_use]
pub fn same_answer(expected: &str, answer: &str) -> bool {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    expected == answer || number(expected).is_some_and(|expected| number(answer) == Some(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_as_texts_and_as_numbers() {
        for (expected, answer, same) in [
            ("false", "false", true),
            ("false", "true", false),
            ("5", "5.0", true),
            ("1e1", "10", true),
            ("null", "null", true),
            ("", "0", false),
            ("nan", "NaN", false),
        ] {
            assert_eq!(same_answer(expected, answer), same, "{expected} and {answer}");
        }
    }
}
