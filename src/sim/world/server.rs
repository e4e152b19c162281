//! The modelled stores as servers: up, down, or hanging.

use super::client::{Ask, Request};
use super::monitor::Part;
use super::watch::Asked;
use super::wire::{Message, Peer, User};
use super::{Planned, World};
use crate::fault::misfit::Misfit;
use crate::fault::rules::DOWN;
use crate::fault::{Order, OutageKind};
use crate::history::Heard;
use crate::names::Store;
use crate::protocol::{Command, Reply, StoreError};
use crate::sim::store::{Postgres, Redis};
use crate::sim::world::clock::WallClock;
use crate::time::{Instant, Span, UnixMillis};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Up,
    /// Stopped in its tracks: connections are taken and hang.
    Hanging,
    Down,
}

/// A server's state, and what reached it while it hung.
#[derive(Debug)]
pub(super) struct Server {
    pub health: Health,
    backlog: Vec<(usize, Message)>,
    /// Questions of the harness's own, which no link carries.
    pub asks: Vec<usize>,
    /// As above, of the scenario's watches.
    pub watched: Vec<Asked>,
    pub readings: u32,
}

impl Server {
    pub const fn new() -> Self {
        Self { health: Health::Up, backlog: Vec::new(), asks: Vec::new(), watched: Vec::new(), readings: 0 }
    }
}

/// Both stores.
pub(super) struct Stores {
    pub redis: Redis,
    /// Keys of the same server that only a wrongly started process knows.
    pub elsewhere: Redis,
    pub postgres: Postgres,
    /// By [`Store`].
    pub servers: [Server; Store::ALL.len()],
    /// The servers' own, by [`Store`].
    pub clocks: [WallClock; Store::ALL.len()],
}

impl World {
    fn clock_of(&self, store: Store) -> WallClock {
        self.stores.clocks[store as usize]
    }

    /// What Redis's clock reads.
    pub(super) fn redis_time(&self) -> UnixMillis {
        self.clock_of(Store::Redis).read(self.now)
    }

    /// The time that Postgres stamps rows with.
    pub(super) fn postgres_time(&self) -> Instant {
        let offset = self.clock_of(Store::Postgres).offset(self.now);
        Instant::from_nanos(self.now.as_nanos().saturating_add_signed(offset))
    }

    pub(super) fn health(&self, store: Store) -> Health {
        self.stores.servers[store as usize].health
    }

    /// Whether a new connection is taken.
    pub(super) fn accepts(&self, store: Store) -> bool {
        let has_room = store != Store::Postgres || !self.troubles.no_connections;
        self.health(store) != Health::Down && has_room
    }

    /// A message has arrived at the store.
    pub(super) fn serve(&mut self, store: Store, conn: usize, message: Message) {
        match self.health(store) {
            Health::Down => {}
            Health::Hanging => self.server(store).backlog.push((conn, message)),
            Health::Up => {
                let Some(message) = self.unless_locked(store, conn, message) else { return };
                let wait = match store {
                    Store::Redis => Span::ZERO,
                    Store::Postgres => self.delays.statement.sample(&mut self.random),
                };
                let answer = match message {
                    Message::Hello => Message::Welcome,
                    Message::Request(mut request) => {
                        request.result = Some(self.execute(store, conn, &request));
                        Message::Reply(request)
                    }
                    _ => return,
                };
                self.send(conn, DOWN, answer, wait);
            }
        }
    }

    fn execute(&mut self, store: Store, conn: usize, request: &Request) -> Result<Reply, StoreError> {
        let (wall, now) = (self.redis_time(), self.postgres_time());
        match &request.ask {
            Ask::FinishedJobs => Ok(Reply::Done),
            Ask::Metrics(part) => self.execute_metrics(conn, *part),
            Ask::Command(Command::AwaitReady { .. }) => {
                if store == Store::Redis {
                    self.stores.redis.answers_ping()?;
                }
                Ok(Reply::Ready(true))
            }
            Ask::Command(command) => match store {
                Store::Redis if self.is_elsewhere(conn) => self.stores.elsewhere.execute(wall, command),
                Store::Redis => self.stores.redis.execute(wall, command),
                Store::Postgres => match self.refusal(command) {
                    Some(refusal) => Err(refusal),
                    None => self.stores.postgres.execute(now, command),
                },
            },
        }
    }

    fn execute_metrics(&mut self, conn: usize, part: Part) -> Result<Reply, StoreError> {
        let User::Client(client) = self.conns[conn].user else { return Ok(Reply::Done) };
        if let Some(process) = self.clients[client].owner.process() {
            let is_elsewhere = self.is_elsewhere(conn);
            self.measure(process, part, is_elsewhere);
        }
        Ok(Reply::Done)
    }

    /// Whether who asks knows other keys than everybody else.
    fn is_elsewhere(&self, conn: usize) -> bool {
        if !self.misfits {
            return false;
        }
        let User::Client(client) = self.conns[conn].user else { return false };
        let process = self.clients[client].owner.process();
        process
            .is_some_and(|process| self.processes[process].misfit.as_ref().is_some_and(Misfit::is_elsewhere))
    }

    /// Takes the store down; what it lost is what its durability says.
    pub(super) fn store_down(&mut self, store: Store, how: OutageKind) {
        let wall = self.redis_time();
        let server = self.server(store);
        if how == OutageKind::Pause {
            server.health = Health::Hanging;
            return;
        }
        server.health = Health::Down;
        server.backlog.clear();
        match (store, how) {
            (Store::Redis, OutageKind::Stop) => {
                self.stores.redis.stop(wall);
                self.stores.elsewhere.stop(wall);
            }
            (Store::Redis, _) => {
                self.stores.redis.crash(wall);
                self.stores.elsewhere.crash(wall);
            }
            // Every statement that was answered is committed.
            (Store::Postgres, _) => {}
        }
        self.end_all_to(Peer::Store(store));
        for ask in std::mem::take(&mut self.server(store).asks) {
            self.ask_failed(ask, "the connection broke");
        }
        for asked in std::mem::take(&mut self.server(store).watched) {
            self.heard(asked, Heard::Unknown { error: "the connection broke".to_owned() });
        }
        if std::mem::take(&mut self.server(store).readings) > 0 {
            self.collected(Some(format!("{store} went away")));
        }
    }

    /// Begins to bring the store back; a paused one is back at once.
    pub(super) fn store_up(&mut self, store: Store, how: OutageKind, order: Order) {
        if how == OutageKind::Pause {
            return self.store_ready(store, order);
        }
        let start = match store {
            Store::Redis => &self.delays.redis_start,
            Store::Postgres => &self.delays.postgres_start,
        };
        let wait = start.sample(&mut self.random);
        self.plan_after(wait, Planned::StoreReady { store, order: Box::new(order) });
    }

    pub(super) fn store_ready(&mut self, store: Store, order: Order) {
        if self.health(store) == Health::Down && store == Store::Redis {
            let wall = self.redis_time();
            self.stores.redis.start(wall);
            self.stores.elsewhere.start(wall);
        }
        self.answer_backlog(store);
        self.done(order, format!("virtual time: {store} answers"));
    }

    /// It answers, first of all what came while it did not.
    pub(super) fn answer_backlog(&mut self, store: Store) {
        let server = self.server(store);
        server.health = Health::Up;
        let backlog = std::mem::take(&mut server.backlog);
        let asks = std::mem::take(&mut server.asks);
        let watched = std::mem::take(&mut server.watched);
        let readings = std::mem::take(&mut server.readings);
        for (conn, message) in backlog {
            self.serve(store, conn, message);
        }
        for ask in asks {
            self.answer_stalls(ask);
        }
        for asked in watched {
            self.answer_watch_from_store(asked);
        }
        for _ in 0..readings {
            self.collect();
        }
    }

    pub(super) fn server(&mut self, store: Store) -> &mut Server {
        &mut self.stores.servers[store as usize]
    }
}
