//! Time as integer nanoseconds: instants of one monotonic clock, spans, closed intervals of spans,
//! and the ratio that scales a scenario's durations.
//!
//! There is one clock: the host's `CLOCK_MONOTONIC` (or the simulator's virtual one). Nothing in
//! this module reads it.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const NANOS_PER_MILLI: u64 = 1_000_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A point on the host's monotonic clock, in nanoseconds since that clock's origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(u64);

/// A length of time, never negative, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(u64);

impl Instant {
    pub const ZERO: Self = Self(0);
    /// Later than every instant of a run.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Instant {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

/// Saturates at the clock's origin.
impl Sub<Span> for Instant {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

/// A wall clock's reading, in milliseconds since the Unix epoch. May step, drift and differ between
/// processes: never subtract two of different clocks and call it a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

/// What a process knows of the time: its monotonic clock, and its own wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    pub mono: Instant,
    pub wall: UnixMillis,
}

/// A signed length of time, for clock steps and skews, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignedSpan(pub i64);

impl SignedSpan {
    /// The length without its sign.
    #[must_use]
    pub const fn abs(self) -> Span {
        Span(self.0.unsigned_abs())
    }
}

impl fmt::Display for SignedSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.0 < 0 { "-" } else { "+" }, self.abs())
    }
}

impl Span {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(u64::MAX);

    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(NANOS_PER_MILLI))
    }

    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SECOND))
    }

    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / NANOS_PER_MILLI
    }

    /// Milliseconds with their fraction, for reports.
    #[must_use]
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_MILLI as f64
    }

    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SECOND as f64
    }

    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub const fn saturating_mul(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    #[must_use]
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }
}

impl From<std::time::Duration> for Span {
    fn from(duration: std::time::Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// Saturates at zero.
impl Sub for Span {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// Prints the span in the largest unit that keeps it readable: `250ms`, `1.5s`, `2m`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0;
        let (unit, name) = match nanos {
            0 => return f.write_str("0s"),
            n if n < 1_000 => (1, "ns"),
            n if n < NANOS_PER_MILLI => (1_000, "us"),
            n if n < NANOS_PER_SECOND => (NANOS_PER_MILLI, "ms"),
            n if n >= 3_600 * NANOS_PER_SECOND && n % (3_600 * NANOS_PER_SECOND) == 0 => {
                (3_600 * NANOS_PER_SECOND, "h")
            }
            n if n >= 60 * NANOS_PER_SECOND && n % (60 * NANOS_PER_SECOND) == 0 => {
                (60 * NANOS_PER_SECOND, "m")
            }
            _ => (NANOS_PER_SECOND, "s"),
        };
        let thousandths = (u128::from(nanos) * 1_000 + u128::from(unit) / 2) / u128::from(unit);
        let (whole, fraction) = (thousandths / 1_000, thousandths % 1_000);
        if fraction == 0 {
            write!(f, "{whole}{name}")
        } else {
            let digits = format!("{fraction:03}");
            write!(f, "{whole}.{}{name}", digits.trim_end_matches('0'))
        }
    }
}

/// Why a duration could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    #[error("a duration needs a number and a unit, as in 250ms, 15s, 2m or 1h")]
    Shape,
    #[error("a duration cannot be negative")]
    Negative,
    #[error("unknown unit `{0}`: use ns, us, ms, s, m, h or d")]
    Unit(String),
    #[error("the duration is too long: at most 365d")]
    TooLong,
}

/// Reads `250ms`, `1.5s`, `2m`, `1h`. At most nine decimals, at most 365 days.
impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let text = text.trim();
        if text.starts_with('-') {
            return Err(SpanError::Negative);
        }
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit_nanos: u128 = match unit.trim() {
            "" => return Err(SpanError::Shape),
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => u128::from(NANOS_PER_MILLI),
            "s" => u128::from(NANOS_PER_SECOND),
            "m" => 60 * u128::from(NANOS_PER_SECOND),
            "h" => 3_600 * u128::from(NANOS_PER_SECOND),
            "d" => 86_400 * u128::from(NANOS_PER_SECOND),
            other => return Err(SpanError::Unit(other.to_owned())),
        };
        let (numerator, denominator) = parse_decimal(number).ok_or(SpanError::Shape)?;
        let nanos = numerator.checked_mul(unit_nanos).map(|n| n / denominator).ok_or(SpanError::TooLong)?;
        if nanos > 365 * 86_400 * u128::from(NANOS_PER_SECOND) {
            return Err(SpanError::TooLong);
        }
        u64::try_from(nanos).map(Self).map_err(|_| SpanError::TooLong)
    }
}

/// A decimal number as an exact fraction `(numerator, denominator)`; `None` if it is none, or has
/// more than nine decimals or eighteen digits.
fn parse_decimal(text: &str) -> Option<(u128, u128)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() > 18 || fraction.len() > 9 {
        return None;
    }
    let digits: String = [whole, fraction].concat();
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let numerator = digits.parse::<u128>().ok()?;
    Some((numerator, 10u128.pow(u32::try_from(fraction.len()).ok()?)))
}

/// A closed interval of spans, `min <= max`: a measurement between two samples, or a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    min: Span,
    max: Span,
}

impl Interval {
    /// # Panics
    /// If `min > max`.
    #[must_use]
    pub fn new(min: Span, max: Span) -> Self {
        assert!(min <= max, "an interval's ends are in order");
        Self { min, max }
    }

    #[must_use]
    pub const fn exactly(span: Span) -> Self {
        Self { min: span, max: span }
    }

    #[must_use]
    pub const fn min(self) -> Span {
        self.min
    }

    #[must_use]
    pub const fn max(self) -> Span {
        self.max
    }

    #[must_use]
    pub fn width(self) -> Span {
        self.max - self.min
    }

    #[must_use]
    pub fn contains(self, span: Span) -> bool {
        self.min <= span && span <= self.max
    }

    /// Whether the two have a point in common.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }

    #[must_use]
    pub fn is_within(self, outer: Self) -> bool {
        outer.min <= self.min && self.max <= outer.max
    }

    /// Both ends moved outwards by `slack`, the lower one not below zero.
    #[must_use]
    pub fn widen(self, slack: Span) -> Self {
        Self { min: self.min - slack, max: self.max + slack }
    }
}

impl Add for Interval {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { min: self.min + other.min, max: self.max + other.max }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.min, self.max)
    }
}

/// The ratio of wall time to model time: at 0.1 a scenario's 30 s take 3 s.
///
/// An exact fraction, so that scaling is the same on every machine. In `(0, 100]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    numerator: u32,
    denominator: u32,
}

impl Scale {
    pub const ONE: Self = Self { numerator: 1, denominator: 1 };

    /// Wall time of a model duration.
    #[must_use]
    pub fn to_wall(self, model: Span) -> Span {
        Self::ratio(model, self.numerator, self.denominator)
    }

    /// Model time of a wall duration.
    #[must_use]
    pub fn to_model(self, wall: Span) -> Span {
        Self::ratio(wall, self.denominator, self.numerator)
    }

    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }

    fn ratio(span: Span, multiply: u32, divide: u32) -> Span {
        let nanos = u128::from(span.0) * u128::from(multiply) / u128::from(divide);
        Span(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_f64())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a time scale is a number above 0 and at most 100 with at most six decimals, as in 0.1")]
pub struct ScaleError;

impl FromStr for Scale {
    type Err = ScaleError;

    fn from_str(text: &str) -> Result<Self, ScaleError> {
        let (numerator, denominator) = parse_decimal(text.trim()).ok_or(ScaleError)?;
        if numerator == 0 || numerator > denominator * 100 || denominator > 1_000_000 {
            return Err(ScaleError);
        }
        let numerator = u32::try_from(numerator).map_err(|_| ScaleError)?;
        let denominator = u32::try_from(denominator).map_err(|_| ScaleError)?;
        Ok(Self { numerator, denominator })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_printed() {
        for (text, nanos, printed) in [
            ("250ms", 250_000_000, "250ms"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("90s", 90_000_000_000, "90s"),
            ("2m", 120_000_000_000, "2m"),
            ("1h", 3_600_000_000_000, "1h"),
            ("0s", 0, "0s"),
            ("12us", 12_000, "12us"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.as_nanos(), nanos, "{text}");
            assert_eq!(span.to_string(), printed, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_its_reason() {
        for (text, error) in [
            ("-1s", SpanError::Negative),
            ("5", SpanError::Shape),
            ("s", SpanError::Shape),
            ("", SpanError::Shape),
            ("1..2s", SpanError::Shape),
            ("1y", SpanError::Unit("y".into())),
            ("366d", SpanError::TooLong),
            ("999999999999999999h", SpanError::TooLong),
        ] {
            assert_eq!(text.parse::<Span>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_scale_is_exact_both_ways() {
        let scale: Scale = "0.1".parse().unwrap();
        assert_eq!(scale.to_wall(Span::from_secs(30)), Span::from_secs(3));
        assert_eq!(scale.to_model(Span::from_secs(3)), Span::from_secs(30));
        for bad in ["0", "-1", "101", "x", "0.0000001"] {
            assert!(bad.parse::<Scale>().is_err(), "{bad}");
        }
    }
}
