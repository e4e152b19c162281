//! `areWorkersOnline` (S0): whether a user of the api may believe that workers are online.

use crate::names::{Store, Text};
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
    key: Text,
    threshold: Span,
    retries: u32,
    retry_backoff: Span,
    ready_wait: Span,
    /// Each query's number, and how many of its tries have ended.
    queries: Vec<(u64, u32)>,
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
            key: beat_key(prefix).into(),
            threshold: settings.threshold,
            retries: settings.retries,
            retry_backoff: settings.retry_backoff,
            ready_wait: settings.ready_wait,
            queries: Vec::new(),
            desk: Desk::new(),
        }
    }

    /// Queries under way.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.queries.len()
    }

    fn ask(&mut self, query: u64) {
        if self.queries.iter().any(|(known, _)| *known == query) {
            debug_assert!(false, "query {query} is under way already");
            return;
        }
        if self.queries.len() == QUERIES_MAX {
            return self.desk.output(Output::Answer { query, online: false, stale: false });
        }
        self.queries.push((query, 0));
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
        let Some((_, tries)) = self.queries.iter_mut().find(|(known, _)| *known == query) else {
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
        self.queries.retain(|(known, _)| *known != query);
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
            Input::WorkDone { .. } | Input::WorkFailed { .. } | Input::Memory { .. } | Input::Panic => {
                debug_assert!(false, "a detector asks for no work and looks after nobody");
            }
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::protocol::CommandId;
    use crate::protocol::testing::{millis, new_heartbeat, old_heartbeat, secs};

    const WALL_MS: i64 = 1_700_000_000_000;

    /// What Redis does with one command.
    #[derive(Debug, Clone, Copy)]
    enum Redis {
        Ready,
        /// Not ready within the wait.
        Silent,
        /// A beat of this age in milliseconds.
        Beat(i64),
        NoBeat,
        Broken,
    }

    /// Feeds one query the answers; says when the detector answered, and what.
    fn check(settings: &HeartbeatSettings, answers: &[Redis]) -> (Span, bool, bool) {
        let mut detector = Detector::new(settings, "app:test");
        let mut answers: VecDeque<_> = answers.iter().copied().collect();
        let mut now = clock(Span::ZERO);
        let mut input = Input::Query { query: 7 };
        for _ in 0..100 {
            detector.handle(now, input);
            assert!(detector.next_timeout().is_none_or(|next| next > now.mono), "nothing is left due");
            input = match detector.poll() {
                Some(Output::Send { id, command }) => {
                    let answer = answers.pop_front().expect("no more commands than answers");
                    let (took, result) = reply(now, &command, answer);
                    now = clock(now.mono.since(Instant::ZERO) + took);
                    Input::Reply { id, result }
                }
                Some(Output::Answer { query, online, stale }) => {
                    assert_eq!((query, detector.pending()), (7, 0));
                    assert!(answers.is_empty(), "left over: {answers:?}");
                    return (now.mono.since(Instant::ZERO), online, stale);
                }
                None => {
                    let next = detector.next_timeout().expect("it waits for something");
                    now = clock(next.since(Instant::ZERO));
                    Input::Timeout
                }
                Some(other) => match other {
                    Output::Emit(_) => Input::Timeout,
                    other => panic!("a detector has no wish for {other:?}"),
                },
            };
        }
        panic!("no answer");
    }

    fn clock(after: Span) -> Now {
        let wall = UnixMillis(WALL_MS + i64::try_from(after.as_millis()).unwrap());
        Now { mono: Instant::ZERO + after, wall }
    }

    fn reply(now: Now, command: &Command, answer: Redis) -> (Span, Result<Reply, StoreError>) {
        match (command, answer) {
            (Command::AwaitReady { .. }, Redis::Ready) => (Span::ZERO, Ok(Reply::Ready(true))),
            (Command::AwaitReady { within, .. }, Redis::Silent) => (*within, Ok(Reply::Ready(false))),
            (Command::ReadBeat { key }, answer) => {
                assert_eq!(key.as_str(), "app:test:workers:heartbeat");
                let result = match answer {
                    Redis::Beat(age) => Ok(Reply::Beat(Some(UnixMillis(now.wall.0 - age)))),
                    Redis::NoBeat => Ok(Reply::Beat(None)),
                    _ => Err(StoreError::Timeout),
                };
                (Span::ZERO, result)
            }
            (command, answer) => panic!("{answer:?} is no answer to {command:?}"),
        }
    }

    #[test]
    fn a_beat_counts_up_to_the_threshold_and_not_at_it() {
        for (age, online) in [(0, true), (44_999, true), (45_000, false), (50_000, false)] {
            let settings = HeartbeatSettings { retries: 0, ..new_heartbeat() };
            let answer = check(&settings, &[Redis::Ready, Redis::Beat(age)]);
            assert_eq!(answer, (Span::ZERO, online, !online), "{age}");
        }
    }

    #[test]
    fn a_stamp_in_the_future_counts_as_fresh() {
        assert!(check(&new_heartbeat(), &[Redis::Ready, Redis::Beat(-3_600_000)]).1);
    }

    #[test]
    fn without_retries_the_first_miss_decides() {
        assert_eq!(check(&old_heartbeat(), &[Redis::Ready, Redis::NoBeat]), (Span::ZERO, false, false));
        assert_eq!(check(&old_heartbeat(), &[Redis::Silent]), (secs(3), false, false));
        assert_eq!(check(&old_heartbeat(), &[Redis::Ready, Redis::Broken]), (Span::ZERO, false, false));
    }

    #[test]
    fn a_single_miss_is_retried_after_the_backoff() {
        for miss in [&[Redis::Ready, Redis::NoBeat][..], &[Redis::Ready, Redis::Beat(60_000)]] {
            let answers = [miss, &[Redis::Ready, Redis::Beat(1_000)]].concat();
            assert_eq!(check(&new_heartbeat(), &answers), (millis(500), true, false), "{miss:?}");
        }
    }

    #[test]
    fn an_error_is_retried_at_once() {
        let answers = [Redis::Ready, Redis::Broken, Redis::Ready, Redis::Beat(1_000)];
        assert_eq!(check(&new_heartbeat(), &answers), (Span::ZERO, true, false));
    }

    #[test]
    fn while_redis_is_down_an_answer_takes_ten_seconds() {
        // Claim S0-5's price: 3 × 3 s + 2 × 0.5 s.
        let answers = [Redis::Silent, Redis::Silent, Redis::Silent];
        assert_eq!(check(&new_heartbeat(), &answers), (secs(10), false, false));
    }

    #[test]
    fn stale_is_what_the_last_try_saw() {
        let stale = [Redis::Ready, Redis::Beat(60_000)];
        let missing = [Redis::Ready, Redis::NoBeat];
        assert!(check(&new_heartbeat(), &[missing, missing, stale].concat()).2);
        assert!(!check(&new_heartbeat(), &[stale, stale, missing].concat()).2);
    }

    #[test]
    fn one_query_too_many_is_answered_offline_at_once() {
        let mut detector = Detector::new(&new_heartbeat(), "app:test");
        for query in 0..=QUERIES_MAX as u64 {
            detector.handle(clock(Span::ZERO), Input::Query { query });
        }
        assert_eq!(detector.pending(), QUERIES_MAX);
        let answers: Vec<_> = std::iter::from_fn(|| detector.poll())
            .filter(|output| matches!(output, Output::Answer { .. }))
            .collect();
        assert_eq!(answers, [Output::Answer { query: QUERIES_MAX as u64, online: false, stale: false }]);
    }

    #[test]
    fn a_reply_that_nobody_asked_for_is_ignored() {
        let mut detector = Detector::new(&new_heartbeat(), "app:test");
        detector.handle(clock(Span::ZERO), Input::Reply { id: CommandId(99), result: Ok(Reply::Beat(None)) });
        assert_eq!(detector.poll(), None);
    }
}
