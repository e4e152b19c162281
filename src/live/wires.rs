//! A scenario's links through its proxy.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::fault::wire::Wire;
use crate::fault::{FaultId, Toxic};
use crate::live::clock;
use crate::live::inject::{AppliedAt, Network};
use crate::names::{Endpoint, Link, Store};
use crate::proxy::{Applied, Listener, Proxy};
use crate::time::Span;

/// One listener per link, and where each leads.
pub struct Wires {
    proxy: Proxy,
    listeners: BTreeMap<Link, SocketAddr>,
}

impl Wires {
    /// Opens a listener for each link, on `bind`, with no upstream yet.
    ///
    /// # Errors
    /// If a listener cannot be opened.
    pub fn lay(links: Vec<Link>, bind: IpAddr) -> io::Result<Self> {
        let proxy = Proxy::start(clock::monotonic)?;
        let mut listeners = BTreeMap::new();
        for link in links {
            let address = proxy.listen(link.clone(), bind, None)?;
            listeners.insert(link, address);
        }
        Ok(Self { proxy, listeners })
    }

    /// Has the links listened to that the faults' triggers name. Before anything connects.
    ///
    /// # Errors
    /// If a link is not there.
    pub fn tap(&self, wires: Vec<(FaultId, Wire)>, listener: Listener) -> io::Result<()> {
        if wires.is_empty() { Ok(()) } else { self.proxy.tap(wires, listener) }
    }

    pub fn arm(&self, fault: FaultId, limit: Span) {
        // The gate exists; only a proxy that is gone could refuse, and then the run is over.
        let _ = self.proxy.arm(fault, limit);
    }

    pub fn open_gate(&self, fault: FaultId, lost: bool) {
        // As for `arm`.
        let _ = self.proxy.open_gate(fault, lost);
    }

    #[must_use]
    pub const fn listeners(&self) -> &BTreeMap<Link, SocketAddr> {
        &self.listeners
    }

    /// Every link to the endpoint leads to this address from now on.
    pub fn lead(&self, endpoint: &Endpoint, to: SocketAddr) {
        for link in self.listeners.keys().filter(|link| link.to == *endpoint) {
            // The listener exists; only a proxy that is gone could refuse, and then the run is over.
            let _ = self.proxy.set_upstream(link, to);
        }
    }
}

impl Network for Wires {
    fn links(&self) -> Vec<Link> {
        self.listeners.keys().cloned().collect()
    }

    fn apply(&self, links: &[Link], toxic: Toxic) -> io::Result<AppliedAt> {
        self.proxy.apply(links, toxic).map(said)
    }

    fn heal(&self, links: &[Link], toxic: Toxic) -> io::Result<AppliedAt> {
        self.proxy.heal(links, toxic).map(said)
    }

    fn probe_refused(&self, link: &Link) -> Result<String, String> {
        self.proxy
            .probe_refused(link)
            .map(|_| format!("a new connection on {link} was refused"))
            .map_err(|error| error.to_string())
    }

    fn store_moved(&self, store: Store, to: SocketAddr) {
        self.lead(&Endpoint::Store(store), to);
    }
}

fn said(applied: Applied) -> AppliedAt {
    let Applied { from, until, links, connections, cut } = applied;
    let note = format!("proxy: {links} links changed at once, {connections} connections open, {cut} cut");
    AppliedAt { from, until, note }
}
