//! The engine's side of the taps: gates that close on what a tap has caught, and open again.

use std::collections::BTreeSet;
use std::io;

use super::connection::{CLIENT, Connection};
use super::engine::Engine;
use super::tap::gate::{Mask, each};
use super::tap::{Bytes, Flow, Foreign};
use crate::fault::FaultId;
use crate::fault::rules::{DOWN, UP};
use crate::fault::wire::{GATES_MAX, Wire};
use crate::history::wire::{Fate, Wiretap};
use crate::names::{Endpoint, Link};
use crate::time::{Instant, Span};

/// Whom the taps tell what they see. Called on the proxy's thread: it must not block.
pub type Listener = Box<dyn Fn(Instant, Wiretap) + Send>;

/// The taps of a proxy.
#[derive(Default)]
pub(super) struct Taps {
    listener: Option<Listener>,
    closed: Vec<Closed>,
}

/// A gate that holds something.
struct Closed {
    gate: u32,
    connection: usize,
    direction: usize,
    since: Instant,
    until: Instant,
}

/// What a pump has heard on its way.
#[derive(Debug, Default)]
pub(super) struct News {
    /// By direction, the gates that have closed.
    pub caught: [Mask; 2],
    pub aside: Option<Foreign>,
}

impl News {
    /// Takes note, and returns what may flow.
    pub fn note(&mut self, direction: usize, flow: Flow) -> Bytes {
        self.caught[direction] |= flow.caught;
        self.aside = self.aside.or(flow.aside);
        flow.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.caught == [0, 0] && self.aside.is_none()
    }
}

impl Engine {
    /// Puts taps on the links that the wires name, and a gate for each. A script is known by its text once
    /// any client of the store has sent it, so then all links to that store are tapped.
    pub(super) fn tap(&mut self, wires: Vec<(FaultId, Wire)>, listener: Listener) -> io::Result<()> {
        if self.gates.count_all() + wires.len() > GATES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many gates"));
        }
        for (fault, wire) in wires {
            let ports = wire.links.iter().map(|link| self.find(link)).collect::<io::Result<Vec<_>>>()?;
            let store = wire.store().ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, "only links to a store can be tapped")
            })?;
            let same = |link: &Link| link.to == Endpoint::Store(store) && wire.command.script.is_some();
            let learns_from: Vec<usize> =
                self.index.iter().filter(|(link, _)| same(link)).map(|(_, port)| *port).collect();
            for port in ports.iter().chain(&learns_from) {
                self.ports[*port].tap = Some(store);
            }
            self.gates.add(fault, &wire, ports, learns_from);
        }
        self.taps.listener = Some(listener);
        Ok(())
    }

    /// The fault's gate begins to count commands. What it catches is held for `limit` at most.
    pub(super) fn arm(&mut self, fault: FaultId, limit: Span) -> io::Result<()> {
        let gate = self.gate(fault)?;
        self.gates.arm(gate, Some(limit));
        Ok(())
    }

    /// The fault's gate waits for nothing any more, and lets go of what it holds; with `lost`, or if the
    /// process has closed its connection, what it holds is lost with the connection.
    pub(super) fn open_gate(&mut self, fault: FaultId, lost: bool) -> io::Result<()> {
        let gate = self.gate(fault)?;
        self.gates.arm(gate, None);
        self.let_go(gate, lost, Fate::Passed);
        Ok(())
    }

    fn gate(&self, fault: FaultId) -> io::Result<u32> {
        self.gates
            .find(fault)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("fault {} has no gate", fault.0)))
    }

    /// Takes note of what was heard on a connection.
    pub(super) fn hear(&mut self, index: usize, news: &News) {
        let Some(connection) = &self.connections[index] else { return };
        let (port, brief) = (connection.link, connection.tap_brief().to_owned());
        let now = (self.clock)();
        if let Some(foreign) = news.aside
            && !std::mem::replace(&mut self.ports[port].aside, true)
            && let Some(link) = self.link(port)
        {
            self.say(now, Wiretap::Aside { link, reason: foreign.to_string() });
        }
        for direction in [UP, DOWN] {
            for number in each(news.caught[direction]) {
                let (Some(gate), Some(link)) = (self.gates.get(number), self.link(port)) else { continue };
                let (fault, side, nth) = (gate.fault, gate.side, gate.nth);
                let until = now + gate.limit;
                self.taps.closed.push(Closed {
                    gate: number,
                    connection: index,
                    direction,
                    since: now,
                    until,
                });
                self.say(now, Wiretap::Caught { fault, link, side, nth, command: brief.clone() });
            }
        }
    }

    /// Lets go of what has been held for too long.
    pub(super) fn expire(&mut self) {
        if self.taps.closed.is_empty() {
            return;
        }
        let now = (self.clock)();
        let due: BTreeSet<u32> =
            self.taps.closed.iter().filter(|closed| closed.until <= now).map(|closed| closed.gate).collect();
        for gate in due {
            self.let_go(gate, false, Fate::Expired);
        }
    }

    /// When something will have been held for too long.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.taps.closed.iter().map(|closed| closed.until).min()
    }

    /// The connection is closed: what gates hold of it is lost.
    pub(super) fn lose(&mut self, index: usize, connection: &Connection) {
        while let Some(at) = self.taps.closed.iter().position(|closed| closed.connection == index) {
            let closed = self.taps.closed.swap_remove(at);
            let bytes = connection.held_bytes(closed.direction);
            self.released(&closed, connection.link, bytes, Fate::Lost);
        }
    }

    fn let_go(&mut self, gate: u32, lost: bool, fate: Fate) {
        let Some(at) = self.taps.closed.iter().position(|closed| closed.gate == gate) else { return };
        let index = self.taps.closed[at].connection;
        let Some(connection) = &mut self.connections[index] else { return };
        if lost || connection.has_hung_up(CLIENT) {
            // As the end of its process would: without a word.
            return self.close(index, false);
        }
        let closed = self.taps.closed.swap_remove(at);
        let (port, bytes) = (connection.link, connection.held_bytes(closed.direction));
        let mut news = News::default();
        let now = (self.clock)();
        connection.open_gate(closed.direction, 1 << gate, &mut self.gates, now, &mut news);
        self.work.push(index);
        self.released(&closed, port, bytes, fate);
        if !news.is_empty() {
            self.hear(index, &news);
        }
    }

    fn released(&self, closed: &Closed, port: usize, bytes: usize, fate: Fate) {
        let (Some(gate), Some(link)) = (self.gates.get(closed.gate), self.link(port)) else { return };
        let now = (self.clock)();
        let (fault, held) = (gate.fault, now.since(closed.since));
        self.say(now, Wiretap::Released { fault, link, held, bytes: bytes as u64, fate });
    }

    fn link(&self, port: usize) -> Option<Link> {
        self.index.iter().find(|(_, number)| **number == port).map(|(link, _)| link.clone())
    }

    fn say(&self, at: Instant, what: Wiretap) {
        if let Some(listener) = &self.taps.listener {
            listener(at, what);
        }
    }
}
