//! The TCP fault proxy: one listener per link, and the toxics that are on it.
//!
//! A dedicated thread owns every socket and every rule, and waits in one `epoll`. That is what makes
//! a change atomic: it happens between two turns of the loop, for all its links together, while no
//! byte moves. It is also cheap (`benches/proxy.rs`): a PING pays two wakeups and four system calls,
//! less than what a task per connection on tokio adds; and a quiet link needs no timer, no
//! allocation and no look at the clock.
//!
//! Toxics stack. Two faults may overlap on a link, of one kind or of several, and each is healed on
//! its own: latencies add up, the narrowest bandwidth rules, a black hole outdoes a partition, and
//! refusal outdoes everything ([`rules`]).

mod connection;
mod engine;
#[cfg(test)]
mod gates;
mod pipe;
#[cfg(test)]
mod property;
mod socket;
pub mod tap;
mod tapping;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use crate::fault::wire::Wire;
use crate::fault::{FaultId, Toxic};
use crate::names::Link;
use crate::time::{Instant, Span};

use engine::{Change, Engine, Job};
pub use tapping::Listener;

/// How long [`Proxy::probe_refused`] waits for a listener to make up its mind. On one host an
/// answer takes microseconds; this is for a host that has stalled.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The running proxy. Dropping it closes every listener and every connection.
///
/// Its methods wait for the proxy's thread to answer, which is a matter of tens of microseconds;
/// they may be called from any thread. An [`io::ErrorKind::BrokenPipe`] says that the thread is gone.
#[derive(Debug)]
pub struct Proxy {
    jobs: mpsc::Sender<Job>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
    clock: fn() -> Instant,
}

/// That a change of rules took effect, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Up to here, everything moved under the old rules.
    pub from: Instant,
    /// From here on, everything moves under the new ones.
    pub until: Instant,
    /// Links that changed.
    pub links: usize,
    /// Connections that were open on them when the change began.
    pub connections: usize,
    /// Those of them that the change closed: by a toxic that cuts, or at the healing of a black
    /// hole that had swallowed some of their bytes.
    pub cut: usize,
}

/// What has passed over a link since its listener was opened. Bytes count when they are handed to the
/// receiving side's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkStats {
    pub upstream_bytes: u64,
    pub downstream_bytes: u64,
    /// Swallowed by a black hole, both ways.
    pub lost_bytes: u64,
    /// Connections that are open now.
    pub open: u64,
    pub accepted: u64,
    /// Closed by a toxic, at its onset or when they were opened under it.
    pub cut: u64,
    /// Closed because the upstream did not take the connection.
    pub upstream_refused: u64,
}

impl Proxy {
    /// Starts the proxy's thread. `clock` reads the host's monotonic clock.
    pub fn start(clock: fn() -> Instant) -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let (jobs, inbox) = mpsc::channel();
        let engine = Engine::new(clock, Arc::clone(&wake), inbox)?;
        let thread = std::thread::Builder::new().name("syncope-proxy".into()).spawn(|| engine.run())?;
        Ok(Self { jobs, wake, thread: Some(thread), clock })
    }

    /// Opens the link's listener on a free port of `bind`, and returns its address. Without an
    /// upstream, connections are accepted and go no further until [`Self::set_upstream`] names one:
    /// so a fleet can start while its stores do, and is connected the moment that they are ready.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the link has a listener; else the system's.
    pub fn listen(&self, link: Link, bind: IpAddr, upstream: Option<SocketAddr>) -> io::Result<SocketAddr> {
        self.ask(move |engine| engine.listen(link, bind, upstream))?
    }

    /// Where the link's connections lead from now on, and where those lead that waited for it; others
    /// that are open stay where they are.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if the link has no listener.
    pub fn set_upstream(&self, link: &Link, upstream: SocketAddr) -> io::Result<()> {
        let link = link.clone();
        self.ask(move |engine| engine.set_upstream(&link, upstream))?
    }

    /// Puts the toxic on the links, on top of those that they have, all at the same moment.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if a link has no listener; then nothing has changed.
    pub fn apply(&self, links: &[Link], toxic: Toxic) -> io::Result<Applied> {
        self.change(links, Change::Add(toxic))
    }

    /// Takes the toxic off the links again; other toxics stay. A link that does not have it is left
    /// as it is.
    ///
    /// # Errors
    /// As [`Self::apply`]; and the system's, if a closed port could not be opened again.
    pub fn heal(&self, links: &[Link], toxic: Toxic) -> io::Result<Applied> {
        self.change(links, Change::Remove(toxic))
    }

    /// Takes every toxic off the links.
    ///
    /// # Errors
    /// As [`Self::heal`].
    pub fn clear(&self, links: &[Link]) -> io::Result<Applied> {
        self.change(links, Change::RemoveAll)
    }

    /// Proves that the link refuses connections, by asking for one. Returns when the refusal came.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionAborted`] if the connection was taken; else why it is not known.
    pub fn probe_refused(&self, link: &Link) -> io::Result<Instant> {
        let asked = link.clone();
        let address = self.ask(move |engine| engine.address(&asked))??;
        match TcpStream::connect_timeout(&address, PROBE_TIMEOUT) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok((self.clock)()),
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                format!("{link} took a connection that it should have refused"),
            )),
        }
    }

    /// # Errors
    /// [`io::ErrorKind::NotFound`] if the link has no listener.
    pub fn stats(&self, link: &Link) -> io::Result<LinkStats> {
        let link = link.clone();
        self.ask(move |engine| engine.stats(&link))?
    }

    /// Puts a gate for each fault on the links of its wire, and a tap on these links, for connections from
    /// now on. A gate does nothing before [`Self::arm`].
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if a link has no listener; [`io::ErrorKind::InvalidInput`] if a link leads
    /// to no store, or there are more gates than [`GATES_MAX`](crate::fault::wire::GATES_MAX).
    pub fn tap(&self, wires: Vec<(FaultId, Wire)>, listener: Listener) -> io::Result<()> {
        self.ask(move |engine| engine.tap(wires, listener))?
    }

    /// The fault's gate begins to count commands, from none. It holds the one that it waits for, or its
    /// reply, until [`Self::open_gate`], for `limit` at most.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if the fault has no gate.
    pub fn arm(&self, fault: FaultId, limit: Span) -> io::Result<()> {
        self.ask(move |engine| engine.arm(fault, limit))?
    }

    /// The fault's gate waits for nothing any more, and what it holds goes on its way. With `lost`, or if the
    /// process has closed the connection, it is lost, and the connection closed.
    ///
    /// # Errors
    /// As [`Self::arm`].
    pub fn open_gate(&self, fault: FaultId, lost: bool) -> io::Result<()> {
        self.ask(move |engine| engine.open_gate(fault, lost))?
    }

    fn change(&self, links: &[Link], change: Change) -> io::Result<Applied> {
        let links = links.to_vec();
        self.ask(move |engine| engine.change(&links, change))?
    }

    /// Has the proxy's thread do `job` between two turns of its loop, and waits for the result.
    fn ask<R: Send + 'static>(&self, job: impl FnOnce(&mut Engine) -> R + Send + 'static) -> io::Result<R> {
        let (answer, result) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |engine| {
            // Whoever asked waits for this; if it is gone, nobody misses the answer.
            let _ = answer.send(job(engine));
        });
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the proxy's thread has ended");
        self.jobs.send(job).map_err(|_| gone(mpsc::RecvError))?;
        rustix::io::write(&*self.wake, &1u64.to_ne_bytes())?;
        result.recv().map_err(gone)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // An error says that the thread has ended already, which is what is wanted.
        let _ = self.ask(Engine::stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// As the proof in a receipt.
impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the proxy changed {} links within {}; {} connections open, {} cut",
            self.links,
            self.until.since(self.from),
            self.connections,
            self.cut
        )
    }
}
