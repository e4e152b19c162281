//! The api's requests (S0), the catalogue's, and the exchanges that carry them over links.

use super::client::{Ask, Who};
use super::process::State;
use super::watch::Asked;
use super::wire::{Message, Peer, User};
use super::{Planned, World};
use crate::fault::rules::DOWN;
use crate::history::What;
use crate::names::Store;
use crate::protocol::{Command, FleetEvent, Input, JobSpec, Reply, StoreError};
use crate::time::{Instant, Span};

/// One request over a link, on a connection of its own.
#[derive(Debug)]
pub(super) struct Exchange {
    pub from: From,
    /// What it asks for.
    body: Body,
    conn: Option<usize>,
    over: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    /// For the job of this number.
    Producer(u64),
    /// For the api's request of this number.
    Api { process: usize, life: u32, request: u64 },
    /// For the work of a pool's slot.
    Slot { process: usize, slot: u32 },
}

impl From {
    pub const fn process(self) -> Option<usize> {
        match self {
            Self::Producer(_) => None,
            Self::Api { process, .. } | Self::Slot { process, .. } => Some(process),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    Search(Box<JobSpec>),
    /// A look into the external catalogue.
    Lookup,
    /// A page that takes so long.
    Page(Span),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HttpAnswer {
    Acknowledged,
    /// The reason is that no workers are believed to be online.
    Declined,
    /// HTTP 503.
    Unavailable,
    /// The catalogue's results, or the page.
    Found,
}

/// The api's requests under way, by the detector's query.
#[derive(Debug, Default)]
pub(super) struct Api {
    last: u64,
    requests: Vec<ApiRequest>,
}

impl Api {
    fn get(&mut self, number: u64) -> Option<&mut ApiRequest> {
        self.requests.iter_mut().find(|request| request.number == number)
    }

    fn take(&mut self, number: u64) -> Option<ApiRequest> {
        let place = self.requests.iter().position(|request| request.number == number)?;
        Some(self.requests.swap_remove(place))
    }

    pub fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }
}

#[derive(Debug)]
struct ApiRequest {
    number: u64,
    asker: Asker,
    asked: Instant,
    /// The refresh that a search asks for.
    job: Option<Box<JobSpec>>,
    online: Option<bool>,
    stale: bool,
    /// Local results are there, or are not wanted.
    local: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    Exchange {
        conn: usize,
    },
    /// The harness's own probe.
    Probe(usize),
    /// A watch of the scenario.
    Watch(Asked),
}

impl World {
    /// Sends a request on a link; its answer, or `exchange_failed`, comes within `patience`.
    pub(super) fn exchange(&mut self, from: From, wire: usize, body: Body, patience: Span) -> usize {
        let exchange = self.exchanges.len();
        self.exchanges.push(Exchange { from, body, conn: None, over: false });
        match self.connect(User::Exchange(exchange), wire) {
            Some(conn) => {
                self.exchanges[exchange].conn = Some(conn);
                self.plan_after(patience, Planned::ExchangeLimit { exchange });
            }
            None => self.plan(self.now, Planned::ExchangeLimit { exchange }),
        }
        exchange
    }

    pub(super) fn exchange_limit(&mut self, exchange: usize) {
        let reason = match self.exchanges[exchange].conn {
            Some(conn) => {
                if !self.exchanges[exchange].over {
                    self.conns[conn].open = false;
                }
                "no answer in time"
            }
            None => "connection refused",
        };
        self.exchange_failed(exchange, reason);
    }

    pub(super) fn exchange_failed(&mut self, exchange: usize, reason: &str) {
        if let Some(from) = self.finish_exchange(exchange) {
            match from {
                From::Producer(job) => self.answered_producer(job, Err(reason.to_owned())),
                From::Api { process, life, request } => self.looked_up(process, life, request),
                From::Slot { process, slot } => self.fetched(process, slot, Err(reason.to_owned())),
            }
        }
    }

    pub(super) fn exchange_answered(&mut self, exchange: usize, answer: HttpAnswer) {
        if let Some(from) = self.finish_exchange(exchange) {
            match from {
                From::Producer(job) => self.answered_producer(job, Ok(answer)),
                From::Api { process, life, request } => self.looked_up(process, life, request),
                From::Slot { process, slot } => self.fetched(process, slot, Ok(())),
            }
        }
    }

    fn finish_exchange(&mut self, exchange: usize) -> Option<From> {
        let it = &mut self.exchanges[exchange];
        if std::mem::replace(&mut it.over, true) { None } else { Some(it.from) }
    }

    /// Whoever asked does not want the answer any more.
    pub(super) fn forget_exchange(&mut self, exchange: usize) {
        let it = &mut self.exchanges[exchange];
        it.over = true;
        if let Some(conn) = it.conn {
            self.conns[conn].open = false;
        }
    }

    pub(super) fn forget_exchanges_of(&mut self, process: usize) {
        for exchange in 0..self.exchanges.len() {
            let it = &self.exchanges[exchange];
            if !it.over && it.from.process() == Some(process) {
                self.forget_exchange(exchange);
            }
        }
    }

    /// What waited at the port of a process that was paused.
    pub(super) fn at_port(&mut self, conn: usize, message: Message) {
        if let Peer::Process(process) = self.wires[self.conns[conn].wire].peer {
            self.served_by_process(process, conn, message);
        }
    }

    /// A request has arrived at a process's port.
    pub(super) fn served_by_process(&mut self, process: usize, conn: usize, message: Message) {
        let Some(message) = self
            .unless_still(Some(process), message, |message| Planned::AtPort { conn: conn as u32, message })
        else {
            return;
        };
        let Message::Http(exchange) = message else { return };
        match self.exchanges[exchange].body.clone() {
            Body::Lookup => {
                let answer = Message::HttpAnswer(HttpAnswer::Found);
                self.send(conn, DOWN, answer, Span::ZERO);
            }
            Body::Page(lasting) => self.page_asked(process, conn, lasting),
            Body::Search(job) => {
                self.request(process, Asker::Exchange { conn }, Some(job));
            }
        }
    }

    /// A search, if there is a job, else a look at the health.
    pub(super) fn request(&mut self, process: usize, asker: Asker, job: Option<Box<JobSpec>>) {
        let it = &mut self.processes[process];
        if !matches!(it.state, State::Running | State::Draining) {
            return;
        }
        it.api.last += 1;
        let request = it.api.last;
        let local = job.is_none();
        let asked = self.now;
        it.api.requests.push(ApiRequest {
            number: request,
            asker,
            asked,
            job,
            online: None,
            stale: false,
            local,
        });
        if !local && let Some(client) = it.client(Store::Postgres) {
            self.call(client, Who::Local(request), Ask::FinishedJobs);
        }
        self.input(process, Input::Query { query: request });
    }

    /// The detector has spoken.
    pub(super) fn believed(&mut self, process: usize, request: u64, online: bool, stale: bool) {
        if let Some(it) = self.processes[process].api.get(request) {
            it.online = Some(online);
            it.stale = stale;
            self.go_on(process, request);
        }
    }

    /// Results or none, the search goes on.
    pub(super) fn found_locally(&mut self, process: usize, request: u64) {
        if let Some(it) = self.processes[process].api.get(request) {
            it.local = true;
            self.go_on(process, request);
        }
    }

    fn go_on(&mut self, process: usize, request: u64) {
        let it = &mut self.processes[process];
        let Some(asked) = it.api.get(request) else { return };
        let (Some(online), true) = (asked.online, asked.local) else { return };
        match (asked.asker, &asked.job) {
            (Asker::Probe(ask), _) => {
                it.api.take(request);
                self.answer_health(ask, online);
                self.leave_if_done(process);
            }
            (Asker::Watch(watched), _) => {
                let stale = asked.stale;
                it.api.take(request);
                self.answer_watch_of_health(watched, online, stale);
                self.leave_if_done(process);
            }
            (Asker::Exchange { .. }, Some(job)) if online => {
                let command = Command::Enqueue { queue: it.duty.first_queue().into(), job: (**job).clone() };
                match it.client(Store::Redis) {
                    Some(client) => self.call(client, Who::Enqueue(request), Ask::Command(command)),
                    None => self.respond(process, request, HttpAnswer::Unavailable),
                }
            }
            (Asker::Exchange { .. }, _) => {
                let (life, patience) = (it.life, it.duty.patience());
                match it.web {
                    Some(wire) => {
                        let from = From::Api { process, life, request };
                        self.exchange(from, wire, Body::Lookup, patience);
                    }
                    None => self.respond(process, request, HttpAnswer::Declined),
                }
            }
        }
    }

    pub(super) fn enqueued_by_api(
        &mut self,
        process: usize,
        request: u64,
        result: &Result<Reply, StoreError>,
    ) {
        let answer = if result.is_ok() { HttpAnswer::Acknowledged } else { HttpAnswer::Unavailable };
        self.respond(process, request, answer);
    }

    /// The catalogue has answered, or has not: a search declines either way, with what it found.
    fn looked_up(&mut self, process: usize, life: u32, request: u64) {
        if self.processes[process].life == life {
            self.respond(process, request, HttpAnswer::Declined);
        }
    }

    fn respond(&mut self, process: usize, request: u64, answer: HttpAnswer) {
        let it = &mut self.processes[process];
        let Some(asked) = it.api.take(request) else { return };
        let (Some(job), Asker::Exchange { conn }) = (asked.job, asked.asker) else { return };
        let online = asked.online == Some(true);
        let took = self.now.since(asked.asked);
        let name = it.name.clone();
        self.say(name, What::Fleet(FleetEvent::Searched { job: job.id, online, took }));
        self.send(conn, DOWN, Message::HttpAnswer(answer), Span::ZERO);
        self.leave_if_done(process);
    }
}
