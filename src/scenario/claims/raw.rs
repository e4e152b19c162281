//! A claims file as it is written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::super::decode::{Decode, Named, Placed, record};
use super::super::diagnostic::Report;
use super::super::scalar::{ClaimId, Name, Text, Word};
use super::super::tree::{Node, Value};

record! {
    /// What a document says of a system, and what has to be measured for it to be true.
    Claims {
        /// In the order of the report.
        required claims: Vec<Placed<Claim>>,
    }
}

record! {
    /// One statement.
    Claim {
        /// Unique in the file; scenarios name it under `claims`.
        required id: ClaimId,
        /// What is claimed, in a sentence.
        required text: Text,
        /// The document that says so.
        optional source: Word,
        /// It is confirmed if all of these hold, refuted if one certainly does not. Untested without any.
        optional measured: Vec<Placed<Condition>>,
        /// The same of other systems, by their names: a column of its own for each, which decides nothing here.
        optional elsewhere: Named<Vec<Placed<Condition>>>,
    }
}

record! {
    /// A figure of a scenario's runs, and where it must lie.
    Condition {
        /// The scenario's name.
        required scenario: Name,
        /// `detection_time`, `lost`, `jobs.completed`, …, or a check by its name.
        required figure: Text,
        /// Bounds, an exact value, `pass` or `fail` for the check's verdict, or `any`: it is shown, and
        /// decides nothing.
        required holds: Holds,
    }
}

record! {
    /// Bounds: durations for times, numbers for counts and shares.
    HoldBounds {
        /// At least.
        optional min: Word,
        /// At most.
        optional max: Word,
    }
}

/// Read once the figure is known.
#[derive(Debug, Clone)]
pub(super) enum Holds {
    Exactly(Word),
    Within(HoldBounds),
}

impl Decode for Holds {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        match &node.value {
            Value::Map(_) => HoldBounds::decode(node, report).map(Self::Within),
            _ => Word::decode(node, report).map(Self::Exactly),
        }
    }
}

impl JsonSchema for Holds {
    fn schema_name() -> Cow<'static, str> {
        "Holds".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let bounds = generator.subschema_for::<HoldBounds>();
        json_schema!({
            "description": "Bounds, an exact value, `pass` or `fail` for a check's verdict, or `any`.",
            "oneOf": [generator.subschema_for::<Word>(), bounds]
        })
    }
}
