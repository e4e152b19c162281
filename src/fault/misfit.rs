//! What can be wrong with the way a process is started. Pure.

use serde::{Deserialize, Serialize};

use crate::protocol::Tool;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misfit {
    /// Its program is not there: it cannot be started.
    NoProgram,
    /// It is not told this environment variable.
    NoVariable { name: String },
    /// The external program is not where it is told to look for it.
    NoTool { tool: Tool },
    /// It is told another prefix for its keys. Reference fleets only.
    Prefix { prefix: String },
    /// It is told another database of the same Redis, by number: another keyspace.
    Database { number: u32 },
    /// It is told the address of another Redis: a server of its own, empty when the scenario begins.
    AnotherRedis,
}

impl Misfit {
    /// As a scenario names it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoProgram => "no_program",
            Self::NoVariable { .. } => "no_variable",
            Self::NoTool { .. } => "no_tool",
            Self::Prefix { .. } => "prefix",
            Self::Database { .. } => "database",
            Self::AnotherRedis => "another_redis",
        }
    }

    /// Whether the process runs, on keys that are nobody else's.
    #[must_use]
    pub const fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Prefix { .. } | Self::Database { .. } | Self::AnotherRedis)
    }
}
