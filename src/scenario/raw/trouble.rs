//! Faults within a store that runs and answers.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::fault::trouble::{DeadLetters, Eviction};
use crate::names::{JobId, Store};
use crate::scenario::decode::{Decode, Placed, record, variants};
use crate::scenario::diagnostic::{Code, Report};
use crate::scenario::scalar::{Duration, Share, Text, Whole, Word, job_number, scalar};
use crate::scenario::tree::Node;

record! {
    /// Keys of Redis expire.
    ExpireKeys {
        /// Which: patterns as SCAN has them, `syncope:test:*:lock`. `*` is any text, `?` one character.
        required keys: Vec<Placed<Word>>,
        /// So long from then. At once unless given.
        optional after: Duration,
    }
}

record! {
    /// A limit on Redis's memory.
    MaxMemory {
        /// How much.
        required limit: MemoryLimit,
        /// What it does when it is over that. `noeviction` unless given: commands that need more are
        /// refused.
        optional policy: Eviction,
        /// How long.
        required lasting ("for"): Duration,
    }
}

variants! {
    /// How much memory Redis may use.
    MemoryLimit {
        /// A share of what it uses at that moment, from 0 to 1.
        Share "share": Share,
        /// So many bytes.
        Bytes "bytes": Whole<1, 1_000_000_000_000>,
    }
}

record! {
    /// A slow command occupies Redis again and again: meanwhile it answers nobody.
    RedisSlow {
        /// How long each takes.
        required command_time: Duration,
        /// From the start of one to the start of the next. Twice `command_time` unless given.
        optional every: Duration,
        /// How long this goes on.
        required lasting ("for"): Duration,
    }
}

record! {
    /// A transaction holds a table of Postgres in ACCESS EXCLUSIVE mode.
    LockTable {
        /// Which; with its schema if that is not on the search path.
        required table: Word,
        /// How long.
        required lasting ("for"): Duration,
    }
}

record! {
    /// The volume with a store's data is full. The harness mounts one of its own for the store, which
    /// takes root. Redis must be an append-only one that syncs each second (`durability: aof`): it
    /// refuses writes. Postgres ends when it cannot lengthen its log, and is started again afterwards.
    DiskFull {
        /// Whose.
        required store: Store,
        /// How long.
        required lasting ("for"): Duration,
    }
}

record! {
    /// What an operator does.
    OperatorSql {
        /// One statement that returns what it did: `UPDATE … RETURNING …`.
        required statement: Text,
    }
}

record! {
    /// What an operator does with jobs that have failed for good.
    Replay {
        /// `all` of them, or one job: `job-3`. They are queued again, due at once, with all of their
        /// attempts.
        required dead_letters: DeadLetters,
    }
}

impl JsonSchema for DeadLetters {
    fn schema_name() -> Cow<'static, str> {
        "DeadLetters".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(all|job-[1-9][0-9]*)$" })
    }
}

impl Decode for DeadLetters {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let (text, _) = scalar(node, "dead letters", report)?;
        if text == "all" {
            return Some(Self::All);
        }
        if job_number(text).is_none() {
            report
                .add(Code::UnknownJob, node.place, "these are no dead letters")
                .hint("`all`, or a job by its number from 1: `job-3`");
            return None;
        }
        Some(Self::Job(JobId::new(text)))
    }
}

record! {
    /// A fault that lasts.
    Lasting {
        /// How long.
        required lasting ("for"): Duration,
    }
}
