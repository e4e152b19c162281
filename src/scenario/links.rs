//! The links of a fleet: who connects to what; who of it works on jobs, and who looks for the dead.

use std::collections::BTreeSet;

use crate::names::{Link, PRODUCER, ProcessName};
use crate::protocol::settings::RECONNECT_MAX;
use crate::scenario::{Fleet, ProcessSpec, Program};
use crate::time::Span;

impl ProcessSpec {
    /// Whether its role is to work on jobs. A foreign fleet's may do so under any name.
    #[must_use]
    pub fn works_on_jobs(&self) -> bool {
        is_worker_role(&self.role)
    }

    /// Whether its role is to look for workers that have died.
    #[must_use]
    pub fn sweeps(&self) -> bool {
        self.role == "sweeper"
    }
}

/// The role of a reference system's process that tells its metrics.
pub const EXPORTER: &str = "exporter";

/// Roles whose processes work on jobs.
#[must_use]
pub fn is_worker_role(role: &str) -> bool {
    matches!(role, "worker" | "pool")
}

impl Fleet {
    /// Processes whose role is to work on jobs; in a fleet that has none, those that serve no HTTP, or all.
    #[must_use]
    pub fn workers(&self) -> BTreeSet<ProcessName> {
        let names = |wanted: &dyn Fn(&ProcessSpec) -> bool| -> BTreeSet<ProcessName> {
            self.processes.iter().filter(|it| wanted(it)).map(|it| it.name.clone()).collect()
        };
        let (by_role, by_shape) = (names(&ProcessSpec::works_on_jobs), names(&|it| !it.serves_http));
        [by_role, by_shape].into_iter().find(|names| !names.is_empty()).unwrap_or_else(|| names(&|_| true))
    }

    /// Every link: each process's, and the producer's.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        let mut links: Vec<Link> = self
            .processes
            .iter()
            .flat_map(|process| {
                process.links.iter().map(|to| Link { from: process.name.clone(), to: to.clone() })
            })
            .collect();
        links.extend(self.enqueue.ends().into_iter().map(|to| Link { from: PRODUCER.into(), to }));
        links
    }

    /// How long after a store or a link is back the clients of it may still be without a connection: an
    /// attempt that was made into the void lasts for the client's patience, and the wait before the next
    /// one for [`RECONNECT_MAX`] at most. A command that hung is given up as late. Zero for a foreign
    /// fleet, whose clients are not known.
    #[must_use]
    pub fn reconnects_within(&self) -> Span {
        let patience = self.processes.iter().filter_map(|process| match &process.program {
            Program::Reference { settings, .. } => Some(settings.patience()),
            Program::Table { settings, .. } => Some(settings.patience),
            Program::External { .. } | Program::Missing { .. } => None,
        });
        patience.max().map_or(Span::ZERO, |patience| patience + RECONNECT_MAX)
    }

    /// Whether the fleet is the reference fleet, whose tables the harness makes.
    #[must_use]
    pub fn is_reference(&self) -> bool {
        self.processes.iter().any(|process| process.program.is_reference())
    }
}
