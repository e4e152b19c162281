//! How a foreign queue is asked how its jobs stand.

use super::{Fleet, Page, Says};
use crate::time::Span;

/// Asked all the time, one ask after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueProbe {
    pub every: Span,
    /// No answer for this long: nothing is known.
    pub timeout: Span,
    pub ask: QueueAsk,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueAsk {
    /// A command whose flat array is job, state, holder of each job in turn; an empty holder is none.
    Redis { command: Vec<String> },
    /// Columns: job text, state text, holder text (or null).
    Sql { query: String },
    /// A GET whose JSON is a list of `{job, state, holder}`, the last of which may be left out.
    Http(Page),
}

impl QueueAsk {
    #[must_use]
    pub const fn page(&self) -> Option<&Page> {
        match self {
            Self::Http(page) => Some(page),
            Self::Redis { .. } | Self::Sql { .. } => None,
        }
    }
}

impl Fleet {
    /// Who holds which job is learnt from the queue's state: there is one, and no process says it itself,
    /// which is known sooner and more exactly.
    #[must_use]
    pub fn claims_by_state(&self) -> bool {
        let says = |says| self.processes.iter().any(|spec| spec.lines.iter().any(|rule| rule.says == says));
        self.state.is_some() && !says(Says::Claimed)
    }
}
