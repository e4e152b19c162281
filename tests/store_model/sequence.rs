//! Random sequences of the queue's, the locks' and the heartbeats' commands.

use std::fmt;

use syncope::dist::Random;
use syncope::names::{JobId, Text};
use syncope::protocol::{Backoff, Command, JobSpec};
use syncope::time::{Span, UnixMillis};

/// Over by the next step, whatever part of a millisecond it is.
const SHORT_MAX: Span = Span::from_millis(1);
/// Over after a [`Op::Pass`].
pub const MEDIUM: Span = Span::from_millis(400);
/// Never over.
const LONG: Span = Span::from_secs(3_600);

const STEPS_MAX: usize = 36;
/// In a sequence as it is made; where it was shrunk they may stand elsewhere.
const PASSES_AT: [usize; 2] = [12, 24];

#[derive(Debug, Clone)]
pub struct Sequence {
    /// Whether failed jobs are kept for a millisecond only, and not for an hour.
    pub forgets: bool,
    pub ops: Vec<Op>,
}

#[derive(Debug, Clone)]
pub enum Op {
    /// Names of keys lack the prefix; see [`Op::command`].
    Command(Command),
    Delete(Vec<String>),
    /// Waits until every medium delay is over.
    Pass,
}

impl Sequence {
    /// The `number`-th sequence of a seed.
    pub fn random(seed: u64, number: u64) -> Self {
        let mut draw = Draw(Random::stream(seed, &format!("redis-{number}")));
        let length = STEPS_MAX - draw.below(STEPS_MAX as u64 / 2) as usize;
        let mut ops: Vec<Op> = Vec::with_capacity(length);
        while ops.len() < length {
            ops.push(if PASSES_AT.contains(&ops.len()) { Op::Pass } else { draw.op(&ops) });
            // A claim whose outcome would depend on luck is drawn again, as something else.
            if !is_certain(&ops) {
                ops.pop();
            }
        }
        Self { forgets: number % 2 == 1, ops }
    }

    pub fn keep_failed(&self) -> Span {
        if self.forgets { SHORT_MAX } else { LONG }
    }
}

/// Whether no claim comes while a medium delay in its queue may or may not be over.
pub fn is_certain(ops: &[Op]) -> bool {
    let mut waiting: Vec<&str> = Vec::new();
    for op in ops {
        match op {
            Op::Pass => waiting.clear(),
            Op::Command(Command::Claim { queue, .. }) if waiting.contains(&queue.as_str()) => return false,
            Op::Command(_) | Op::Delete(_) => waiting.extend(op.medium_in()),
        }
    }
    true
}

impl Op {
    /// The command with its keys under a prefix.
    pub fn command(&self, prefix: &str) -> Option<Command> {
        let Self::Command(command) = self else { return None };
        let mut command = command.clone();
        if let Command::WriteBeat { key, .. }
        | Command::ReadBeat { key }
        | Command::AcquireLock { key, .. }
        | Command::RenewLock { key, .. }
        | Command::ReleaseLock { key, .. } = &mut command
        {
            *key = format!("{prefix}:{key}").into();
        }
        Some(command)
    }

    fn claim(&self) -> Option<(Text, Text)> {
        match self {
            Self::Command(Command::Claim { queue, token, .. }) => Some((queue.clone(), token.clone())),
            _ => None,
        }
    }

    /// The queue in which this may put a job off by a medium delay.
    pub fn medium_in(&self) -> Option<&str> {
        match self {
            Self::Command(Command::Enqueue { queue, job }) if job.delay == MEDIUM => Some(queue),
            Self::Command(Command::Fail { queue, retry_in: Some(MEDIUM), .. }) => Some(queue),
            _ => None,
        }
    }

    pub fn deleted(&self, prefix: &str) -> Option<Vec<String>> {
        let Self::Delete(keys) = self else { return None };
        Some(keys.iter().map(|key| format!("{prefix}:{key}")).collect())
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "failed jobs are kept for {}", self.keep_failed())?;
        self.ops.iter().enumerate().try_for_each(|(step, op)| writeln!(f, "{:3}. {op:?}", step + 1))
    }
}

struct Draw(Random);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    fn of<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len() as u64) as usize]
    }

    fn op(&mut self, before: &[Op]) -> Op {
        let kind = self.below(100);
        let (mut queue, mut token) = (self.queue(), self.token());
        // What a holder asks for means nothing to the store unless it holds something: often it is the
        // one that claimed last.
        let claimed = before.iter().rev().find_map(Op::claim);
        if let Some(claimed) = claimed.filter(|_| (42..71).contains(&kind) && self.below(2) == 0) {
            (queue, token) = claimed;
        }
        Op::Command(match kind {
            0..18 => Command::Enqueue { queue, job: self.spec() },
            18..42 => Command::Claim { queue, token, lock: self.span(60) },
            42..50 => Command::ExtendLock { queue, job: self.job(), token, lock: self.span(80) },
            50..55 => Command::Complete { queue, job: self.job(), token },
            55..66 => {
                let error = self.of(&["no luck", "", "zeile\n\"ö\""]).to_owned();
                Command::Fail { queue, job: self.job(), token, error, retry_in: self.retry() }
            }
            66..71 => Command::Release { queue, job: self.job(), token },
            71..85 => {
                let (guard, max_stalls) = (self.span(20), self.of(&[0, 1, 1, 2]));
                Command::CheckStalled { queue, guard, max_stalls }
            }
            85..88 => {
                let (worker, stamp) =
                    (self.of(&["w1", "w\"2\""]).to_owned(), UnixMillis(self.below(1 << 40) as i64));
                Command::WriteBeat { key: self.beat_key(), worker: worker.into(), stamp, ttl: self.span(60) }
            }
            88..90 => Command::ReadBeat { key: self.beat_key() },
            90..93 => Command::AcquireLock { key: self.lock_key(), token, ttl: self.span(70) },
            93..95 => Command::RenewLock { key: self.lock_key(), token, ttl: self.span(70) },
            95..97 => Command::ReleaseLock { key: self.lock_key(), token },
            _ => return Op::Delete(self.keys()),
        })
    }

    fn queue(&mut self) -> Text {
        self.of(&["regular", "regular", "regular", "regular", "large"]).into()
    }

    fn token(&mut self) -> Text {
        self.of(&["t1", "t1", "t1", "t2", "t-three"]).into()
    }

    fn job(&mut self) -> JobId {
        JobId::new(self.of(&["a", "a", "b", "c", "job:ö 1"]))
    }

    fn spec(&mut self) -> JobSpec {
        let delay = self.retry().unwrap_or(Span::ZERO);
        JobSpec {
            id: self.job(),
            steps: (0..self.below(3)).map(Span::from_nanos).collect(),
            attempts: 1 + self.below(4) as u32,
            backoff: self.of(&[Backoff::Fixed(Span::ZERO), Backoff::Exponential(LONG)]),
            delay,
            timeout: self.of(&[None, Some(LONG)]),
            failing_attempts: self.below(2) as u32,
            hanging_attempts: 0,
            tool: None,
        }
    }

    /// Short or long, the latter with this chance in a hundred.
    fn span(&mut self, long: u64) -> Span {
        if self.below(100) < long {
            LONG + Span::from_nanos(self.below(LONG.as_nanos()))
        } else {
            Span::from_nanos(self.below(SHORT_MAX.as_nanos() + 1))
        }
    }

    fn retry(&mut self) -> Option<Span> {
        match self.below(10) {
            0..3 => None,
            3..6 => Some(Span::ZERO),
            6..8 => Some(MEDIUM),
            8 => Some(Span::from_nanos(1 + self.below(SHORT_MAX.as_nanos()))),
            _ => Some(self.span(100)),
        }
    }

    fn beat_key(&mut self) -> Text {
        self.of(&["workers:heartbeat", "workers:other"]).into()
    }

    fn lock_key(&mut self) -> Text {
        self.of(&["workers:global", "scheduler:lock"]).into()
    }

    /// What an operator, or an eviction, may take away.
    fn keys(&mut self) -> Vec<String> {
        let mut key = || {
            let (queue, job) = (self.queue(), self.job());
            match self.below(14) {
                0..3 => format!("{queue}:job:{job}"),
                3..6 => format!("{queue}:job:{job}:lock"),
                6..8 => format!("{queue}:stalled-check"),
                8 => "stalls".to_owned(),
                9 => "workers:global".to_owned(),
                10 => "workers:heartbeat".to_owned(),
                11 => "unknown".to_owned(),
                _ => {
                    let part = self.of(&["waiting", "active", "delayed", "completed", "failed", "marked"]);
                    format!("{queue}:{part}")
                }
            }
        };
        let first = key();
        vec![first, key()]
    }
}
