//! One connection through the proxy: two sockets, and a pipe in each direction.

use std::os::fd::OwnedFd;

use rand_core::Rng as _;
use rand_pcg::Pcg32;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown};

use crate::time::Instant;

use super::LinkStats;
use super::pipe::{End, Next, Pipe};
use super::socket;
use super::tap::gate::{Gates, Mask};
use super::tap::{Bytes, Tap};
use super::tapping::News;
use crate::fault::rules::{DOWN, Flow, Gate, UP};

/// Index of the side of the process, which opened the connection.
pub(super) const CLIENT: usize = UP;
/// Index of the side of the endpoint.
pub(super) const SERVER: usize = DOWN;

/// Reads per direction and turn, so that a busy connection does not keep the others waiting.
const READS_MAX: usize = 8;

/// A connection through the proxy. The direction [`UP`] leads from [`CLIENT`] to [`SERVER`], and
/// [`DOWN`] back.
#[derive(Debug)]
pub(super) struct Connection {
    pub link: usize,
    /// When it is to be pumped again, if nothing happens on its sockets before.
    pub wake: Option<Instant>,
    side: [Side; 2],
    way: [Way; 2],
    tap: Option<Box<Tap>>,
}

/// A socket, and what `epoll` has said of it and has not been used up since. Edge-triggered: this
/// needs no system call to change what is waited for.
#[derive(Debug, Default)]
struct Side {
    /// `None` on the server's side as long as the link does not connect.
    socket: Option<OwnedFd>,
    readable: bool,
    writable: bool,
    /// The peer has closed or reset: reading goes on until it says so.
    hung_up: bool,
    /// The connection was made.
    established: bool,
}

#[derive(Debug, Default)]
struct Way {
    pipe: Pipe,
    /// Its source has ended; nothing more is read.
    ended: bool,
    /// Its destination was told of the end.
    done: bool,
    /// Its destination is dead: what comes is discarded.
    dead: bool,
    /// A black hole has swallowed some of it.
    lossy: bool,
}

/// What a pump needs from outside of the connection.
pub(super) struct Surroundings<'a> {
    pub flow: [Flow; 2],
    pub stats: &'a mut LinkStats,
    pub scratch: &'a mut [u8],
    pub random: &'a mut Pcg32,
    pub clock: fn() -> Instant,
    pub gates: &'a mut Gates,
    pub news: &'a mut News,
}

/// How a pump left the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pumped {
    /// Nothing more can be done before an event, or [`Connection::wake`].
    Idle,
    /// Others should have their turn, then there is more to do.
    More,
    /// Both directions have ended; close it.
    Finished,
    /// One side has reset it; reset the other.
    Reset,
}

impl Connection {
    pub(super) fn new(link: usize, client: OwnedFd, tap: Option<Box<Tap>>) -> Self {
        let client = Side { socket: Some(client), ..Side::default() };
        Self { link, wake: None, side: [client, Side::default()], way: Default::default(), tap }
    }

    /// The command that its tap has caught last.
    pub(super) fn tap_brief(&self) -> &str {
        self.tap.as_ref().map_or("", |tap| tap.brief())
    }

    /// How many bytes of the direction stand at a gate.
    pub(super) fn held_bytes(&self, direction: usize) -> usize {
        self.tap.as_ref().map_or(0, |tap| tap.held_bytes(direction))
    }

    /// Whether the peer on that side has closed or reset it.
    pub(super) fn has_hung_up(&self, side: usize) -> bool {
        self.side[side].hung_up
    }

    /// The gate holds nothing of this direction any more.
    pub(super) fn open_gate(
        &mut self,
        direction: usize,
        gate: Mask,
        gates: &mut Gates,
        now: Instant,
        news: &mut News,
    ) {
        let Some(tap) = &mut self.tap else { return };
        if let Bytes::Held(bytes) = news.note(direction, tap.open(direction, gate, gates, self.link))
            && !self.way[direction].dead
        {
            self.way[direction].pipe.push(&bytes, now, 0);
        }
    }

    pub(super) fn socket(&self, side: usize) -> Option<&OwnedFd> {
        self.side[side].socket.as_ref()
    }

    pub(super) fn connect(&mut self, server: OwnedFd) {
        self.side[SERVER] = Side { socket: Some(server), ..Side::default() };
    }

    pub(super) fn is_connected(&self) -> bool {
        self.side[SERVER].socket.is_some()
    }

    /// Whether bytes that it should have carried are gone: then it cannot go on, since no TCP stream
    /// has a gap.
    pub(super) fn is_lossy(&self) -> bool {
        self.way.iter().any(|way| way.lossy)
    }

    /// Whether the upstream was asked for a connection and did not take it.
    pub(super) fn is_refused(&self) -> bool {
        self.side[SERVER].hung_up && !self.side[SERVER].established
    }

    pub(super) fn notice(&mut self, side: usize, flags: EventFlags) {
        let side = &mut self.side[side];
        let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        side.readable |= hung_up || flags.contains(EventFlags::IN);
        side.writable |= hung_up || flags.contains(EventFlags::OUT);
        side.hung_up |= hung_up;
        side.established |= flags.contains(EventFlags::OUT) && !flags.contains(EventFlags::HUP);
    }

    /// Closes both sides with a RST; dropping closes them with a FIN.
    pub(super) fn reset(self) {
        self.side.into_iter().filter_map(|side| side.socket).for_each(socket::reset);
    }

    /// Moves what can be moved.
    pub(super) fn pump(&mut self, around: &mut Surroundings<'_>) -> Pumped {
        // A client that gave up on a connection that never led anywhere has none: nothing of it may
        // appear at the endpoint later.
        if !self.is_connected() && self.side[CLIENT].hung_up {
            return Pumped::Reset;
        }
        self.wake = None;
        let mut more = false;
        let dead = self.way.each_ref().map(|way| way.dead);
        for direction in [UP, DOWN] {
            match self.pump_one(direction, around) {
                Pumped::Idle => {}
                Pumped::More => more = true,
                ended => return ended,
            }
        }
        if self.way.iter().all(|way| way.done || way.ended && way.lossy) {
            return Pumped::Finished;
        }
        // A destination that was found dead has something to say as the other direction's source.
        more |= dead != self.way.each_ref().map(|way| way.dead);
        if more { Pumped::More } else { Pumped::Idle }
    }

    fn pump_one(&mut self, direction: usize, around: &mut Surroundings<'_>) -> Pumped {
        match around.flow[direction].gate {
            Gate::Held => return Pumped::Idle,
            Gate::Swallows => return self.swallow(direction, around),
            Gate::Open => {}
        }
        for _ in 0..READS_MAX {
            if let Some(reset) = self.deliver(direction, around) {
                return reset;
            }
            if !self.can_read(direction, &around.flow[direction]) {
                return Pumped::Idle;
            }
            self.read(direction, around);
        }
        Pumped::More
    }

    fn can_read(&self, direction: usize, flow: &Flow) -> bool {
        let way = &self.way[direction];
        // What came before what a gate holds is on its way; what follows is not even read.
        if self.tap.as_ref().is_some_and(|tap| tap.is_held(direction)) {
            return false;
        }
        // Without latency, what is read is written at once: so only if that can be.
        let has_room = way.pipe.has_room(flow) && (flow.delays() || self.side[1 - direction].writable);
        self.side[direction].readable && !way.ended && (way.dead || has_room)
    }

    /// Reads once, and writes it straight on if nothing forbids it.
    fn read(&mut self, direction: usize, around: &mut Surroundings<'_>) {
        let Self { side, way, tap, link, .. } = self;
        let flow = &around.flow[direction];
        let count = match side[direction].read(around.scratch) {
            Read::Bytes(count) => count,
            Read::NothingYet => return,
            Read::End(end) => {
                // A peer that was found dead by writing to it has nothing of a proper end.
                let end = if way[1 - direction].dead { End::Reset } else { end };
                way[direction].ended = true;
                if let Some(tap) = tap {
                    way[direction].pipe.push(&tap.end(direction), (around.clock)(), share(around.random));
                }
                way[direction].pipe.push_end(end, (around.clock)(), share(around.random));
                return;
            }
        };
        let way = &mut way[direction];
        if way.dead {
            return;
        }
        let mut rest = &around.scratch[..count];
        let kept;
        if let Some(tap) = tap {
            rest = match around.news.note(direction, tap.take(direction, rest, around.gates, *link)) {
                Bytes::Chunk(flows) => &rest[..flows],
                Bytes::Held(bytes) => {
                    kept = bytes;
                    &kept
                }
            };
        }
        if flow.is_clear() && way.pipe.is_empty() && !rest.is_empty() {
            match side[1 - direction].write(rest) {
                Ok(written) => {
                    around.stats.count(direction, written);
                    rest = &rest[written..];
                }
                Err(Dead) => return way.die(),
            }
        }
        if !rest.is_empty() {
            way.pipe.push(rest, (around.clock)(), share(around.random));
        }
    }

    /// Writes what is under way and due. `Some` if the connection is over.
    fn deliver(&mut self, direction: usize, around: &mut Surroundings<'_>) -> Option<Pumped> {
        let Self { side, way, wake, .. } = self;
        let (sink, way) = (&mut side[1 - direction], &mut way[direction]);
        let flow = &around.flow[direction];
        if flow.bytes_max.is_none() {
            way.pipe.forget_amount();
        }
        while !way.pipe.is_empty() {
            if way.pipe.is_spent(flow) {
                around.stats.cut += 1;
                return Some(Pumped::Finished);
            }
            let now = (around.clock)();
            let written = match way.pipe.next(&around.flow[direction], now) {
                Next::Empty => return None,
                Next::Wait(until) => {
                    *wake = Some(wake.map_or(until, |wake| wake.min(until)));
                    return None;
                }
                Next::End(End::Reset) => return Some(Pumped::Reset),
                _ if !sink.writable => return None,
                Next::End(End::Fin) => {
                    sink.finish();
                    way.done = true;
                    way.pipe.drop_all();
                    return None;
                }
                Next::Bytes(bytes) => sink.write(bytes),
            };
            match written {
                Ok(written) => {
                    around.stats.count(direction, written);
                    way.pipe.written(written, &around.flow[direction], now);
                }
                Err(Dead) => way.die(),
            }
        }
        // It is closed with the last byte that may pass, not with the first that may not.
        if way.pipe.is_spent(&around.flow[direction]) {
            around.stats.cut += 1;
            return Some(Pumped::Finished);
        }
        None
    }

    /// Reads what there is into nowhere.
    fn swallow(&mut self, direction: usize, around: &mut Surroundings<'_>) -> Pumped {
        let (source, way) = (&mut self.side[direction], &mut self.way[direction]);
        way.lossy |= !way.pipe.is_empty();
        around.stats.lost_bytes += way.pipe.drop_all() as u64;
        for _ in 0..READS_MAX {
            if way.ended || !source.readable {
                return Pumped::Idle;
            }
            match source.read(around.scratch) {
                Read::Bytes(count) => {
                    way.lossy = true;
                    around.stats.lost_bytes += count as u64;
                }
                Read::NothingYet => {}
                Read::End(_) => {
                    way.lossy = true;
                    way.ended = true;
                }
            }
        }
        Pumped::More
    }
}

impl Way {
    fn die(&mut self) {
        self.dead = true;
        self.pipe.drop_all();
    }
}

enum Read {
    /// At least one.
    Bytes(usize),
    NothingYet,
    End(End),
}

/// Nobody will ever read what was to be written.
struct Dead;

impl Side {
    fn read(&mut self, into: &mut [u8]) -> Read {
        let Some(socket) = &self.socket else {
            self.readable = false;
            return Read::NothingYet;
        };
        match rustix::io::read(socket, &mut *into) {
            Ok(0) => Read::End(End::Fin),
            Ok(count) => {
                // A short read has emptied the socket, and what comes next is an event of its own;
                // but the end may have been announced already.
                self.readable = count == into.len() || self.hung_up;
                Read::Bytes(count)
            }
            Err(Errno::AGAIN) => {
                self.readable = false;
                Read::NothingYet
            }
            Err(Errno::INTR) => Read::NothingYet,
            Err(_) => Read::End(End::Reset),
        }
    }

    /// How many of the bytes the socket took: fewer than all if it can take no more now.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Dead> {
        let Some(socket) = &self.socket else {
            self.writable = false;
            return Ok(0);
        };
        match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL) {
            Ok(written) => {
                self.writable = written == bytes.len();
                Ok(written)
            }
            Err(Errno::AGAIN) => {
                self.writable = false;
                Ok(0)
            }
            Err(Errno::INTR) => Ok(0),
            Err(_) => {
                // Reading will say so, too, after what the peer sent before.
                self.readable = true;
                self.hung_up = true;
                Err(Dead)
            }
        }
    }

    /// Tells the peer that nothing more will come.
    fn finish(&self) {
        if let Some(socket) = &self.socket {
            // Fails if the peer has gone, and then needs no telling.
            let _ = rustix::net::shutdown(socket, Shutdown::Write);
        }
    }
}

impl LinkStats {
    fn count(&mut self, direction: usize, bytes: usize) {
        *(if direction == UP { &mut self.upstream_bytes } else { &mut self.downstream_bytes }) +=
            bytes as u64;
    }
}

/// Which part of the jitter a chunk gets, from -1 to 1, in units of 2^-31.
fn share(random: &mut Pcg32) -> i32 {
    random.next_u32().cast_signed()
}
