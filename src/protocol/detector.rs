//! `areWorkersOnline` (S0): whether a user of the api may believe that workers are online.

use std::collections::BTreeMap;

use crate::names::Store;
use crate::protocol::beat::beat_key;
use crate::protocol::desk::Desk;
use crate::protocol::{Command, HeartbeatSettings, Input, Machine, Output, Reply, StoreError};
use crate::time::{Instant, Now, Span, UnixMillis};

/// Queries under way at one time. One more is answered `offline` at once: a user then gets the
/// fallback, where dropping an older query would leave a user without any answer.
const QUERIES_MAX: usize = 1024;

/// Answers each query on its own, on demand; there is no state between queries.
///
/// A try waits for Redis, reads the heartbeat, and says online if the beat's age, the reader's wall
/// clock minus the writer's stamp, is below the threshold. Redis not ready, no beat, or a stale beat:
/// the next try follows after the backoff. A read that fails with an error: the next try follows at
/// once, as in the source, which leaves out the wait in its `catch`. A failing connection can thus
/// use up all tries within moments. After the last try the answer is offline.
///
/// A stamp in the future gives a negative age, which is below any threshold: a worker whose clock is
/// ahead by *d* counts as online for *d* longer than it should. That is the source's rule, kept.
#[derive(Debug)]
pub struct Detector {
    key: String,
    threshold: Span,
    retries: u32,
    retry_backoff: Span,
    ready_wait: Span,
    /// By the query's number: how many tries have ended.
    queries: BTreeMap<u64, u32>,
    desk: Desk<Asked, u64>,
}

/// What a try has asked Redis, for which query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Ready(u64),
    Beat(u64),
}

/// How a try ended, short of online.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Miss {
    NotReady,
    Missing,
    Stale,
    Error,
}

impl Detector {
    #[must_use]
    pub fn new(settings: &HeartbeatSettings, prefix: &str) -> Self {
        Self {
            key: beat_key(prefix),
            threshold: settings.threshold,
            retries: settings.retries,
            retry_backoff: settings.retry_backoff,
            ready_wait: settings.ready_wait,
            queries: BTreeMap::new(),
            desk: Desk::new(),
        }
    }

    /// Queries under way.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.queries.len()
    }

    fn ask(&mut self, query: u64) {
        if self.queries.contains_key(&query) {
            debug_assert!(false, "query {query} is under way already");
            return;
        }
        if self.queries.len() == QUERIES_MAX {
            return self.desk.output(Output::Answer { query, online: false, stale: false });
        }
        self.queries.insert(query, 0);
        self.begin_try(query);
    }

    fn begin_try(&mut self, query: u64) {
        let await_ready = Command::AwaitReady { store: Store::Redis, within: self.ready_wait };
        self.desk.send(Asked::Ready(query), await_ready);
    }

    fn reply(&mut self, now: Now, asked: Asked, result: &Result<Reply, StoreError>) {
        match (asked, result) {
            (Asked::Ready(query), Ok(Reply::Ready(true))) => {
                self.desk.send(Asked::Beat(query), Command::ReadBeat { key: self.key.clone() });
            }
            (Asked::Ready(query), _) => self.missed(now, query, Miss::NotReady),
            (Asked::Beat(query), Ok(Reply::Beat(Some(stamp)))) if self.is_fresh(now, *stamp) => {
                self.answer(query, true, false);
            }
            (Asked::Beat(query), Ok(Reply::Beat(Some(_)))) => self.missed(now, query, Miss::Stale),
            (Asked::Beat(query), Ok(Reply::Beat(None))) => self.missed(now, query, Miss::Missing),
            (Asked::Beat(query), _) => self.missed(now, query, Miss::Error),
        }
    }

    fn is_fresh(&self, now: Now, stamp: UnixMillis) -> bool {
        let age_ms = i128::from(now.wall.0) - i128::from(stamp.0);
        age_ms * 1_000_000 < i128::from(self.threshold.as_nanos())
    }

    fn missed(&mut self, now: Now, query: u64, miss: Miss) {
        let Some(tries) = self.queries.get_mut(&query) else {
            debug_assert!(false, "query {query} is under way until its answer");
            return;
        };
        *tries += 1;
        if *tries > self.retries {
            self.answer(query, false, miss == Miss::Stale);
        } else if miss == Miss::Error {
            self.begin_try(query);
        } else {
            self.desk.set_after(now, query, self.retry_backoff);
        }
    }

    /// `stale` is what the last try saw.
    fn answer(&mut self, query: u64, online: bool, stale: bool) {
        self.queries.remove(&query);
        self.desk.output(Output::Answer { query, online, stale });
    }
}

impl Machine for Detector {
    fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Query { query } => self.ask(query),
            Input::Reply { id, result } => {
                if let Some(asked) = self.desk.take(id, &result) {
                    self.reply(now, asked, &result);
                }
            }
            Input::Timeout | Input::Shutdown => {}
            Input::WorkDone { .. } => debug_assert!(false, "a detector asks for no work"),
        }
        while let Some((query, _)) = self.desk.pop_due(now) {
            self.begin_try(query);
        }
        debug_assert!(self.queries.len() <= QUERIES_MAX, "the queries are bounded");
    }

    fn poll(&mut self) -> Option<Output> {
        self.desk.poll()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.desk.next_timeout()
    }
}
