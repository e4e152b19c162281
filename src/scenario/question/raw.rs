//! A question as it is written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::super::catalogue::Quantity;
use super::super::decode::{Decode, Named, Placed, record, wrong_type};
use super::super::diagnostic::{Code, Report};
use super::super::raw;
use super::super::scalar::{Duration, Name, Share, Text, Whole, scalar};
use super::super::tree::{Node, Value, shorten};

record! {
    /// What must hold, what must be borne, and which settings may move.
    Question {
        required name: Name,
        /// What is asked, in a sentence or two.
        optional about: Text,
        /// A system of the catalogue.
        required system: Name,
        required workers: Workers,
        /// The settings in use, where they differ from the catalogue's.
        optional current: Named<Quantity>,
        /// Parameters of the system, each with the values it may take.
        required vary: Named<Values>,
        /// What must hold between settings, as in `$ttl >= 2 * $interval`.
        optional ties: Vec<Placed<Text>>,
        required hold: Hold,
        /// Nothing goes wrong unless given.
        optional bear: Bear,
    }
}

record! {
    /// How many beat.
    Workers {
        required now: Whole<1, 10_000_000>,
        /// The load is reckoned for this size too.
        optional later: Whole<1, 10_000_000>,
    }
}

/// A list of values, or a range with its step.
#[derive(Debug, Clone)]
pub(super) enum Values {
    List(Vec<Placed<Quantity>>),
    Range(Range),
}

record! {
    /// `from`, then ever a `step` more, up to and with `to`.
    Range {
        required from: Quantity,
        required to: Quantity,
        required step: Quantity,
    }
}

record! {
    /// What is asked for. At least one of them.
    Hold {
        /// From a crash to the suspicion: never longer.
        optional detection: Most,
        /// From a crash to the job's next start, with a worker free: never longer.
        optional recovery: Most,
        /// Of one worker, per day: no more of them.
        optional mistakes_per_day: Ceiling,
        /// The part of the time in which a worker that runs is trusted.
        optional query_accuracy: Floor,
        /// Of the whole fleet at its later size: no more of them.
        optional beats_per_second: Ceiling,
    }
}

record! {
    /// A time that is not exceeded.
    Most {
        required max: Duration,
    }
}

record! {
    /// A number that is not exceeded, as in 0.01 or 1e-9.
    Ceiling {
        required max: Positive,
    }
}

record! {
    /// A share that is reached.
    Floor {
        required min: Share,
    }
}

record! {
    /// What goes wrong without anybody being dead.
    Bear {
        /// From a beat's writing until the store has it. None unless given.
        optional delay: raw::Distribution,
        /// Of beats, each by itself, from 0 to 1.
        optional loss: Share,
        /// A worker stands still.
        optional pauses: Spells,
        /// The store takes nothing and answers nothing.
        optional outages: Spells,
        /// By how much the checker's clock may be ahead of a worker's.
        optional skew: Duration,
    }
}

record! {
    /// Something that comes and goes.
    Spells {
        /// From the end of one to the start of the next.
        required gap: raw::Distribution,
        required lasting: raw::Distribution,
    }
}

/// A number above zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Positive(pub f64);

impl Decode for Values {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        match &node.value {
            Value::List(_) => Decode::decode(node, report).map(Self::List),
            _ => Range::decode(node, report).map(Self::Range),
        }
    }
}

impl JsonSchema for Values {
    fn schema_name() -> Cow<'static, str> {
        "Values".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let list = generator.subschema_for::<Vec<Placed<Quantity>>>();
        json_schema!({
            "description": "A list of values, or a range with its step.",
            "oneOf": [list, generator.subschema_for::<Range>()]
        })
    }
}

impl Decode for Positive {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        const EXPECTED: &str = "a number above 0";
        let (text, plain) = scalar(node, EXPECTED, report)?;
        let Some(number) = text.parse::<f64>().ok().filter(|number| plain && number.is_finite()) else {
            return wrong_type(node, EXPECTED, report);
        };
        if number <= 0.0 {
            report
                .add(Code::OutOfRange, node.place, format!("{} is out of range", shorten(text)))
                .hint("above 0, as in 0.01 or 1e-9: nothing promises that there are none at all");
            return None;
        }
        Some(Self(number))
    }
}

impl JsonSchema for Positive {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Positive".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "exclusiveMinimum": 0 })
    }
}
