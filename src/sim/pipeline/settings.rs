//! What a simulated pipeline is made of.

use crate::dist::Distribution;
use crate::time::Span;

/// Workers that are alike, a store, and a checker. Every worker has phases of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// From 1 to 2²⁴.
    pub workers: u32,
    pub beat: Beat,
    pub link: Link,
    pub expiry: Expiry,
    pub checker: Checker,
    pub faults: Faults,
}

/// How a worker beats.
#[derive(Debug, Clone, PartialEq)]
pub struct Beat {
    /// The interval h, above zero.
    pub every: Span,
    pub schedule: Schedule,
    /// How long after it was due a beat is written: the worker's scheduler, and its buffer. The stamp is
    /// taken when it is written.
    pub late: Distribution,
}

/// When the next beat is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// At the next multiple of the interval, as a ticker that skips what it missed.
    FixedRate,
    /// An interval after the last beat was written, as a loop that sleeps.
    FixedDelay,
}

/// From the worker to the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    pub delay: Distribution,
    /// Of a million beats, how many are lost, each independently of the others. At most 1 000 000.
    pub loss_ppm: u32,
}

/// When the store's record of a beat stops counting. With both, at the earlier of the two; at least one
/// is there. The last to arrive counts, also if it was written earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// After its arrival, by the store's clock.
    pub ttl: Option<Span>,
    /// After the worker's stamp, by the checker's clock.
    pub age: Option<Span>,
}

/// Who looks at the records.
#[derive(Debug, Clone, PartialEq)]
pub struct Checker {
    pub asks: Asks,
    /// How often it asks again, before it suspects, when the answer was that a worker is dead.
    pub retries: u32,
    /// Before each retry.
    pub backoff: Span,
    /// How many sweeps in a row must find a worker dead: 1 as a rule; 2 if the first one only marks it.
    /// Of no effect with `Asks::Always`.
    pub sweeps: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Asks {
    /// All the time. The suspicion begins `retries` times `backoff` after expiry, if no beat arrives
    /// until then.
    Always,
    /// For each worker by itself, this long after the last time; the first time anywhere within it. A
    /// query that is still being retried goes on instead of the next. At least 1 ns.
    Each(Distribution),
    /// For all workers at once.
    Together(Distribution),
}

/// What happens besides delay and loss.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Faults {
    /// A worker stands still for a while. A beat that falls due in a pause is written at its end.
    pub pauses: Option<Spells>,
    /// A worker ends, and beats again when the spell is over.
    pub crashes: Option<Spells>,
    /// The store takes no beat and answers no query. What it holds goes on ageing.
    pub outages: Option<Spells>,
}

/// Something that comes and goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Spells {
    /// From the end of one to the start of the next. The greatest value must be above zero.
    pub gap: Distribution,
    pub lasting: Distribution,
}

/// Why a pipeline cannot be simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    #[error("a pipeline has from 1 to 16777216 workers")]
    Workers,
    #[error("the beat interval must be above zero")]
    Interval,
    #[error("at most 1000000 of a million beats are lost")]
    Loss,
    #[error("neither a TTL nor an age ends what a beat says")]
    NoExpiry,
    #[error("the checker must wait between two queries")]
    Checker,
    #[error("a worker is found dead by at least one sweep")]
    Sweeps,
    #[error("there must be time between two faults of a kind")]
    Gap,
}

impl Pipeline {
    /// # Errors
    /// The first of the limits above that is not kept.
    pub fn check(&self) -> Result<(), PipelineError> {
        let asks = match &self.checker.asks {
            Asks::Always => true,
            Asks::Each(every) | Asks::Together(every) => !every.max().is_zero(),
        };
        let Faults { pauses, crashes, outages } = &self.faults;
        let mut spells = [pauses, crashes, outages].into_iter().flatten();
        let rules = [
            ((1..=1 << 24).contains(&self.workers), PipelineError::Workers),
            (!self.beat.every.is_zero(), PipelineError::Interval),
            (self.link.loss_ppm <= 1_000_000, PipelineError::Loss),
            (self.expiry.ttl.is_some() || self.expiry.age.is_some(), PipelineError::NoExpiry),
            (asks, PipelineError::Checker),
            (self.checker.sweeps > 0, PipelineError::Sweeps),
            (spells.all(|spells| !spells.gap.max().is_zero()), PipelineError::Gap),
        ];
        rules.into_iter().find(|(kept, _)| !kept).map_or(Ok(()), |(_, error)| Err(error))
    }
}
