//! `expect:`: what is judged, and by what.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value as Json;

use super::watch::Watched;
use crate::scenario::decode::{Decode, Placed, list, record, unknown};
use crate::scenario::diagnostic::{Code, Place, Report};
use crate::scenario::scalar::{Duration, Share, Whole};
use crate::scenario::tree::{Node, Value};
use crate::scenario::{CountExpect, MistakeExpect, TimeExpect};
use crate::time::Span;

record! {
    /// What is judged. What is left out is judged by its default.
    Expect {
        /// From the fault to the suspicion that stays. `model` unless given.
        optional detection_time: TimeBound,
        /// From the fault to the last affected job done again. `model` unless given.
        optional recovery_time: TimeBound,
        /// From a job's acknowledgement to its effect, of the job that took longest. Not judged unless
        /// given.
        optional slowest_job: SpanBounds,
        /// From asking for a job to the answer, of the enqueue that took longest. Not judged unless
        /// given.
        optional slowest_answer: SpanBounds,
        /// Jobs that were acknowledged and have no effect. 0 unless given.
        optional lost: CountExpect,
        /// Jobs whose effect is there more than once. 0 unless given.
        optional duplicated: CountExpect,
        /// Effects of jobs that nobody enqueued. 0 unless given.
        optional unexpected: CountExpect,
        /// Jobs that failed for good. 0 unless given.
        optional failed: CountExpect,
        /// Steps that were acknowledged and are gone. 0 unless given.
        optional steps_lost: CountExpect,
        /// Steps that were done again although they had been saved. `any` unless given.
        optional steps_repeated: CountExpect,
        /// Suspicions while the worker runs. `model` unless given.
        optional mistakes: MistakeExpect,
        /// The share of the time in which the answer was right. Not judged unless given.
        optional query_accuracy: ShareBounds,
        /// Enqueues that were answered without a job being made. `any` unless given.
        optional declined: CountExpect,
        /// What the answers of `watch` are.
        optional watched: Vec<Placed<Watched>>,
    }
}

record! {
    /// Bounds of a share, each from 0 to 1.
    ShareBounds {
        /// At least; 0 unless given.
        optional min: Share,
        /// At most; 1 unless given.
        optional max: Share,
    }
}

record! {
    /// Bounds of a duration.
    SpanBounds {
        /// At least; 0s unless given.
        optional min: Duration,
        /// At most; without bound unless given.
        optional max: Duration,
    }
}

record! {
    /// Bounds of a count.
    CountBounds {
        /// At least; 0 unless given.
        optional min: Whole<0, 1_000_000>,
        /// At most; without bound unless given.
        optional max: Whole<0, 1_000_000>,
    }
}

/// `model`, `never`, `any`, or bounds in model time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TimeBound {
    Word(TimeExpect),
    Within(Span, Span),
}

const TIME_WORDS: [(&str, TimeExpect); 3] =
    [("model", TimeExpect::Model), ("never", TimeExpect::Never), ("any", TimeExpect::Any)];
const COUNT_WORDS: [(&str, CountExpect); 1] = [("any", CountExpect::ANY)];
const MISTAKE_WORDS: [(&str, MistakeExpect); 3] = [
    ("model", MistakeExpect::Model),
    ("none", MistakeExpect::Count(CountExpect::ZERO)),
    ("any", MistakeExpect::Count(CountExpect::ANY)),
];

impl Decode for TimeBound {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        if let Value::Map(_) = node.value {
            let SpanBounds { min, max } = SpanBounds::decode(node, report)?;
            let end = |field: &crate::scenario::decode::Field<Duration>, otherwise| {
                field.value().map_or(otherwise, |Duration(span)| *span)
            };
            let (min, max) = (end(&min, Span::ZERO), end(&max, Span::MAX));
            return in_order(min, max, node.place, report).map(|(min, max)| Self::Within(min, max));
        }
        if let Value::Scalar { text, plain: true } = &node.value
            && text.parse::<Span>().is_ok()
        {
            report
                .add(Code::WrongType, node.place, "a bound says which end it is")
                .hint(format!("`{{max: {text}}}`, or with both ends `{{min: …, max: {text}}}`"));
            return None;
        }
        word(node, &TIME_WORDS, "bounds like `{max: 45s}`", report).map(Self::Word)
    }
}

impl Decode for CountExpect {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        match count(node, report) {
            Some(counted) => counted,
            None => word(node, &COUNT_WORDS, "a number, or bounds like `{max: 3}`", report),
        }
    }
}

impl Decode for MistakeExpect {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        match count(node, report) {
            Some(counted) => counted.map(Self::Count),
            None => word(node, &MISTAKE_WORDS, "a number, or bounds like `{max: 3}`", report),
        }
    }
}

/// A number or bounds; `None` if it is neither, `Some(None)` if it is one and wrong.
fn count(node: &Node, report: &mut Report<'_>) -> Option<Option<CountExpect>> {
    match &node.value {
        Value::Map(_) => Some(count_bounds(node, report)),
        Value::Scalar { text, plain: true } if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            let exactly = Whole::<0, 1_000_000>::decode(node, report);
            Some(exactly.map(|Whole(n)| CountExpect { min: n, max: Some(n) }))
        }
        _ => None,
    }
}

fn count_bounds(node: &Node, report: &mut Report<'_>) -> Option<CountExpect> {
    let bounds = CountBounds::decode(node, report)?;
    let min = bounds.min.value().map_or(0, |Whole(min)| *min);
    let max = bounds.max.value().map(|Whole(max)| *max);
    in_order(min, max.unwrap_or(u64::MAX), node.place, report)?;
    Some(CountExpect { min, max })
}

pub(crate) fn in_order<T: PartialOrd + std::fmt::Display>(
    min: T,
    max: T,
    place: Place,
    report: &mut Report<'_>,
) -> Option<(T, T)> {
    if min > max {
        report
            .add(Code::EmptyRange, place, format!("nothing is at least {min} and at most {max}"))
            .hint("`min` must not be above `max`");
        return None;
    }
    Some((min, max))
}

fn word<T: Copy>(node: &Node, words: &[(&str, T)], otherwise: &str, report: &mut Report<'_>) -> Option<T> {
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let text = match &node.value {
        Value::Scalar { text, .. } if !node.is_null() => text,
        _ => {
            let expected = format!("one of {}, or {otherwise}", list(&names));
            return crate::scenario::decode::wrong_type(node, &expected, report);
        }
    };
    let found = words.iter().find(|(name, _)| name == text).map(|(_, value)| *value);
    if found.is_none() {
        unknown(Code::UnknownValue, "value", text, node.place, names.into_iter(), report);
    }
    found
}

/// One of the words, or what the other schemas say.
fn words_schema<T>(about: &str, words: &[(&str, T)], others: &[Json]) -> Schema {
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let mut options = vec![serde_json::json!({ "type": "string", "enum": names })];
    options.extend_from_slice(others);
    json_schema!({ "description": about, "oneOf": options })
}

macro_rules! expect_schema {
    ($type:ty, $name:literal, $about:literal, $words:ident, |$generator:ident| $others:expr) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                words_schema($about, &$words, &$others)
            }
        }
    };
}

expect_schema!(
    TimeBound,
    "TimeExpect",
    "By the model, not at all, not judged, or within bounds.",
    TIME_WORDS,
    |g| { [g.subschema_for::<SpanBounds>().to_value()] }
);
expect_schema!(
    CountExpect,
    "CountExpect",
    "Exactly so many, within bounds, or not judged.",
    COUNT_WORDS,
    |g| {
        [g.subschema_for::<Whole<0, 1_000_000>>().to_value(), g.subschema_for::<CountBounds>().to_value()]
    }
);
expect_schema!(
    MistakeExpect,
    "MistakeExpect",
    "As the model says, none, exactly so many, within bounds, or not judged.",
    MISTAKE_WORDS,
    |g| [g.subschema_for::<Whole<0, 1_000_000>>().to_value(), g.subschema_for::<CountBounds>().to_value()]
);
