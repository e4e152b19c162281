//! What a foreign queue says of its jobs.

use serde::{Deserialize, Serialize};

use crate::names::{JobId, ProcessName};

/// An answer to "how does each job stand".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Queued {
    /// The jobs that stand otherwise than in the last answer, sorted by job; in the first one all.
    Changed(Vec<Standing>),
    /// There was no answer: nothing is known until the next.
    Unknown { error: String },
    /// An answer that cannot be understood.
    Misshapen { error: String },
}

/// How a job stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Standing {
    pub job: JobId,
    /// `None`: the queue knows the job no more.
    pub state: Option<QueueState>,
    /// Of an active job, the process that works on it, as far as it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<ProcessName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueState {
    Waiting,
    Active,
    Delayed,
    /// For good.
    Failed,
    Done,
}

impl QueueState {
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Active, Self::Delayed, Self::Failed, Self::Done];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Active => "active",
            Self::Delayed => "delayed",
            Self::Failed => "failed",
            Self::Done => "done",
        }
    }

    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl Standing {
    /// Who works on it, if that is told. As a change it is a claim: the job stood otherwise before.
    #[must_use]
    pub fn claimant(&self) -> Option<&ProcessName> {
        self.holder.as_ref().filter(|_| self.state == Some(QueueState::Active))
    }
}
