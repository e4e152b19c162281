//! `watch:` and `expect: {watched: …}`: questions that are asked all the time, and their answers.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::expect::SpanBounds;
use super::fault::Nothing;
use super::fleet::Get;
use super::prometheus::AlertName;
use crate::scenario::decode::{Decode, Placed, record, variants, wrong_type};
use crate::scenario::diagnostic::Report;
use crate::scenario::scalar::{Duration, Name, Text, Whole, Word};
use crate::scenario::tree::{Node, Value};

record! {
    /// A question that is asked all the time, beside the liveness probe.
    Watch {
        /// Unique in the scenario; `expect: {watched: …}` names it.
        required name: Name,
        /// How often. 100ms unless given.
        optional every: Duration,
        /// Without an answer for this long nothing is known. 1s unless given.
        optional timeout: Duration,
        /// What is asked.
        required ask: Question,
    }
}

variants! {
    /// What is asked.
    Question {
        /// A GET: the JSON value at the pointer.
        Http "http": Get,
        /// A Redis command, word by word: what it answers; `null` for nothing.
        Redis "redis": Vec<Placed<Word>>,
        /// A query: the first column of the first row as text; `null` without a row.
        Sql "sql": Text,
        /// An alert of the stack's Prometheus: `inactive`, `pending` or `firing`.
        Alert "alert": AlertName,
        /// What a reference fleet whose jobs are in Postgres says of its workers and jobs.
        Status "status": Status,
    }
}

record! {
    /// What `syncope-fleet status`, `stats` and `dead-letters` tell, as JSON: the value at the pointer.
    Status {
        /// A JSON pointer (RFC 6901): `/workers/count`; `/workers/status` (`not_running`, `healthy`,
        /// `neither`, `stuck`); `/jobs/queued`, `running`, `completed`, `failed`, `dead_letter`, `stale`;
        /// `/dead_letters/0/job`, `attempts`, `error`.
        required pointer: Text,
        /// With a newest beat younger than this the workers are healthy. 300s unless given.
        optional healthy_below: Duration,
        /// With an older one they are stuck. 600s unless given.
        optional stuck_above: Duration,
        /// A running job whose own beat is older is stale. 600s unless given.
        optional stale_above: Duration,
    }
}

record! {
    /// What is expected of a watch's answers. Exactly one of `becomes` and `never`.
    Watched {
        /// Which watch.
        required name: Name,
        /// The answer is this for the first time, counted from `after`.
        optional becomes: Said,
        /// Where the time is counted from. `{start: {}}` unless given.
        optional after: Since,
        /// How long it takes. Any time before the run ends, unless given.
        optional within: SpanBounds,
        /// No answer is this, from the workload's start to the end of the run.
        optional never: Said,
    }
}

variants! {
    /// Where a time is counted from.
    Since {
        /// The first effect of a fault, by its number in the file, from 1.
        Fault "fault": Whole<1, 200>,
        /// The last heal of a fault, by its number in the file, from 1.
        Heal "heal": Whole<1, 200>,
        /// The workload's start.
        Start "start": Nothing,
    }
}

/// An answer: a text, a number, a truth value, or `null`.
#[derive(Debug, Clone)]
pub(crate) struct Said(pub String);

impl Decode for Said {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        match &node.value {
            Value::Scalar { .. } if node.is_null() => Some(Self("null".to_owned())),
            Value::Scalar { text, .. } => Some(Self(text.clone())),
            _ => wrong_type(node, "an answer: a text, a number, `true`, `false` or `null`", report),
        }
    }
}

impl JsonSchema for Said {
    fn schema_name() -> Cow<'static, str> {
        "Answer".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An answer, compared as text, and as a number where both are numbers.",
            "type": ["string", "number", "boolean", "null"]
        })
    }
}
