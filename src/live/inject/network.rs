//! What the injector needs of the proxy.

use std::io;
use std::net::SocketAddr;

use crate::fault::Toxic;
use crate::names::{Link, Store};
use crate::time::Instant;

/// One scenario's links. Methods may block for a moment, and are called where that does no harm.
pub trait Network: Send + Sync {
    /// Every link of the scenario.
    fn links(&self) -> Vec<Link>;

    /// Puts the toxic on all these links at once, on open connections too.
    ///
    /// # Errors
    /// If one of the links is unknown, or its listener cannot be closed or opened.
    fn apply(&self, links: &[Link], toxic: Toxic) -> io::Result<AppliedAt>;

    /// Takes this toxic off these links, and leaves others that are on them.
    ///
    /// # Errors
    /// As for `apply`.
    fn heal(&self, links: &[Link], toxic: Toxic) -> io::Result<AppliedAt>;

    /// Opens a connection to the link's listener as its process would.
    ///
    /// # Errors
    /// If the connection was not refused: what happened instead.
    fn probe_refused(&self, link: &Link) -> Result<String, String>;

    /// New connections to the store go to this address from now on.
    fn store_moved(&self, store: Store, to: SocketAddr);
}

/// The interval in which a toxic took effect, and what the proxy has to say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedAt {
    pub from: Instant,
    pub until: Instant,
    pub note: String,
}
