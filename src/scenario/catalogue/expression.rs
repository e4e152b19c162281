//! Values of the catalogue: durations, numbers, and small formulas over parameters (`$lock / 4`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::super::decode::{Decode, Placed, hint};
use super::super::diagnostic::{Code, Place, Report};
use super::super::scalar::scalar;
use super::super::tree::{Node, shorten};
use crate::time::Span;

/// More terms than any formula has.
const LENGTH_MAX: usize = 200;

/// A duration, or a number in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    Span(Span),
    Number(u64),
}

pub type Values = BTreeMap<String, Quantity>;

/// `$a * 2 + 5s`: sums of products, left to right.
#[derive(Debug, Clone)]
pub(in crate::scenario) struct Expression {
    terms: Vec<Term>,
}

#[derive(Debug, Clone)]
struct Term {
    subtract: bool,
    first: Factor,
    rest: Vec<(Operator, Factor)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Times,
    Over,
}

#[derive(Debug, Clone)]
enum Factor {
    Parameter(String),
    Literal(Quantity),
}

const MILLION: u64 = 1_000_000;

impl FromStr for Quantity {
    type Err = String;

    /// A duration, or a number from 0 to 10¹² with at most six decimals.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return millionths(text).map(Self::Number).ok_or_else(|| {
                "a number has at most six decimals, a duration a unit: 2, 0.001, 15s".to_owned()
            });
        }
        text.parse().map(Self::Span).map_err(|error: crate::time::SpanError| error.to_string())
    }
}

fn millionths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 6 || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: u64 = format!("{fraction:0<6}").parse().ok()?;
    (whole <= MILLION * MILLION).then_some(whole * MILLION + fraction)
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Span(span) => span.fmt(f),
            Self::Number(number) if number % MILLION == 0 => write!(f, "{}", number / MILLION),
            Self::Number(number) => {
                let fraction = format!("{:06}", number % MILLION);
                write!(f, "{}.{}", number / MILLION, fraction.trim_end_matches('0'))
            }
        }
    }
}

impl Quantity {
    #[must_use]
    pub const fn is_span(self) -> bool {
        matches!(self, Self::Span(_))
    }

    /// Nanoseconds of a duration, millionths of a number.
    #[must_use]
    pub const fn units(self) -> u64 {
        match self {
            Self::Span(span) => span.as_nanos(),
            Self::Number(millionths) => millionths,
        }
    }

    /// A value of the same kind with so many [`Self::units`].
    #[must_use]
    pub const fn of_units(self, units: u64) -> Self {
        match self {
            Self::Span(_) => Self::Span(Span::from_nanos(units)),
            Self::Number(_) => Self::Number(units),
        }
    }

    /// `None` for a duration and a number.
    #[must_use]
    pub fn compare(self, other: Self) -> Option<std::cmp::Ordering> {
        (self.is_span() == other.is_span()).then(|| self.units().cmp(&other.units()))
    }

    /// A value of the same kind; the reason if it is none.
    pub fn replaced_by(self, text: &str) -> Result<Self, String> {
        match (self, text.parse()?) {
            (Self::Span(_), Self::Number(_)) => {
                Err(format!("this is a duration, with its unit: `{text}s` or `{text}ms`"))
            }
            (Self::Number(_), Self::Span(_)) => Err("this is a number, without a unit".to_owned()),
            (_, value) => Ok(value),
        }
    }

    fn combine(self, operator: Operator, other: Self) -> Result<Self, &'static str> {
        let scaled = |value: u64, by: u64| match operator {
            Operator::Times => u128::from(value) * u128::from(by) / u128::from(MILLION),
            Operator::Over => u128::from(value) * u128::from(MILLION) / u128::from(by.max(1)),
        };
        let fits = |value: u128| u64::try_from(value).map_err(|_| "the result is too large");
        match (self, operator, other) {
            (_, Operator::Over, Self::Number(0) | Self::Span(Span::ZERO)) => Err("this divides by zero"),
            (Self::Span(span), _, Self::Number(by)) => {
                fits(scaled(span.as_nanos(), by)).map(|nanos| Self::Span(Span::from_nanos(nanos)))
            }
            (Self::Number(number), _, Self::Number(by)) => fits(scaled(number, by)).map(Self::Number),
            (Self::Number(by), Operator::Times, Self::Span(_)) => other.combine(operator, Self::Number(by)),
            (Self::Span(span), Operator::Over, Self::Span(by)) => {
                fits(u128::from(span.as_nanos()) * u128::from(MILLION) / u128::from(by.as_nanos()))
                    .map(Self::Number)
            }
            (Self::Span(_), Operator::Times, Self::Span(_)) => Err("two durations cannot be multiplied"),
            (Self::Number(_), Operator::Over, Self::Span(_)) => {
                Err("a number cannot be divided by a duration")
            }
        }
    }

    fn sum(self, subtract: bool, other: Self) -> Result<Self, &'static str> {
        let sum = |a: u64, b: u64| {
            let result = if subtract { a.checked_sub(b) } else { a.checked_add(b) };
            result.ok_or("the result is negative or too large")
        };
        match (self, other) {
            (Self::Span(a), Self::Span(b)) => {
                sum(a.as_nanos(), b.as_nanos()).map(|nanos| Self::Span(Span::from_nanos(nanos)))
            }
            (Self::Number(a), Self::Number(b)) => sum(a, b).map(Self::Number),
            _ => Err("a duration and a number cannot be added"),
        }
    }
}

pub(super) fn is_parameter_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

impl FromStr for Expression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > LENGTH_MAX {
            return Err("the formula is too long".to_owned());
        }
        let mut terms = Vec::new();
        let mut rest = text;
        let mut subtract = false;
        loop {
            let end = rest.find(['+', '-']).unwrap_or(rest.len());
            terms.push(term(&rest[..end], subtract)?);
            let Some(sign) = rest[end..].chars().next() else { break };
            subtract = sign == '-';
            rest = &rest[end + 1..];
        }
        Ok(Self { terms })
    }
}

fn term(text: &str, subtract: bool) -> Result<Term, String> {
    let mut pieces = text.split_inclusive(['*', '/']);
    let mut operator = None;
    let mut first = None;
    let mut rest = Vec::new();
    for piece in &mut pieces {
        let bare = piece.trim_end_matches(['*', '/']);
        let factor = factor(bare.trim())?;
        match operator {
            None => first = Some(factor),
            Some(operator) => rest.push((operator, factor)),
        }
        operator = match piece.chars().next_back() {
            Some('*') => Some(Operator::Times),
            Some('/') => Some(Operator::Over),
            _ => None,
        };
    }
    match (first, operator) {
        (Some(first), None) => Ok(Term { subtract, first, rest }),
        _ => Err("a value is missing".to_owned()),
    }
}

fn factor(text: &str) -> Result<Factor, String> {
    match text.strip_prefix('$') {
        Some(name) if is_parameter_name(name) => Ok(Factor::Parameter(name.to_owned())),
        Some(name) => Err(format!("`${}` is not a parameter's name", shorten(name))),
        None if text.is_empty() => Err("a value is missing".to_owned()),
        None => text.parse().map(Factor::Literal),
    }
}

impl Expression {
    /// The parameters that it names.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.terms
            .iter()
            .flat_map(|term| std::iter::once(&term.first).chain(term.rest.iter().map(|(_, factor)| factor)))
            .filter_map(|factor| match factor {
                Factor::Parameter(name) => Some(name.as_str()),
                Factor::Literal(_) => None,
            })
    }

    pub fn evaluate(&self, values: &Values) -> Result<Quantity, String> {
        let mut sum: Option<Quantity> = None;
        for term in &self.terms {
            let mut product = term.first.value(values)?;
            for (operator, factor) in &term.rest {
                product = product.combine(*operator, factor.value(values)?)?;
            }
            sum = Some(match sum {
                None => product,
                Some(sum) => sum.sum(term.subtract, product)?,
            });
        }
        sum.ok_or_else(|| "a value is missing".to_owned())
    }
}

impl Factor {
    fn value(&self, values: &Values) -> Result<Quantity, String> {
        match self {
            Self::Literal(value) => Ok(*value),
            Self::Parameter(name) => values.get(name).copied().ok_or_else(|| {
                let known: Vec<&str> = values.keys().map(String::as_str).collect();
                format!("there is no parameter `{name}`: {}", hint(name, &known))
            }),
        }
    }
}

impl Placed<Expression> {
    /// Its value as a duration; `None` if it is none, and reported.
    pub fn span(&self, values: &Values, report: &mut Report<'_>) -> Option<Span> {
        match self.value.evaluate(values) {
            Ok(Quantity::Span(span)) => return Some(span),
            Ok(Quantity::Number(_)) => wrong(self.place, "this must be a duration, not a number", report),
            Err(reason) => wrong(self.place, &reason, report),
        }
        None
    }

    /// Its value as a whole number of at most `max`.
    pub fn whole(&self, max: u32, values: &Values, report: &mut Report<'_>) -> Option<u32> {
        let reason = match self.value.evaluate(values) {
            Ok(Quantity::Number(number)) if number % MILLION == 0 && number / MILLION <= u64::from(max) => {
                return u32::try_from(number / MILLION).ok();
            }
            Ok(value) => format!("this must be a whole number from 0 to {max}, not {value}"),
            Err(reason) => reason,
        };
        wrong(self.place, &reason, report);
        None
    }

    /// Its value as a probability above 0, in parts per million.
    pub fn probability(&self, values: &Values, report: &mut Report<'_>) -> Option<u32> {
        let reason = match self.value.evaluate(values) {
            Ok(Quantity::Number(ppm @ 1..=MILLION)) => return u32::try_from(ppm).ok(),
            Ok(value) => format!("this must be a probability above 0 and at most 1, not {value}"),
            Err(reason) => reason,
        };
        wrong(self.place, &reason, report);
        None
    }
}

fn wrong(place: Place, reason: &str, report: &mut Report<'_>) {
    report.add(Code::Formula, place, reason);
}

impl Decode for Expression {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let (text, _) = scalar(node, "a value or a formula", report)?;
        match text.parse() {
            Ok(expression) => Some(expression),
            Err(reason) => {
                report
                    .add(Code::Formula, node.place, format!("`{}`: {reason}", shorten(text)))
                    .hint("values and `$parameters` with + - * /: `$lock / 4`");
                None
            }
        }
    }
}

impl Decode for Quantity {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let (text, _) = scalar(node, "a duration or a number", report)?;
        match text.parse() {
            Ok(quantity) => Some(quantity),
            Err(reason) => {
                report.add(Code::Formula, node.place, format!("`{}`: {reason}", shorten(text)));
                None
            }
        }
    }
}

macro_rules! text_schema {
    ($type:ty, $name:literal) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": ["string", "number"] })
            }
        }
    };
}

text_schema!(Expression, "Formula");
text_schema!(Quantity, "Quantity");
