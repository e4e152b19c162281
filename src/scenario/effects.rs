//! How the final state of every job is read.

use super::Call;
use crate::names::ProcessName;

/// Rows, pairs and entries are keyed by the job's id. What two ways count is added up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EffectQuery {
    /// Columns: job text, effects bigint, failed boolean; perhaps by text, names with commas between them.
    pub sql: Option<String>,
    /// A Redis hash command that gives job, effects.
    pub redis: Option<Vec<String>>,
    pub http: Option<Page>,
    /// Its output is such JSON too.
    pub program: Option<Call>,
    /// A regular expression with the group `job`: each line of a process's output that matches is one
    /// effect of that job.
    pub lines: Option<String>,
    /// Columns: job text, step integer.
    pub steps_sql: Option<String>,
    /// Every entry of the answer to `http`, or of the program's output, has `steps`.
    pub steps: bool,
}

/// JSON that a process of the fleet serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub process: ProcessName,
    /// Begins with `/`.
    pub path: String,
}

impl EffectQuery {
    /// There is a way to learn what was done.
    #[must_use]
    pub const fn is_asked(&self) -> bool {
        self.sql.is_some()
            || self.redis.is_some()
            || self.http.is_some()
            || self.program.is_some()
            || self.lines.is_some()
    }

    /// There is a way to learn which steps are saved.
    #[must_use]
    pub const fn tells_steps(&self) -> bool {
        self.steps_sql.is_some() || self.steps
    }
}
