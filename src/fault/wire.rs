//! Faults that hang on a command on the wire: the proxy holds it, or its reply, until the fault is carried out.

use serde::{Deserialize, Serialize};

use crate::names::{Link, Store};

/// Gates of one scenario, at most.
pub const GATES_MAX: usize = 64;
/// The longest argument that can be looked for, in bytes.
pub const ARGUMENT_MAX: usize = 128;

/// Which command on which links, and where it is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wire {
    /// At least one; all lead to the same store.
    pub links: Vec<Link>,
    /// What the command is like: all that is given must hold.
    pub command: CommandPattern,
    /// The how-manieth such command since the workload's start, from 1, on all the links together.
    pub nth: u32,
    pub side: Side,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CommandPattern {
    /// Redis: its name, with a subcommand if there are two words. Postgres: the statement's first word. In
    /// capitals.
    pub name: Option<String>,
    /// A part of the text of the Lua script that it runs, or the script's SHA-1; of a function, its name.
    pub script: Option<String>,
    /// A part of the statement's text.
    pub sql: Option<String>,
    /// A part of its first key: of a script's or function's, else its first argument.
    pub key: Option<String>,
    /// One of its arguments in full, at most [`ARGUMENT_MAX`] bytes.
    pub argument: Option<String>,
}

/// Where the command is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The command stands in the proxy, and the store does not know of it. Commands count as they are sent;
    /// one that the store answers with NOSCRIPT did nothing and does not count.
    Before,
    /// The store has carried the command out, and its reply stands in the proxy. Commands count as they are
    /// answered; one that is answered with an error did nothing and does not count.
    After,
}

impl Wire {
    /// Where its links lead.
    #[must_use]
    pub fn store(&self) -> Option<Store> {
        self.links.iter().find_map(|link| match link.to {
            crate::names::Endpoint::Store(store) => Some(store),
            crate::names::Endpoint::Process(_) => None,
        })
    }
}
