//! The scalars of a scenario file: texts, names, numbers, durations.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::decode::{Decode, Placed, wrong_type};
use super::diagnostic::{Code, Place, Report};
use super::tree::{Node, Value, shorten};
use crate::fault::JobRef;
use crate::names::JobId;
use crate::time::{Scale, SignedSpan, Span, SpanError};

/// Any text. A bare number or truth value is refused: in quotes it is a text.
#[derive(Debug, Clone)]
pub(crate) struct Text(pub String);

/// An argument, or the value of an environment variable: taken as written, numbers too.
#[derive(Debug, Clone)]
pub(crate) struct Word(pub String);

/// `[a-z0-9][a-z0-9-]{0,63}`
#[derive(Debug, Clone)]
pub(crate) struct Name(pub String);

/// The id of a claim: `S3-1`, or any other id.
#[derive(Debug, Clone)]
pub(crate) struct ClaimId(pub String);

/// A prefix of keys: no space, no control character, no brace.
#[derive(Debug, Clone)]
pub(crate) struct KeyPrefix(pub String);

/// A whole number in `MIN..=MAX`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole<const MIN: u64, const MAX: u64>(pub u64);

/// Parts per million, positive or negative.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ppm(pub i64);

/// A share from 0 to 1, kept in parts per million.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share(pub u32);

/// Bytes per second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate(pub u64);

/// `[from, to]`, `from <= to`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpanPair(pub Span, pub Span);

/// `true` or `false`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag(pub bool);

/// Implements the name and the schema of a scalar, both given by an expression.
macro_rules! scalar_schema {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                $name.is_empty()
            }
            fn schema_name() -> Cow<'static, str> {
                if $name.is_empty() { stringify!($type).into() } else { $name.into() }
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

scalar_schema!(Text, "", { "type": "string" });
scalar_schema!(Word, "Word", {
    "description": "Taken as it is written, numbers and truth values too.",
    "type": ["string", "number", "boolean"]
});
scalar_schema!(Name, "Name", { "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,63}$" });
scalar_schema!(ClaimId, "ClaimId", { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" });
scalar_schema!(KeyPrefix, "KeyPrefix", { "type": "string", "pattern": "^[A-Za-z0-9:._-]{1,64}$" });
scalar_schema!(Ppm, "", { "type": "integer", "minimum": -500_000, "maximum": 500_000 });
scalar_schema!(Share, "", { "type": "number", "minimum": 0, "maximum": 1 });
scalar_schema!(Rate, "Rate", {
    "description": "Bytes per second: `64KiB/s`, `1MiB/s`, `500B/s`.",
    "type": "string",
    "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB)/s$"
});
scalar_schema!(Flag, "", { "type": "boolean" });

pub(crate) const DURATION_PATTERN: &str = r"^([0-9]+(\.[0-9]{0,9})?|\.[0-9]{1,9})(ns|us|µs|ms|s|m|h|d)$";

/// A duration of the file, in model time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Duration(pub Span);

/// A step of a clock: `+30s`, `-30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SignedDuration(pub SignedSpan);

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number and a unit: `250ms`, `1.5s`, `2m`, `1h`. In model time.",
            "type": "string",
            "pattern": DURATION_PATTERN
        })
    }
}

impl JsonSchema for SignedDuration {
    fn schema_name() -> Cow<'static, str> {
        "SignedDuration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration with its sign: `+30s` is ahead, `-30s` is behind.",
            "type": "string",
            "pattern": format!("^[+-]?{}", DURATION_PATTERN.trim_start_matches('^'))
        })
    }
}

impl JsonSchema for SpanPair {
    fn schema_name() -> Cow<'static, str> {
        "DurationPair".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "From, to.",
            "type": "array",
            "items": generator.subschema_for::<Duration>(),
            "minItems": 2,
            "maxItems": 2
        })
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Whole<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Whole{MIN}To{MAX}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl JsonSchema for Scale {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Scale".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "exclusiveMinimum": 0, "maximum": 100 })
    }
}

impl JsonSchema for JobRef {
    fn schema_name() -> Cow<'static, str> {
        "JobRef".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`any`, or a job's id: `job-1` is the first.",
            "type": "string",
            "pattern": "^(any|job-[1-9][0-9]{0,5})$"
        })
    }
}

/// The scalar's text, and whether it stood there without quotes.
pub(crate) fn scalar<'n>(node: &'n Node, expected: &str, report: &mut Report<'_>) -> Option<(&'n str, bool)> {
    match &node.value {
        Value::Scalar { text, plain } if !node.is_null() => Some((text, *plain)),
        _ => wrong_type(node, expected, report),
    }
}

/// A plain scalar that YAML reads as a number or a truth value.
fn is_bare_value(text: &str, plain: bool) -> bool {
    plain && (matches!(text, "true" | "false") || text.parse::<f64>().is_ok_and(f64::is_finite))
}

impl Decode for Text {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let (text, plain) = scalar(node, "a text", report)?;
        if is_bare_value(text, plain) {
            report
                .add(Code::WrongType, node.place, format!("this must be a text, not `{text}`"))
                .hint(format!("as a text it is written \"{text}\""));
            return None;
        }
        Some(Self(text.to_owned()))
    }
}

impl Decode for Word {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let (text, _) = scalar(node, "a text or a number", report)?;
        if text.contains('\0') {
            report.add(Code::UnknownValue, node.place, "a NUL cannot be passed to a program");
            return None;
        }
        Some(Self(text.to_owned()))
    }
}

impl Decode for Name {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let (text, _) = scalar(node, "a name", report)?;
        check_name(text, node.place, report).then(|| Self(text.to_owned()))
    }
}

/// Reports a text that is no name.
pub(crate) fn check_name(text: &str, place: Place, report: &mut Report<'_>) -> bool {
    let mut bytes = text.bytes();
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_name =
        bytes.next().is_some_and(lower) && bytes.all(|byte| lower(byte) || byte == b'-') && text.len() <= 64;
    if !is_name {
        report
            .add(Code::Name, place, format!("`{}` is not a name", shorten(text)))
            .hint("a name is 1 to 64 of a-z, 0-9 and `-`, and does not begin with `-`");
    }
    is_name
}

fn of_characters(
    node: &Node,
    what: &str,
    allowed: impl Fn(char) -> bool,
    report: &mut Report<'_>,
) -> Option<String> {
    let (text, _) = scalar(node, &format!("a {what}"), report)?;
    if text.is_empty() || text.len() > 64 || !text.chars().all(&allowed) {
        report
            .add(Code::Name, node.place, format!("`{}` is not a {what}", shorten(text)))
            .hint(format!("a {what} is 1 to 64 letters, digits and `-`, `_`, `.`"));
        return None;
    }
    Some(text.to_owned())
}

impl Decode for ClaimId {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let id = of_characters(node, "claim's id", allowed, report)?;
        if !id.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            report.add(Code::Name, node.place, "an id begins with a letter or a digit");
            return None;
        }
        Some(Self(id))
    }
}

impl Decode for KeyPrefix {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        of_characters(node, "prefix of keys", allowed, report).map(Self)
    }
}

impl Decode for Flag {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        match &node.value {
            Value::Scalar { text, plain: true } if text == "true" => Some(Self(true)),
            Value::Scalar { text, plain: true } if text == "false" => Some(Self(false)),
            _ => wrong_type(node, "`true` or `false`", report),
        }
    }
}

impl<const MIN: u64, const MAX: u64> Decode for Whole<MIN, MAX> {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        whole(node, i128::from(MIN), i128::from(MAX), report)
            .and_then(|number| u64::try_from(number).ok())
            .map(Self)
    }
}

impl Decode for Ppm {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        whole(node, -500_000, 500_000, report).and_then(|number| i64::try_from(number).ok()).map(Self)
    }
}

fn whole(node: &Node, min: i128, max: i128, report: &mut Report<'_>) -> Option<i128> {
    let (text, plain) = scalar(node, "a whole number", report)?;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !plain || digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return wrong_type(node, "a whole number", report);
    }
    match text.parse::<i128>() {
        Ok(number) if (min..=max).contains(&number) => Some(number),
        _ => {
            report
                .add(Code::OutOfRange, node.place, format!("{} is out of range", shorten(text)))
                .hint(format!("from {min} to {max}"));
            None
        }
    }
}

impl Decode for Share {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let (text, plain) = scalar(node, "a number from 0 to 1", report)?;
        let Some(share) = text.parse::<f64>().ok().filter(|share| plain && share.is_finite()) else {
            return wrong_type(node, "a number from 0 to 1", report);
        };
        if !(0.0..=1.0).contains(&share) {
            report
                .add(Code::OutOfRange, node.place, format!("{} is out of range", shorten(text)))
                .hint("a share: from 0 to 1, as in 0.999");
            return None;
        }
        Some(Self((share * 1e6).round() as u32))
    }
}

impl Decode for Scale {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let (text, _) = scalar(node, "a number", report)?;
        match text.parse() {
            Ok(scale) => Some(scale),
            Err(_) => {
                report
                    .add(Code::TimeScale, node.place, format!("`{}` is not a time scale", shorten(text)))
                    .hint("above 0 and at most 100, with at most six decimals: at 0.1, 30 s take 3 s");
                None
            }
        }
    }
}

impl Decode for Duration {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let (text, _) = scalar(node, "a duration", report)?;
        parse_span(text, node.place, report).map(Self)
    }
}

pub(crate) fn parse_span(text: &str, place: Place, report: &mut Report<'_>) -> Option<Span> {
    let (code, hint) = match text.parse::<Span>() {
        Ok(span) => return Some(span),
        Err(SpanError::Negative) => (Code::NegativeDuration, "a duration is zero or more".into()),
        Err(SpanError::TooLong) => (Code::DurationTooLong, "at most 365d".into()),
        Err(SpanError::Unit(_)) => (Code::Duration, "units: ns, us, ms, s, m, h, d".into()),
        Err(SpanError::Shape) if text.parse::<u64>().is_ok() && text.len() < 12 => {
            (Code::Duration, format!("with its unit: `{text}s` or `{text}ms`"))
        }
        Err(SpanError::Shape) => (Code::Duration, "a number and a unit: 250ms, 1.5s, 2m, 1h".into()),
    };
    report.add(code, place, format!("`{}` is not a duration", shorten(text))).hint(hint);
    None
}

impl Decode for SignedDuration {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let (text, _) = scalar(node, "a duration with its sign", report)?;
        let (sign, length) = match text.strip_prefix('-') {
            Some(length) => (-1, length),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let nanos = i64::try_from(parse_span(length, node.place, report)?.as_nanos()).ok()?;
        Some(Self(SignedSpan(sign * nanos)))
    }
}

impl Decode for SpanPair {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        const EXPECTED: &str = "a list of two durations, `[from, to]`";
        let Value::List(items) = &node.value else {
            return wrong_type(node, EXPECTED, report);
        };
        let [from, to] = items.as_slice() else {
            report.add(Code::WrongType, node.place, format!("this must be {EXPECTED}"));
            return None;
        };
        let (from, to) = (Duration::decode(from, report), Duration::decode(to, report));
        let (Duration(from), Duration(to)) = (from?, to?);
        if from > to {
            report
                .add(Code::EmptyRange, node.place, format!("{from} is more than {to}"))
                .hint("the smaller one stands first");
            return None;
        }
        Some(Self(from, to))
    }
}

impl Decode for Rate {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let (text, _) = scalar(node, "bytes per second", report)?;
        let parsed = text.strip_suffix("/s").and_then(|size| {
            let digits = size.bytes().take_while(u8::is_ascii_digit).count();
            let (number, unit) = size.split_at(digits);
            let factor = match unit.trim_start() {
                "B" => 1,
                "KiB" => 1 << 10,
                "MiB" => 1 << 20,
                "GiB" => 1 << 30,
                _ => return None,
            };
            number.parse::<u64>().ok()?.checked_mul(factor).filter(|rate| *rate > 0)
        });
        if parsed.is_none() {
            report
                .add(Code::UnknownValue, node.place, format!("`{}` is not a rate", shorten(text)))
                .hint("a whole number above 0 and a unit: 500B/s, 64KiB/s, 1MiB/s");
        }
        parsed.map(Self)
    }
}

impl Decode for JobRef {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let (text, _) = scalar(node, "a job", report)?;
        if text == "any" {
            return Some(Self::Any);
        }
        if job_number(text).is_none() {
            report
                .add(Code::UnknownJob, node.place, format!("`{}` is not a job", shorten(text)))
                .hint("`any`, or a job by its number from 1: `job-3`");
            return None;
        }
        Some(Self::Job(JobId::new(text)))
    }
}

/// The number in `job-N`, from 1.
pub(crate) fn job_number(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("job-")?;
    let is_canonical = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_canonical)
}

impl Placed<Text> {
    pub fn text(&self) -> &str {
        &self.value.0
    }
}

impl Placed<Word> {
    pub fn text(&self) -> &str {
        &self.value.0
    }
}

impl Placed<Name> {
    pub fn text(&self) -> &str {
        &self.value.0
    }
}
