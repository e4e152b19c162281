//! The proxy's thread: one loop over one `epoll`, which owns every listener, connection and rule.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};

use rand_core::SeedableRng as _;
use rand_pcg::Pcg32;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::fault::Toxic;
use crate::names::{Link, Store};
use crate::time::{Instant, Span};

use super::connection::{CLIENT, Connection, Pumped, SERVER, Surroundings};
use super::tap::Tap;
use super::tap::gate::Gates;
use super::tapping::{News, Taps};
use super::{Applied, LinkStats, socket};
use crate::fault::rules::{Door, Gate, Rules, UP};

/// What another thread wants done between two turns of the loop.
pub(super) type Job = Box<dyn FnOnce(&mut Engine) + Send>;

/// The size of the one buffer that everything passes through: large enough that system calls do not
/// count for bulk, small enough to stay in the cache.
const SCRATCH_BYTES: usize = 256 << 10;

/// Events per turn.
const EVENTS_MAX: usize = 256;

/// Connections accepted per listener and turn.
const ACCEPTS_MAX: usize = 64;

/// Jitter needs no seed of the run's: what it falls on depends on when the kernel hands bytes over.
const JITTER_SEED: u64 = 0x5796_c09e;

/// What `epoll` reports on: the two sides of a connection as `2 * index + side`, else one of these.
const WAKE: u64 = u64::MAX;
const LISTENER: u64 = 1 << 63;

const CONNECTION_EVENTS: EventFlags =
    EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);

pub(super) struct Engine {
    pub(super) clock: fn() -> Instant,
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    inbox: mpsc::Receiver<Job>,
    pub(super) index: BTreeMap<Link, usize>,
    pub(super) ports: Vec<Port>,
    /// By index, which is reused.
    pub(super) connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Connections to pump in this turn.
    pub(super) work: Vec<usize>,
    /// Listeners to accept from in this turn.
    doors: Vec<usize>,
    /// Listeners that could not accept for want of file descriptors, until a connection closes.
    starved: BTreeSet<usize>,
    timers: BTreeSet<(Instant, usize)>,
    scratch: Vec<u8>,
    random: Pcg32,
    pub(super) gates: Gates,
    pub(super) taps: Taps,
    stopping: bool,
}

/// A link's listener.
pub(super) struct Port {
    socket: OwnedFd,
    address: SocketAddr,
    upstream: Option<SocketAddr>,
    toxics: Vec<Toxic>,
    rules: Rules,
    stats: LinkStats,
    /// The protocol that its connections are tapped for.
    pub(super) tap: Option<Store>,
    /// A tap has said that it steps aside.
    pub(super) aside: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Add(Toxic),
    Remove(Toxic),
    RemoveAll,
}

impl Engine {
    pub(super) fn new(
        clock: fn() -> Instant,
        wake: Arc<OwnedFd>,
        inbox: mpsc::Receiver<Job>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &*wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Self {
            clock,
            epoll,
            wake,
            inbox,
            index: BTreeMap::new(),
            ports: Vec::new(),
            connections: Vec::new(),
            free: Vec::new(),
            work: Vec::new(),
            doors: Vec::new(),
            starved: BTreeSet::new(),
            timers: BTreeSet::new(),
            scratch: vec![0; SCRATCH_BYTES],
            random: Pcg32::seed_from_u64(JITTER_SEED),
            gates: Gates::default(),
            taps: Taps::default(),
            stopping: false,
        })
    }

    /// Runs until [`Self::stop`]. Each turn takes note of all events first, then does the jobs, then
    /// moves bytes: so a change is in force before any byte that it concerns.
    pub(super) fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        while !self.stopping {
            let timeout = self.timeout();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                // Only a broken epoll fails, and nothing can be proxied without one. Whoever asks
                // for something next learns that the thread has gone.
                Err(_) => return,
            }
            let asked = self.notice(&mut events);
            if asked {
                self.do_jobs();
            }
            self.expire();
            self.accept_all();
            self.pump_all();
        }
    }

    pub(super) fn stop(&mut self) {
        self.stopping = true;
    }

    pub(super) fn listen(
        &mut self,
        link: Link,
        ip: IpAddr,
        upstream: Option<SocketAddr>,
    ) -> io::Result<SocketAddr> {
        if self.index.contains_key(&link) {
            let message = format!("the link {link} has a listener already");
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        let (socket, address) = socket::bind(ip)?;
        socket::open_port(&socket)?;
        let id = self.ports.len();
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&self.epoll, &socket, EventData::new_u64(LISTENER | id as u64), flags)?;
        let (rules, stats) = (Rules::default(), LinkStats::default());
        let (toxics, tap, aside) = (Vec::new(), None, false);
        self.ports.push(Port { socket, address, upstream, toxics, rules, stats, tap, aside });
        self.index.insert(link, id);
        Ok(address)
    }

    pub(super) fn set_upstream(&mut self, link: &Link, upstream: SocketAddr) -> io::Result<()> {
        let id = self.find(link)?;
        let waited = self.ports[id].upstream.replace(upstream).is_none();
        if waited && self.ports[id].rules.connects() {
            let of_link = |connection: &Option<Connection>| connection.as_ref().is_some_and(|c| c.link == id);
            for index in 0..self.connections.len() {
                if of_link(&self.connections[index]) {
                    self.connect(index);
                }
            }
        }
        Ok(())
    }

    pub(super) fn address(&self, link: &Link) -> io::Result<SocketAddr> {
        Ok(self.ports[self.find(link)?].address)
    }

    pub(super) fn stats(&self, link: &Link) -> io::Result<LinkStats> {
        Ok(self.ports[self.find(link)?].stats)
    }

    pub(super) fn change(&mut self, links: &[Link], change: Change) -> io::Result<Applied> {
        let changed = links.iter().map(|link| self.find(link)).collect::<io::Result<BTreeSet<_>>>()?;
        let from = (self.clock)();
        let mut opened = Ok(());
        for id in &changed {
            // The others change all the same: half of a heal is better than none.
            opened = opened.and(self.ports[*id].change(change));
        }
        let (connections, cut) = self.enforce(&changed);
        let until = (self.clock)();
        opened?;
        Ok(Applied { from, until, links: changed.len(), connections, cut })
    }

    /// Makes the connections that are open on these links obey their new rules. Returns how many
    /// those are, and how many of them were closed.
    fn enforce(&mut self, changed: &BTreeSet<usize>) -> (usize, usize) {
        let (mut open, mut cut) = (0, 0);
        for index in 0..self.connections.len() {
            let Some(connection) = &self.connections[index] else { continue };
            let (link, lossy, connected) =
                (connection.link, connection.is_lossy(), connection.is_connected());
            if !changed.contains(&link) {
                continue;
            }
            open += 1;
            let rules = self.ports[link].rules;
            let swallows = rules.flow[UP].gate == Gate::Swallows;
            if rules.door != Door::Open || lossy && !swallows {
                cut += 1;
                self.ports[link].stats.cut += 1;
                self.close(index, rules.door != Door::Closed);
            } else if !connected && rules.connects() {
                self.connect(index);
            } else {
                self.work.push(index);
            }
        }
        (open, cut)
    }

    pub(super) fn find(&self, link: &Link) -> io::Result<usize> {
        self.index.get(link).copied().ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("the link {link} has no listener"))
        })
    }

    /// How long the loop may sleep; `None` for until something happens.
    fn timeout(&self) -> Option<Timespec> {
        let wait = if self.work.is_empty() && self.doors.is_empty() {
            let timer = self.timers.first().map(|(due, _)| *due);
            timer.into_iter().chain(self.next_expiry()).min()?.since((self.clock)())
        } else {
            Span::ZERO
        };
        Timespec::try_from(wait.to_std()).ok()
    }

    /// Puts what has happened on the lists of this turn. Returns whether a job has come.
    fn notice(&mut self, events: &mut Vec<Event>) -> bool {
        let mut asked = false;
        for event in events.drain(..) {
            let (token, flags) = (event.data.u64(), event.flags);
            if token == WAKE {
                asked = true;
            } else if token & LISTENER != 0 {
                self.doors.push((token ^ LISTENER) as usize);
            } else {
                let (index, side) = ((token / 2) as usize, (token % 2) as usize);
                // It may have been closed since, or its place taken: the newcomer then finds by
                // trying that it has nothing to read.
                if let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) {
                    connection.notice(side, flags);
                    self.work.push(index);
                }
            }
        }
        if !self.timers.is_empty() {
            let now = (self.clock)();
            self.work.extend(self.timers.iter().take_while(|(due, _)| *due <= now).map(|(_, index)| index));
        }
        asked
    }

    fn do_jobs(&mut self) {
        // Resets the event; there is nothing to learn from it that the inbox does not say.
        let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
        while let Ok(job) = self.inbox.try_recv() {
            job(self);
        }
    }

    fn accept_all(&mut self) {
        for id in std::mem::take(&mut self.doors) {
            self.accept(id);
        }
    }

    fn accept(&mut self, id: usize) {
        for _ in 0..ACCEPTS_MAX {
            match socket::accept(&self.ports[id].socket) {
                Ok(client) => self.admit(id, client),
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    self.starved.insert(id);
                    return;
                }
                // No connection waits, or the port is closed.
                Err(_) => return,
            }
        }
        self.doors.push(id);
    }

    fn admit(&mut self, id: usize, client: OwnedFd) {
        let port = &mut self.ports[id];
        port.stats.accepted += 1;
        if port.rules.door != Door::Open {
            port.stats.cut += 1;
            return socket::reset(client);
        }
        let connects = port.rules.connects();
        port.stats.open += 1;
        let index = self.free.pop().unwrap_or(self.connections.len());
        if index == self.connections.len() {
            self.connections.push(None);
        }
        let tap = port.tap.map(|store| Box::new(Tap::new(store)));
        self.connections[index] = Some(Connection::new(id, client, tap));
        if !self.watch(index, CLIENT) {
            self.close(index, true);
        } else if connects {
            self.connect(index);
        }
    }

    /// Connects to the upstream, as soon as there is one; if that cannot be, the client is reset.
    fn connect(&mut self, index: usize) {
        let Some(connection) = &mut self.connections[index] else { return };
        let port = &mut self.ports[connection.link];
        let Some(upstream) = port.upstream else { return };
        match socket::dial(upstream) {
            Ok(server) => {
                connection.connect(server);
                if !self.watch(index, SERVER) {
                    self.close(index, true);
                }
            }
            Err(_) => {
                port.stats.upstream_refused += 1;
                self.close(index, true);
            }
        }
    }

    /// Waits for the events of one side. `false` if that cannot be.
    fn watch(&self, index: usize, side: usize) -> bool {
        let socket = self.connections[index].as_ref().and_then(|connection| connection.socket(side));
        let token = EventData::new_u64(2 * index as u64 + side as u64);
        socket.is_some_and(|socket| epoll::add(&self.epoll, socket, token, CONNECTION_EVENTS).is_ok())
    }

    fn pump_all(&mut self) {
        let mut work = std::mem::take(&mut self.work);
        for index in work.drain(..) {
            self.pump(index);
        }
        // The list's memory is used again; what was put on it meanwhile is for the next turn.
        work.append(&mut self.work);
        self.work = work;
    }

    fn pump(&mut self, index: usize) {
        let Some(connection) = &mut self.connections[index] else { return };
        let port = &mut self.ports[connection.link];
        let before = connection.wake;
        let mut news = News::default();
        let pumped = connection.pump(&mut Surroundings {
            flow: port.rules.flow,
            stats: &mut port.stats,
            scratch: &mut self.scratch,
            random: &mut self.random,
            clock: self.clock,
            gates: &mut self.gates,
            news: &mut news,
        });
        if before != connection.wake {
            before.map(|due| self.timers.remove(&(due, index)));
            connection.wake.map(|due| self.timers.insert((due, index)));
        }
        let refused = pumped == Pumped::Reset && connection.is_refused();
        port.stats.upstream_refused += u64::from(refused);
        if !news.is_empty() {
            self.hear(index, &news);
        }
        match pumped {
            Pumped::Idle => {}
            Pumped::More => self.work.push(index),
            Pumped::Finished => self.close(index, false),
            Pumped::Reset => self.close(index, true),
        }
    }

    pub(super) fn close(&mut self, index: usize, reset: bool) {
        let Some(connection) = self.connections[index].take() else { return };
        self.lose(index, &connection);
        self.ports[connection.link].stats.open -= 1;
        connection.wake.map(|due| self.timers.remove(&(due, index)));
        if reset {
            connection.reset();
        } else {
            drop(connection);
        }
        self.free.push(index);
        self.doors.extend(std::mem::take(&mut self.starved));
    }
}

impl Port {
    /// # Errors
    /// If the port cannot be opened or closed; the rules are in force all the same.
    fn change(&mut self, change: Change) -> io::Result<()> {
        match change {
            Change::Add(toxic) => self.toxics.push(toxic),
            Change::Remove(toxic) => {
                if let Some(at) = self.toxics.iter().position(|other| *other == toxic) {
                    self.toxics.remove(at);
                }
            }
            Change::RemoveAll => self.toxics.clear(),
        }
        let was_closed = self.rules.door == Door::Closed;
        self.rules = Rules::of(&self.toxics);
        match (was_closed, self.rules.door == Door::Closed) {
            (false, true) => socket::close_port(&self.socket),
            (true, false) => socket::open_port(&self.socket),
            _ => Ok(()),
        }
    }
}
