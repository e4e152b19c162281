//! A store's client: one connection that is made again whenever it breaks. The rules are those of
//! the live client (`live::store::link`), which the conformance test holds it to.

use super::monitor::Part;
use super::wire::{Message, User};
use super::{Planned, World};
use crate::fault::rules::UP;
use crate::names::Store;
use crate::protocol::settings::{RECONNECT_MAX, RECONNECT_MIN};
use crate::protocol::{Command, CommandId, Reply, StoreError};
use crate::time::{Instant, Span};

/// Laid out as it is written: what every request looks at comes first, and lies together.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Client {
    pub owner: Owner,
    state: State,
    in_flight: Vec<InFlight>,
    timer_at: Option<Instant>,
    /// For a connection to be made, and for an answer.
    pub patience: Span,
    pub wire: usize,
    pub store: Store,
    /// Counts connections and their attempts, so that what belongs to an earlier one is known.
    epoch: u32,
    backoff: Span,
    /// Waits for readiness: who, and until when.
    waiters: Vec<(Who, Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Process(usize),
    Producer,
}

impl Owner {
    pub const fn process(self) -> Option<usize> {
        match self {
            Self::Process(process) => Some(process),
            Self::Producer => None,
        }
    }
}

/// Whose question it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// The machine's own command.
    Machine(CommandId),
    /// The api's look for local results, for its request of this number.
    Local(u64),
    /// An enqueue: of the api, for its request of this number; of the producer, for the job of this number.
    Enqueue(u64),
    /// An exporter's question, for a scrape.
    Scrape(Part),
}

#[derive(Debug)]
pub(super) struct Request {
    pub who: Who,
    pub ask: Ask,
    /// Once the store has answered.
    pub result: Option<Result<Reply, StoreError>>,
}

#[derive(Debug)]
pub(super) enum Ask {
    Command(Command),
    /// Jobs that are done and match a text. What it finds is not modelled, only whether it answers.
    FinishedJobs,
    /// What an exporter tells of the store. The monitor takes what is read, where it is read.
    Metrics(Part),
}

#[derive(Debug)]
enum State {
    Closed,
    Down(&'static str),
    Dialling { conn: usize },
    Up { conn: usize },
}

#[derive(Debug)]
struct InFlight {
    who: Who,
    until: Instant,
    ping: Option<Ping>,
}

/// A wait for readiness that asks a connection which is there.
#[derive(Debug, Clone, Copy)]
struct Ping {
    deadline: Instant,
    /// Whether no answer says something against the connection.
    conclusive: bool,
}

impl Client {
    pub const fn new(owner: Owner, wire: usize, store: Store, patience: Span) -> Self {
        Self {
            owner,
            wire,
            store,
            patience,
            epoch: 0,
            state: State::Closed,
            backoff: RECONNECT_MIN,
            in_flight: Vec::new(),
            waiters: Vec::new(),
            timer_at: None,
        }
    }

    pub const fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    const fn conn(&self) -> Option<usize> {
        match self.state {
            State::Dialling { conn } | State::Up { conn } => Some(conn),
            State::Closed | State::Down(_) => None,
        }
    }
}

impl World {
    pub(super) fn open_client(&mut self, client: usize) {
        self.clients[client].backoff = RECONNECT_MIN;
        self.clients[client].state = State::Down("not connected yet");
        self.dial(client);
    }

    /// Its process has ended: nobody waits for anything any more.
    pub(super) fn close_client(&mut self, client: usize) {
        let it = &mut self.clients[client];
        it.epoch += 1;
        it.in_flight.clear();
        it.waiters.clear();
        it.timer_at = None;
        let conn = it.conn();
        it.state = State::Closed;
        if let Some(conn) = conn {
            self.conns[conn].open = false;
        }
    }

    fn dial(&mut self, client: usize) {
        let it = &mut self.clients[client];
        it.epoch += 1;
        let (epoch, patience, wire) = (it.epoch, it.patience, it.wire);
        match self.connect(User::Client(client), wire) {
            Some(conn) => {
                self.clients[client].state = State::Dialling { conn };
                self.plan_after(patience, Planned::DialLimit { client, epoch });
            }
            None => self.down(client, "connection refused"),
        }
    }

    pub(super) fn redial(&mut self, client: usize, epoch: u32) {
        if self.clients[client].epoch == epoch && matches!(self.clients[client].state, State::Down(_)) {
            self.dial(client);
        }
    }

    pub(super) fn dial_limit(&mut self, client: usize, epoch: u32) {
        if self.clients[client].epoch == epoch
            && let State::Dialling { conn } = self.clients[client].state
        {
            self.conns[conn].open = false;
            self.down(client, "no answer to the connection attempt");
        }
    }

    /// The wait before the next attempt begins.
    fn down(&mut self, client: usize, reason: &'static str) {
        let it = &mut self.clients[client];
        it.state = State::Down(reason);
        let (wait, epoch) = (it.backoff, it.epoch);
        it.backoff = it.backoff.saturating_mul(2).min(RECONNECT_MAX);
        self.plan_after(wait, Planned::Redial { client, epoch });
    }

    pub(super) fn connected(&mut self, client: usize, conn: usize) {
        let it = &mut self.clients[client];
        if !matches!(it.state, State::Dialling { conn: dialling } if dialling == conn) {
            return;
        }
        it.state = State::Up { conn };
        it.backoff = RECONNECT_MIN;
        for (who, deadline) in std::mem::take(&mut it.waiters) {
            self.ping(client, who, deadline, false);
        }
    }

    /// The peer or the link has ended the connection.
    pub(super) fn connection_lost(&mut self, client: usize, conn: usize) {
        match self.clients[client].state {
            State::Up { conn: current } if current == conn => self.break_up(client, "the connection broke"),
            State::Dialling { conn: current } if current == conn => {
                self.down(client, "the server closed the connection");
            }
            _ => {}
        }
    }

    /// Drops the connection; what was in flight has no answer.
    fn break_up(&mut self, client: usize, reason: &'static str) {
        let it = &mut self.clients[client];
        if let Some(conn) = it.conn() {
            self.conns[conn].open = false;
        }
        it.epoch += 1;
        for lost in std::mem::take(&mut self.clients[client].in_flight) {
            match lost.ping {
                Some(ping) => self.clients[client].waiters.push((lost.who, ping.deadline)),
                None => self.answer_soon(client, lost.who, Err(StoreError::Unavailable(reason.into()))),
            }
        }
        self.down(client, reason);
        self.arm(client);
    }

    pub(super) fn call(&mut self, client: usize, who: Who, ask: Ask) {
        if let Ask::Command(Command::AwaitReady { within, .. }) = ask {
            return self.await_ready(client, who, within);
        }
        let it = &mut self.clients[client];
        match it.state {
            State::Up { conn } => {
                let until = self.now + it.patience;
                it.in_flight.push(InFlight { who, until, ping: None });
                self.arm_for(client, until);
                let request = self.pack(who, ask);
                self.send(conn, UP, Message::Request(request), Span::ZERO);
            }
            State::Down(reason) => {
                self.answer_soon(client, who, Err(StoreError::Unavailable(reason.into())));
            }
            State::Dialling { .. } | State::Closed => {
                let reason = "not connected".to_owned();
                self.answer_soon(client, who, Err(StoreError::Unavailable(reason)));
            }
        }
    }

    fn await_ready(&mut self, client: usize, who: Who, within: Span) {
        let deadline = self.now + within;
        if self.clients[client].is_up() {
            self.ping(client, who, deadline, true);
        } else {
            self.clients[client].waiters.push((who, deadline));
            self.arm_for(client, deadline);
        }
    }

    fn ping(&mut self, client: usize, who: Who, deadline: Instant, had_all_the_time: bool) {
        let it = &mut self.clients[client];
        let State::Up { conn } = it.state else { return };
        let until = deadline.min(self.now + it.patience);
        let ping = Ping { deadline, conclusive: had_all_the_time || until < deadline };
        it.in_flight.push(InFlight { who, until, ping: Some(ping) });
        let command = Command::AwaitReady { store: it.store, within: Span::ZERO };
        self.arm_for(client, until);
        let request = self.pack(who, Ask::Command(command));
        self.send(conn, UP, Message::Request(request), Span::ZERO);
    }

    /// A request on its way, in a box that an earlier one has left.
    fn pack(&mut self, who: Who, ask: Ask) -> Box<Request> {
        let request = Request { who, ask, result: None };
        match self.boxes.pop() {
            Some(mut used) => {
                *used = request;
                used
            }
            None => Box::new(request),
        }
    }

    pub(super) fn replied(&mut self, client: usize, mut request: Box<Request>) {
        let in_flight = &mut self.clients[client].in_flight;
        // Answers come in the order of the questions, so it is the first, as a rule.
        let place = in_flight.iter().position(|waiting| waiting.who == request.who);
        if let (Some(place), Some(result)) = (place, request.result.take()) {
            let waiting = in_flight.remove(place);
            match (waiting.ping, result) {
                // The server is there and will not: only another connection is asked again.
                (Some(Ping { deadline, .. }), Err(StoreError::Rejected(_))) => {
                    self.clients[client].waiters.push((request.who, deadline));
                    self.arm_for(client, deadline);
                }
                (_, result) => self.answered(client, request.who, result),
            }
        }
        self.boxes.push(request);
    }

    /// Looks for what has waited for too long.
    pub(super) fn client_timer(&mut self, client: usize, at: Instant) {
        if self.clients[client].timer_at != Some(at) {
            return;
        }
        self.clients[client].timer_at = None;
        let now = self.now;
        let mut broken = false;
        let mut place = 0;
        while let Some(waiting) = self.clients[client].in_flight.get(place) {
            if waiting.until > now {
                place += 1;
                continue;
            }
            let InFlight { who, ping, .. } = self.clients[client].in_flight.remove(place);
            broken |= ping.is_none_or(|ping| ping.conclusive);
            match ping {
                Some(Ping { deadline, .. }) if deadline > now => {
                    self.clients[client].waiters.push((who, deadline));
                }
                Some(_) => self.answer_soon(client, who, Ok(Reply::Ready(false))),
                None => self.answer_soon(client, who, Err(StoreError::Timeout)),
            }
        }
        let waiters = std::mem::take(&mut self.clients[client].waiters);
        for (who, deadline) in waiters {
            if deadline <= now {
                self.answer_soon(client, who, Ok(Reply::Ready(false)));
            } else {
                self.clients[client].waiters.push((who, deadline));
            }
        }
        if broken && self.clients[client].is_up() {
            self.break_up(client, "no answer in time");
        }
        self.arm(client);
    }

    fn arm(&mut self, client: usize) {
        let it = &self.clients[client];
        let waits = it.waiters.iter().map(|(_, deadline)| *deadline);
        if let Some(next) = it.in_flight.iter().map(|waiting| waiting.until).chain(waits).min() {
            self.arm_for(client, next);
        }
    }

    fn arm_for(&mut self, client: usize, at: Instant) {
        let timer = &mut self.clients[client].timer_at;
        if timer.is_none_or(|planned| at < planned) {
            *timer = Some(at);
            self.plan(at, Planned::ClientTimer { client, at });
        }
    }

    /// An answer that the client gives itself. Never within the question: the asker is not ready.
    fn answer_soon(&mut self, client: usize, who: Who, result: Result<Reply, StoreError>) {
        let life = self.life_of(self.clients[client].owner);
        self.plan(self.now, Planned::Answer { client, life, answer: Box::new((who, result)) });
    }
}
