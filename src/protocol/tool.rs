//! External programs that the jobs of some kinds need (S1).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Two small programs that stand for the video tool and the downloader of source 001: a worker runs them
/// as processes of their own, without a shell, and finds each by a variable of its environment, or beside
/// itself where there is none.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    /// Writes a checksum of what it reads.
    Digest,
    /// Writes the lines that it reads in order.
    Sort,
}

impl Tool {
    pub const ALL: [Self; 2] = [Self::Digest, Self::Sort];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Sort => "sort",
        }
    }

    /// The environment variable that says where it is.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Digest => "DIGEST_PROGRAM",
            Self::Sort => "SORT_PROGRAM",
        }
    }

    /// A worker without it is not ready. Without the other it is: only the jobs that need that one fail.
    #[must_use]
    pub const fn is_required(self) -> bool {
        matches!(self, Self::Digest)
    }

    /// The error of a job that needs it where it is not.
    #[must_use]
    pub fn missing(self, reason: &str) -> String {
        format!("failed to run the program {self}: {reason}")
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
