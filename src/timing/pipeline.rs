//! The liveness pipeline as a type: a beat or a lock, where its validity ends, who looks, and what
//! happens to the job then.

use serde::{Deserialize, Serialize};

use crate::protocol::Backoff;
use crate::time::{Interval, Span};

/// The liveness pipeline: beat → store → expiry → checker → suspicion → requeue → claim → done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    pub beat: Beat,
    pub expiry: Expiry,
    pub checker: Checker,
    pub recovery: Recovery,
    /// What a suspicion is about.
    pub subject: Subject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// One statement for the fleet as a whole: it is suspected when its last worker is silent.
    Fleet,
    /// Each worker, through the jobs that it holds.
    Holder,
}

/// How beats (or lock renewals) are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    pub rhythm: Rhythm,
    /// Longest time that a beat waits in the worker to be flushed with others. It dies with the worker.
    pub buffer: Span,
    /// Longest time from a beat's due instant until the worker's scheduler lets it write.
    pub delay: Span,
    /// l: longest time from the write's start until the store has it.
    pub latency: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rhythm {
    /// No beats: what expires runs from the claim.
    Never,
    /// h: a beat each interval.
    Every(Span),
    /// A loop that beats again at any time within this after the last beat.
    Wakes(Interval),
    /// A loop that looks each `look`, and writes only if less than `below` of the validity is left.
    Renew { look: Span, below: Span },
}

/// Where a beat's validity ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiry {
    /// T: a key's or a lock's time to live, reset when a beat arrives, on the store's clock.
    Ttl(Span),
    Age(Age),
    /// A key with a TTL whose content also has an age: the first to end decides.
    Both {
        ttl: Span,
        age: Age,
    },
    /// A session (a connection) whose end the store sees this long after the crash: at once where the
    /// process dies and its kernel closes the socket, after the keepalives where the host is gone.
    Session(Interval),
    /// Nothing ends it.
    Never,
}

/// H: the age from which a reader calls a beat stale: the reader's clock minus the stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Age {
    pub threshold: Span,
    /// Whose clock wrote the stamp.
    pub stamp: Clock,
    /// Whose clock is compared with it.
    pub read: Clock,
}

/// Whose clock a stamp is by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    Worker,
    /// Of the process that checks: an api, a sweeper, another worker.
    Checker,
    Redis,
    Postgres,
}

/// Who finds that a beat's validity has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checker {
    OnDemand(Asked),
    Sweep(Sweep),
    /// Each call sweeps with this probability, in parts per million (1 to 1,000,000); somebody calls
    /// once in `every`.
    Chance {
        per_call_ppm: u32,
        every: Span,
    },
    /// Nobody looks.
    Nobody,
}

/// A checker that works when asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// S: longest time between two questions; zero if it is asked all the time.
    pub every: Span,
    /// r: how often a negative answer is asked again before it is given.
    pub retries: u32,
    /// b: the wait before each retry.
    pub backoff: Span,
    /// w: how long a try waits for the store's connection.
    pub ready_wait: Span,
}

/// A periodic look, at any phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// S: the period of each sweeper's timer.
    pub period: Span,
    /// One sweep marks, the next takes what is marked still; a beat removes the mark.
    pub two_phase: bool,
    pub guard: Guard,
    pub gate: Gate,
}

/// What keeps two sweepers from sweeping at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// Nothing, or something that dies with its holder.
    Free,
    /// G: set by a sweep and left to expire, so that sweeps are at least G apart.
    Paced(Span),
    /// G: given back after the sweep; it expires only if the sweeper dies holding it.
    Held(Span),
}

/// Who may sweep, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Anybody whose timer fires.
    Open,
    /// A worker between two jobs: it looks once in this time whether a sweep is due.
    Idle(Span),
    /// The leader; if it dies the next is there within this TTL.
    Leader(Span),
}

/// From the suspicion to the job's next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    pub requeue: Requeue,
    /// c: the longest wait of a free worker before it asks for work again.
    pub claim_poll: Span,
    /// How often a job may be tried in all; `None`: without bound.
    pub attempts: Option<u32>,
    /// Between two attempts.
    pub backoff: Option<Backoff>,
    /// How often a job may stall before it fails, where stalls are counted apart.
    pub max_stalls: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requeue {
    /// The job is lost, or stays where it is.
    Never,
    /// It can be claimed again this long after the suspicion.
    After(Interval),
}

impl Beat {
    /// A beat each interval, with no delay of its own.
    #[must_use]
    pub const fn every(interval: Span) -> Self {
        Self::with(Rhythm::Every(interval))
    }

    #[must_use]
    pub const fn with(rhythm: Rhythm) -> Self {
        Self { rhythm, buffer: Span::ZERO, delay: Span::ZERO, latency: Span::ZERO }
    }
}

impl Age {
    /// The stamp is the worker's, and the reader another process.
    #[must_use]
    pub const fn across(threshold: Span) -> Self {
        Self { threshold, stamp: Clock::Worker, read: Clock::Checker }
    }

    /// Whether two clocks meet in the comparison: then a skew matters.
    #[must_use]
    pub fn two_clocks(&self) -> bool {
        self.stamp != self.read
    }
}

impl Expiry {
    /// E: how long a beat is valid. Of both a TTL and an age the shorter; of a session the longest
    /// time until its end is seen; [`Span::MAX`] where nothing ends it.
    #[must_use]
    pub fn effective(&self) -> Span {
        match self {
            Self::Ttl(ttl) => *ttl,
            Self::Age(age) => age.threshold,
            Self::Both { ttl, age } => age.threshold.min(*ttl),
            Self::Session(end) => end.max(),
            Self::Never => Span::MAX,
        }
    }

    /// T, where a TTL exists.
    #[must_use]
    pub const fn ttl(&self) -> Option<Span> {
        match self {
            Self::Ttl(ttl) | Self::Both { ttl, .. } => Some(*ttl),
            Self::Age(_) | Self::Session(_) | Self::Never => None,
        }
    }

    #[must_use]
    pub const fn age(&self) -> Option<Age> {
        match self {
            Self::Age(age) | Self::Both { age, .. } => Some(*age),
            Self::Ttl(_) | Self::Session(_) | Self::Never => None,
        }
    }

    /// The age rule, if it compares two clocks.
    #[must_use]
    pub fn skewed_age(&self) -> Option<Age> {
        self.age().filter(Age::two_clocks)
    }
}

impl Asked {
    /// r·b: what a negative answer takes longer than a positive one.
    #[must_use]
    pub const fn retry_time(&self) -> Span {
        self.backoff.saturating_mul(self.retries as u64)
    }
}

impl Checker {
    /// A sweep without mark, guard or gate.
    #[must_use]
    pub const fn sweep(period: Span) -> Self {
        Self::Sweep(Sweep { period, two_phase: false, guard: Guard::Free, gate: Gate::Open })
    }

    /// S: the time between two looks; zero if there are always some, or none at all.
    #[must_use]
    pub const fn period(&self) -> Span {
        match self {
            Self::OnDemand(asked) => asked.every,
            Self::Sweep(sweep) => sweep.period,
            Self::Chance { every, .. } => *every,
            Self::Nobody => Span::ZERO,
        }
    }

    /// r·b; zero for what does not retry.
    #[must_use]
    pub const fn retry_time(&self) -> Span {
        match self {
            Self::OnDemand(asked) => asked.retry_time(),
            Self::Sweep(_) | Self::Chance { .. } | Self::Nobody => Span::ZERO,
        }
    }

    /// w; zero for what does not wait.
    #[must_use]
    pub const fn ready_wait(&self) -> Span {
        match self {
            Self::OnDemand(asked) => asked.ready_wait,
            Self::Sweep(_) | Self::Chance { .. } | Self::Nobody => Span::ZERO,
        }
    }

    /// The longest that one question to an on-demand checker takes: `(r + 1)·w + r·b`.
    #[must_use]
    pub const fn longest_query(&self) -> Span {
        match self {
            Self::OnDemand(asked) => {
                let tries = (asked.retries as u64).saturating_add(1);
                let waits = asked.ready_wait.saturating_mul(tries).as_nanos();
                Span::from_nanos(waits.saturating_add(asked.retry_time().as_nanos()))
            }
            Self::Sweep(_) | Self::Chance { .. } | Self::Nobody => Span::ZERO,
        }
    }
}

impl Recovery {
    /// Nothing is requeued.
    #[must_use]
    pub const fn never(claim_poll: Span) -> Self {
        Self { requeue: Requeue::Never, claim_poll, attempts: None, backoff: None, max_stalls: None }
    }

    /// Requeued in the act of suspicion.
    #[must_use]
    pub const fn at_once(claim_poll: Span) -> Self {
        let requeue = Requeue::After(Interval::exactly(Span::ZERO));
        Self { requeue, claim_poll, attempts: None, backoff: None, max_stalls: None }
    }
}

impl Pipeline {
    /// h: the longest time from one beat to the next while nothing is late; zero without beats.
    ///
    /// A renew rule looks each `look` and writes once less than `below` of E is left by the worker's own
    /// count, so at the first multiple of `look` above `A = E − below`: `look·(⌊A/look⌋ + 1)`. If the
    /// last write was late by x, looks come early by x in its count. Where x of up to `buffer + delay`
    /// can make one miss A, the next comes `look` later: at most `A + look`.
    #[must_use]
    pub fn interval(&self) -> Span {
        match self.beat.rhythm {
            Rhythm::Never => Span::ZERO,
            Rhythm::Every(interval) => interval,
            Rhythm::Wakes(within) => within.max(),
            Rhythm::Renew { look, below } => {
                let age = self.expiry.effective() - below;
                let looks = |age: Span| age.as_nanos() / look.as_nanos().max(1);
                if looks(age + self.beat.buffer + self.beat.delay) > looks(age) {
                    age + look
                } else {
                    look.saturating_mul(looks(age).saturating_add(1))
                }
            }
        }
    }

    /// The shortest time from one beat to the next; see [`Self::interval`].
    ///
    /// A renew rule writes at the first look at or above `A`: one that falls on A itself writes or does not,
    /// as its timer is a little late or not.
    #[must_use]
    pub fn interval_min(&self) -> Span {
        match self.beat.rhythm {
            Rhythm::Wakes(within) => within.min(),
            Rhythm::Never | Rhythm::Every(_) => self.interval(),
            Rhythm::Renew { look, below } => {
                let age = self.expiry.effective() - below;
                let looks = age.as_nanos().div_ceil(look.as_nanos().max(1)).max(1);
                look.saturating_mul(looks).min(self.interval())
            }
        }
    }

    /// What may make a beat later than its rhythm says: `buffer + delay + l`.
    #[must_use]
    pub fn slack(&self) -> Span {
        self.beat.buffer + self.beat.delay + self.beat.latency
    }

    #[must_use]
    pub fn beats(&self) -> bool {
        self.beat.rhythm != Rhythm::Never && !matches!(self.expiry, Expiry::Session(_) | Expiry::Never)
    }
}
