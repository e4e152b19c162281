//! What the proxy's taps say.

use serde::{Deserialize, Serialize};

use crate::fault::FaultId;
use crate::fault::wire::Side;
use crate::names::Link;
use crate::time::Span;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wiretap {
    /// The command that the fault waits for, or its reply, stands in the proxy from now on.
    Caught {
        fault: FaultId,
        link: Link,
        side: Side,
        /// How many such commands there have been, this one among them.
        nth: u32,
        /// The command's first words, cut.
        command: String,
    },
    /// What was caught was held for so long, and then met with its fate.
    Released { fault: FaultId, link: Link, held: Span, bytes: u64, fate: Fate },
    /// The tap on the link does not understand what passes there, on one connection at least.
    Aside { link: Link, reason: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It went on its way once the fault was carried out, or was given up.
    Passed,
    /// It was lost with its connection: the process has ended, or the link was cut.
    Lost,
    /// The fault took too long: it went on its way before.
    Expired,
}
