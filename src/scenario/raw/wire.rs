//! `when: {wire: …}`: a command on its way, or its reply.

use crate::fault::wire::Side;
use crate::scenario::decode::record;
use crate::scenario::scalar::{Text, Whole, Word};

record! {
    /// A command stands in the proxy until the fault is carried out. All that is given must hold of it.
    Wire {
        /// On which way: `worker-1 -> redis`; with a role (`worker -> redis`), on those of all its processes.
        required link: Text,
        /// Its name, in any case: `EVALSHA`, `SCRIPT LOAD`; for postgres a statement's first word: `UPDATE`.
        optional command: Text,
        /// Redis: a part of the text of the Lua script that it runs (however it is run: EVAL, or EVALSHA of a
        /// text that any client of the run has sent), or the script's SHA-1; of a function, its name.
        optional script: Text,
        /// Postgres: a part of the statement's text, as the client sends it.
        optional sql: Text,
        /// Redis: a part of its first key.
        optional key: Text,
        /// Redis: one of its arguments, in full.
        optional argument: Word,
        /// The how-manieth such command since the first job was enqueued. 1 unless given.
        optional nth: Whole<1, 100_000>,
        /// `before`: the store does not know of it yet. `after`: it took effect, and its reply is withheld.
        required side: Side,
    }
}
