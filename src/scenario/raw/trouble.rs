//! Faults within a store that runs and answers.

use crate::fault::trouble::Eviction;
use crate::names::Store;
use crate::scenario::decode::{Placed, record, variants};
use crate::scenario::scalar::{Duration, Share, Text, Whole, Word};

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
    /// A fault that lasts.
    Lasting {
        /// How long.
        required lasting ("for"): Duration,
    }
}
