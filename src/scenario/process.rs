//! One process of the system under test.

use std::collections::BTreeMap;

use super::recipe::Recipe;
use super::{LineRule, Says};
use crate::fault::Signal;
use crate::names::{Endpoint, PRODUCER, ProcessName};
use crate::protocol::settings::{FleetRole, FleetSettings};
use crate::protocol::{TableRole, TableSettings};
use crate::time::Span;

#[derive(Debug, Clone, PartialEq)]
pub struct ProcessSpec {
    pub name: ProcessName,
    /// `worker`, `api`, `catalogue`, `sweeper`, `pool`, `site`, or a role of an external fleet.
    pub role: String,
    /// From 1 within the role.
    pub index: u32,
    pub program: Program,
    /// Values may hold templates: `${redis.host}`, `${redis.port}`, `${redis.url}`, the same for
    /// `postgres` and for each linked process (`${catalogue.url}`), `${name}`, `${index}`, `${port}`,
    /// `${files}`.
    pub env: BTreeMap<String, String>,
    /// What it connects to, each through a listener of its own.
    pub links: Vec<Endpoint>,
    /// It serves HTTP on `${port}`.
    pub serves_http: bool,
    pub grace: Span,
    /// Its clock is to be faked in this scenario: started under libfaketime.
    pub fake_clock: bool,
    /// What asks it to end in order.
    pub stop_signal: Signal,
    /// None: it is ready when a line says so, or else as soon as it has started.
    pub ready: Option<ReadyAsk>,
    /// Texts that it finds below `${files}`, by their relative paths, with templates.
    pub files: BTreeMap<String, String>,
    /// What lines of its output say, where it is not ours.
    pub lines: Vec<LineRule>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Program {
    /// `syncope-fleet ROLE`, its settings as JSON in the environment variable `SYNCOPE_FLEET`.
    Reference { role: FleetRole, settings: Box<FleetSettings> },
    /// The same, of a fleet whose jobs are in Postgres.
    Table { role: TableRole, settings: Box<TableSettings> },
    /// Somebody else's. The process backend needs `command`, docker needs `image` (whose own command
    /// is replaced by `command`, if that is given too).
    External {
        command: Option<Vec<String>>,
        image: Option<String>,
        working_directory: Option<WorkingDirectory>,
        /// In place of an image and a directory: what the program needs, which the harness installs.
        recipe: Option<Box<Recipe>>,
    },
    /// It was where this one is, and is gone: the process cannot be started.
    Missing { instead_of: Box<Program> },
}

impl ProcessSpec {
    /// A process that has nothing beyond its program.
    #[must_use]
    pub fn new(name: ProcessName, role: &str, index: u32, program: Program) -> Self {
        Self {
            name,
            role: role.to_owned(),
            index,
            program,
            env: BTreeMap::new(),
            links: Vec::new(),
            serves_http: false,
            grace: Span::ZERO,
            fake_clock: false,
            stop_signal: Signal::Term,
            ready: None,
            files: BTreeMap::new(),
            lines: Vec::new(),
        }
    }

    /// It is the producer: jobs come to its standard input.
    #[must_use]
    pub fn reads_jobs(&self) -> bool {
        self.name.as_str() == PRODUCER
    }

    /// It says so itself when it is ready.
    #[must_use]
    pub fn reports_ready(&self) -> bool {
        self.program.is_reference()
            || self.ready.is_some()
            || self.lines.iter().any(|rule| rule.says == Says::Ready)
    }
}

impl Program {
    /// A process of ours: it says when it is ready, and its store has our tables.
    #[must_use]
    pub const fn is_reference(&self) -> bool {
        matches!(self, Self::Reference { .. } | Self::Table { .. })
    }
}

/// A program on the harness's own machine that does one thing and ends. No shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Not empty. With templates.
    pub command: Vec<String>,
    /// The scenario's.
    pub folder: String,
}

/// Asked from each start of a process on until the answer is yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadyAsk {
    /// Its own port takes a connection.
    Tcp,
    /// A GET to its own port: a 2xx.
    Http { path: String },
    /// The answer is neither nil, nor 0, nor empty. With templates.
    Redis { command: Vec<String> },
    /// The first column of the first row is true. With templates.
    Sql { query: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkingDirectory {
    /// Relative ones are so to the scenario's folder.
    pub on_host: String,
    /// As given, where that is a path in an image: an absolute one.
    pub in_image: Option<String>,
}
