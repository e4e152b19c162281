//! An entry as it is written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::super::decode::{Decode, Named, Placed, Variants, decode_one, record, variants, wrong_type};
use super::super::diagnostic::Report;
use super::super::raw::fleet::Subject;
use super::super::scalar::{Duration, Flag, Name, Text, Word};
use super::super::tree::{Node, Value};
use super::expression::{Expression, Quantity};
use crate::timing::Clock;

record! {
    /// A job system, its timing parameters, and the pipeline that they make.
    Entry {
        /// As the file's.
        required name: Name,
        /// One line.
        required title: Text,
        /// One or two sentences.
        required about: Text,
        /// Of the project that the figures are from.
        optional version: Word,
        /// Every parameter, with its origin: what `--set` can change. Each is used in the pipeline.
        required parameters: Named<Parameter>,
        /// In terms of the parameters.
        required pipeline: Pipeline,
        /// What the table of known systems says.
        optional worst_case: WorstCase,
        /// The entry with the earlier settings.
        optional old: Name,
    }
}

record! {
    /// A value, and where it is from.
    Parameter {
        /// A duration or a number.
        required value: Quantity,
        /// Project and setting, or file.
        required origin: Text,
        /// A second name by which it can be set: the project's own.
        optional also: Text,
    }
}

record! {
    /// The number to compare with.
    WorstCase {
        /// From crash to requeue.
        optional table: Duration,
        /// Why ours differs, where it does.
        optional note: Text,
    }
}

record! {
    /// Beat, expiry, checker, recovery.
    Pipeline {
        /// What a suspicion is about. `holder` unless given.
        optional subject: Subject,
        /// No beats unless given.
        optional beat: Beat,
        /// Nothing expires unless given.
        optional expiry: Expiry,
        /// `none`, or one kind.
        required checker: Checker,
        required recovery: Recovery,
    }
}

record! {
    /// One of `interval`, `wakes` and `renew`.
    Beat {
        /// A beat each.
        optional interval: Expression,
        /// `[from, to]` after the last.
        optional wakes: Pair,
        optional renew: Renew,
        /// Longest wait to be flushed with others. 0s.
        optional buffer: Expression,
        /// Longest scheduling delay. 0s.
        optional delay: Expression,
        /// Longest write. 0s.
        optional latency: Expression,
    }
}

record! {
    /// A loop that writes only when little is left.
    Renew {
        /// The loop's period.
        required look: Expression,
        /// Written if less than this is left.
        required below: Expression,
    }
}

record! {
    /// `session`, or `ttl`, `threshold` or both.
    Expiry {
        /// A time to live, on the store's clock.
        optional ttl: Expression,
        /// The age from which a beat is stale.
        optional threshold: Expression,
        /// Whose clock stamps the beat. `worker`.
        optional stamp_clock: Clock,
        /// Whose clock the stamp is compared with. `checker`.
        optional read_clock: Clock,
        /// How long after the crash the store sees the end of the connection: one value or `[from, to]`.
        optional session: Pair,
    }
}

variants! {
    /// Who finds that the validity has ended.
    CheckerKind {
        /// Whoever asks.
        OnDemand "on_demand": OnDemand,
        /// A timer.
        Sweep "sweep": Sweep,
        /// Now and then a call.
        Probabilistic "probabilistic": Probabilistic,
    }
}

record! {
    /// A checker that is asked.
    OnDemand {
        /// Between two questions. 0s: all the time.
        optional every: Expression,
        /// 0.
        optional retries: Expression,
        /// Before each retry. 0s.
        optional backoff: Expression,
        /// For the store's connection. 0s.
        optional ready_wait: Expression,
    }
}

record! {
    /// A periodic look.
    Sweep {
        required period: Expression,
        /// One sweep marks, the next takes. false.
        optional two_phase: Flag,
        /// None unless given.
        optional guard: Guard,
        /// Anybody sweeps unless given.
        optional gated: Gate,
    }
}

variants! {
    /// A guard against two sweeps at once, with its expiry.
    Guard {
        /// Left to expire: sweeps are at least this apart.
        Paced "paced": Expression,
        /// Given back; it expires only if its holder dies.
        Held "held": Expression,
    }
}

variants! {
    /// Who may sweep.
    Gate {
        /// A worker between jobs, which comes round once in this time.
        Idle "idle": Expression,
        /// The leader, whose successor is there within this.
        Leader "leader": Expression,
    }
}

record! {
    /// A sweep by chance.
    Probabilistic {
        /// From 0 to 1, as in 0.001.
        required per_call: Expression,
        required calls_every: Expression,
    }
}

record! {
    /// What becomes of the job.
    Recovery {
        /// `at_once`, `never`, or `{after: …}`.
        required requeue: Requeue,
        optional attempts: Expression,
        optional backoff: Backoff,
        optional max_stalls: Expression,
        /// Of a free worker. 0s.
        optional claim_poll: Expression,
    }
}

variants! {
    /// The wait before a retry.
    Backoff {
        /// Always the same.
        Fixed "fixed": Expression,
        /// This, then twice, four times as long.
        Exponential "exponential": Expression,
    }
}

variants! {
    /// A requeue that takes its time.
    Delayed {
        /// One value or `[from, to]` after the suspicion.
        After "after": Pair,
    }
}

/// A word, or a map with one key.
#[derive(Debug, Clone)]
pub(in crate::scenario) enum WordOr<T> {
    Word(&'static str),
    Kind(T),
}

/// `none`, or one kind.
#[derive(Debug, Clone)]
pub(in crate::scenario) struct Checker(pub WordOr<CheckerKind>);

/// `at_once`, `never`, or a delay.
#[derive(Debug, Clone)]
pub(in crate::scenario) struct Requeue(pub WordOr<Delayed>);

pub(in crate::scenario) const NONE: &str = "none";
pub(in crate::scenario) const AT_ONCE: &str = "at_once";
pub(in crate::scenario) const NEVER: &str = "never";

/// One value, or `[from, to]`.
#[derive(Debug, Clone)]
pub(in crate::scenario) struct Pair {
    pub min: Placed<Expression>,
    pub max: Placed<Expression>,
}

impl Pair {
    pub fn ends(&self) -> [&Placed<Expression>; 2] {
        [&self.min, &self.max]
    }
}

fn word_or<T: Variants>(node: &Node, words: &[&'static str], report: &mut Report<'_>) -> Option<WordOr<T>> {
    if let Value::Scalar { text, .. } = &node.value
        && let Some(word) = words.iter().find(|word| *word == text)
    {
        return Some(WordOr::Word(word));
    }
    decode_one(node, &[], report).map(|placed| WordOr::Kind(placed.value))
}

impl Decode for Checker {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        word_or(node, &[NONE], report).map(Self)
    }
}

impl Decode for Requeue {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        word_or(node, &[AT_ONCE, NEVER], report).map(Self)
    }
}

impl Decode for Pair {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let Value::List(items) = &node.value else {
            let both: Placed<Expression> = Placed::decode(node, report)?;
            return Some(Self { min: both.clone(), max: both });
        };
        let [min, max] = items.as_slice() else {
            return wrong_type(node, "one value, or a list of two, `[from, to]`", report);
        };
        let (min, max) = (Placed::decode(min, report), Placed::decode(max, report));
        Some(Self { min: min?, max: max? })
    }
}

macro_rules! any_schema {
    ($($type:ty, $name:literal;)*) => {
        $(impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!(true)
            }
        })*
    };
}

any_schema! {
    Checker, "Checker";
    Requeue, "Requeue";
    Pair, "Pair";
}
