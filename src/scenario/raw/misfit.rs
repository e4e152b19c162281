//! A process that is started wrongly.

use super::fault::{Nothing, Target};
use crate::protocol::Tool;
use crate::scenario::decode::{record, variants};
use crate::scenario::scalar::{Duration, KeyPrefix, Whole, Word};

record! {
    /// A process is stopped and started again with something wrong; afterwards it is stopped and
    /// started as it should be.
    Misconfigure {
        /// On whom.
        required target: Target,
        /// What is wrong.
        required how: Misfit,
        /// For each stop; the process's own unless given.
        optional grace: Duration,
        /// How long.
        required lasting ("for"): Duration,
    }
}

variants! {
    /// What is wrong with the way a process is started.
    Misfit {
        /// Its program is not there. The process backend and the simulator only.
        NoProgram "no_program": Nothing,
        /// It is not told this environment variable.
        NoVariable "no_variable": Word,
        /// An external program that some jobs need is not there. `postgres-jobs` only.
        NoTool "no_tool": Tool,
        /// It is told another prefix for its keys. Reference fleets only.
        Prefix "prefix": KeyPrefix,
        /// It is told another database of the same Redis, by number.
        Database "database": Whole<1, 15>,
        /// It is told the address of another Redis, which the harness starts for this: a second server,
        /// with nothing in it.
        AnotherRedis "another_redis": Nothing,
    }
}
