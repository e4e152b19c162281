//! The links of a fleet: who connects to what.

use crate::names::{Endpoint, Link, PRODUCER, Store};
use crate::scenario::{Enqueue, Fleet};

impl Fleet {
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
        links.push(self.producer_link());
        links
    }

    /// The way on which jobs get into the system.
    #[must_use]
    pub fn producer_link(&self) -> Link {
        let to = match &self.enqueue {
            Enqueue::Queue { .. } | Enqueue::Redis { .. } => Endpoint::Store(Store::Redis),
            Enqueue::Sql { .. } | Enqueue::Table => Endpoint::Store(Store::Postgres),
            Enqueue::Http { process, .. } => Endpoint::Process(process.clone()),
        };
        Link { from: PRODUCER.into(), to }
    }

    /// Whether the fleet is the reference fleet, whose tables the harness makes.
    #[must_use]
    pub fn is_reference(&self) -> bool {
        self.processes.iter().any(|process| process.program.is_reference())
    }
}
