//! What can be wrong with a store that runs and answers. Pure.

use serde::{Deserialize, Serialize};

use crate::names::{JobId, Store};
use crate::time::{SignedSpan, Span};

/// A fault within one store. Durations are wall time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// Redis: the keys that match one of the patterns (as SCAN matches them) expire `after` from now,
    /// at once if that is zero. Has no undo.
    ExpireKeys { patterns: Vec<String>, after: Span },
    /// Redis: a limit on its memory, and what it does when it is over that.
    MaxMemory { limit: MemoryLimit, policy: Eviction },
    /// Redis: a command that takes `each` occupies the server, again `every` so long.
    Slow { each: Span, every: Span },
    /// Redis: FLUSHALL. Has no undo.
    Wipe,
    /// Postgres: every client's connection is ended by the server. Has no undo.
    TerminateBackends,
    /// Postgres: no connection is left; those that are open stay.
    ExhaustConnections,
    /// Postgres: a transaction holds the table in ACCESS EXCLUSIVE mode: reads wait, too.
    LockTable { table: String },
    /// Postgres: every transaction is a read-only one.
    ReadOnly,
    /// The volume with the store's data has no room left. An append-only Redis refuses writes, a
    /// Postgres that cannot lengthen its log ends.
    DiskFull { store: Store },
    /// The server's wall clock jumps. What it stamped before has another age from then on.
    ClockStep { store: Store, by: SignedSpan },
    /// The server's wall clock gains so many parts per million.
    ClockDrift { store: Store, ppm: i64 },
    /// Postgres: a statement that an operator gives by a runbook. Has no undo.
    Operate { statement: String },
    /// Postgres: an operator queues dead letters again, by the fleet's own remedy. Has no undo.
    Replay { letters: DeadLetters },
}

/// Which jobs that have failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetters {
    All,
    Job(JobId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryLimit {
    /// Of what is in use at that moment, in parts per million.
    Share(u32),
    Bytes(u64),
}

/// Redis's `maxmemory-policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Eviction {
    /// Commands that would need more memory are refused.
    Noeviction,
    /// Any key goes, the one not used for longest first.
    AllkeysLru,
    /// Any key goes, by chance.
    AllkeysRandom,
    /// A key with an expiry goes, the one not used for longest first.
    VolatileLru,
    /// A key with an expiry goes, the one that expires next first.
    VolatileTtl,
}

impl Eviction {
    /// Whether a key may go, which has an expiry or has none.
    #[must_use]
    pub const fn gives_up(self, expires: bool) -> bool {
        match self {
            Self::Noeviction => false,
            Self::AllkeysLru | Self::AllkeysRandom => true,
            Self::VolatileLru | Self::VolatileTtl => expires,
        }
    }

    /// As the server spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Noeviction => "noeviction",
            Self::AllkeysLru => "allkeys-lru",
            Self::AllkeysRandom => "allkeys-random",
            Self::VolatileLru => "volatile-lru",
            Self::VolatileTtl => "volatile-ttl",
        }
    }
}

impl Trouble {
    #[must_use]
    pub const fn store(&self) -> Store {
        match self {
            Self::ExpireKeys { .. } | Self::MaxMemory { .. } | Self::Slow { .. } | Self::Wipe => Store::Redis,
            Self::TerminateBackends
            | Self::ExhaustConnections
            | Self::LockTable { .. }
            | Self::ReadOnly
            | Self::Operate { .. }
            | Self::Replay { .. } => Store::Postgres,
            Self::DiskFull { store } | Self::ClockStep { store, .. } | Self::ClockDrift { store, .. } => {
                *store
            }
        }
    }

    /// Whether it goes on until it is undone.
    #[must_use]
    pub const fn lasts(&self) -> bool {
        match self {
            Self::ExpireKeys { .. }
            | Self::Wipe
            | Self::TerminateBackends
            | Self::Operate { .. }
            | Self::Replay { .. } => false,
            Self::MaxMemory { .. }
            | Self::Slow { .. }
            | Self::ExhaustConnections
            | Self::LockTable { .. }
            | Self::DiskFull { .. }
            | Self::ClockStep { .. }
            | Self::ClockDrift { .. }
            | Self::ReadOnly => true,
        }
    }

    /// Whether it moves the server's wall clock, and nothing else.
    #[must_use]
    pub const fn moves_clock(&self) -> bool {
        matches!(self, Self::ClockStep { .. } | Self::ClockDrift { .. })
    }

    /// As a scenario names it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ExpireKeys { .. } => "expire_keys",
            Self::MaxMemory { .. } => "redis_maxmemory",
            Self::Slow { .. } => "redis_slow",
            Self::Wipe => "redis_wipe",
            Self::TerminateBackends => "terminate_backends",
            Self::ExhaustConnections => "exhaust_connections",
            Self::LockTable { .. } => "lock_table",
            Self::ReadOnly => "read_only",
            Self::Operate { .. } => "operator_sql",
            Self::Replay { .. } => "replay",
            Self::DiskFull { .. } => "disk_full",
            Self::ClockStep { .. } => "clock_step",
            Self::ClockDrift { .. } => "clock_drift",
        }
    }
}

/// Whether a key's name matches a pattern, as Redis's SCAN has it: `*` is any text, `?` is any
/// character, a backslash takes the next character as it is. Classes (`[a-z]`) are not known here.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of) = (0, 0);
    // Where to go on if the last `*` has to take one character more.
    let mut again: Option<(usize, usize)> = None;
    while of < name.len() {
        let literal = match pattern.get(at) {
            Some('*') => {
                again = Some((at + 1, of));
                at += 1;
                continue;
            }
            Some('\\') if at + 1 < pattern.len() => Some((pattern[at + 1], 2)),
            Some('?') => Some((name[of], 1)),
            Some(other) => Some((*other, 1)),
            None => None,
        };
        match (literal, &mut again) {
            (Some((wanted, length)), _) if wanted == name[of] => {
                at += length;
                of += 1;
            }
            (_, Some((after_star, taken))) => {
                *taken += 1;
                (at, of) = (*after_star, *taken);
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_scan_has_it() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*:lock", "a:b:lock", true),
            ("*:lock", "a:lock:b", false),
            ("a:*:c", "a:b:b:c", true),
            ("a:?", "a:b", true),
            ("a:?", "a:", false),
            ("a", "ab", false),
            ("", "", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
