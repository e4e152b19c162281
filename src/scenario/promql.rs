//! PromQL expressions under a time scale: what in them is a duration runs at the scenario's pace.
//!
//! Ranges (`[5m]`, `[5m:1m]`) and offsets (`offset 5m`) are recognised. A bare number may be anything,
//! so a threshold that is a time or a rate says so in the scenario: `${600s}` stands for 600 (seconds),
//! `${0.5/s}` for 0.5 (per second). At a scale of 1 both are the bare number again.

use crate::time::{Scale, Span};

/// An expression whose durations are wall time, as Prometheus gets it.
///
/// # Errors
/// What cannot be read, in words.
pub(super) fn scaled(expression: &str, scale: Scale) -> Result<String, String> {
    let mut out = String::with_capacity(expression.len() + 16);
    let mut rest = expression;
    while let Some(next) = rest.chars().next() {
        let taken = match next {
            '"' | '\'' | '`' => {
                let length = quoted(rest, next).ok_or("a text in quotes has no end")?;
                out.push_str(&rest[..length]);
                length
            }
            '$' => {
                let body =
                    rest.strip_prefix("${").ok_or("a `$` begins a time or a rate: `${600s}`, `${0.5/s}`")?;
                let end = body.find('}').ok_or("a `${` without its `}`")?;
                out.push_str(&quantity(&body[..end], scale)?);
                end + 3
            }
            '[' => {
                let end = rest.find(']').ok_or("a `[` without its `]`")?;
                out.push('[');
                for (place, part) in rest[1..end].split(':').enumerate() {
                    if place > 0 {
                        out.push(':');
                    }
                    // The resolution of a subquery may be left out.
                    if !(place > 0 && part.trim().is_empty()) {
                        out.push_str(&wall(part.trim(), scale)?);
                    }
                }
                out.push(']');
                end + 1
            }
            _ if next.is_alphabetic() || next == '_' => {
                let length = word(rest);
                out.push_str(&rest[..length]);
                if rest[..length].eq_ignore_ascii_case("offset") {
                    length + offset(&rest[length..], scale, &mut out)?
                } else {
                    length
                }
            }
            _ if next.is_ascii_digit() => {
                // A bare number, with what clings to it: `5m` without brackets is no number.
                let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_'));
                let length = length.unwrap_or(rest.len());
                out.push_str(&rest[..length]);
                length
            }
            _ => {
                out.push(next);
                next.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    Ok(out)
}

/// The length of the quoted text that `rest` begins with.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            _ if c == quote => return Some(at + c.len_utf8()),
            _ => {}
        }
    }
    None
}

fn word(rest: &str) -> usize {
    rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len())
}

/// After `offset`: blanks, perhaps a minus, a duration. Returns how much it was.
fn offset(rest: &str, scale: Scale, out: &mut String) -> Result<usize, String> {
    let sign = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
    let begin = sign + usize::from(rest[sign..].starts_with('-'));
    let end = rest[begin..].find(|c: char| !c.is_ascii_alphanumeric()).map_or(rest.len(), |end| begin + end);
    out.push_str(&rest[..begin]);
    out.push_str(&wall(&rest[begin..end], scale)?);
    Ok(end)
}

/// `600s` as seconds, `0.5/s` as a rate per second, both of wall time.
fn quantity(text: &str, scale: Scale) -> Result<String, String> {
    let text = text.trim();
    if let Some(rate) = text.strip_suffix("/s") {
        let rate: f64 = rate.trim().parse().map_err(|_| format!("`{text}` is no rate like `0.5/s`"))?;
        return Ok(format!("{}", rate / scale.as_f64()));
    }
    let span =
        duration(text).ok_or_else(|| format!("`{text}` is no time like `600s`, nor a rate like `0.5/s`"))?;
    Ok(format!("{}", scale.to_wall(span).as_secs_f64()))
}

fn wall(text: &str, scale: Scale) -> Result<String, String> {
    let span = duration(text).ok_or_else(|| format!("`{text}` is no duration like `5m`"))?;
    prometheus_duration(scale.to_wall(span))
        .ok_or_else(|| format!("`{text}` is less than a millisecond at this time scale"))
}

/// In whole milliseconds, Prometheus's resolution; `None` below.
#[must_use]
pub fn prometheus_duration(wall: Span) -> Option<String> {
    match wall.as_nanos().div_ceil(1_000_000) {
        0 => None,
        millis => Some(format!("{millis}ms")),
    }
}

/// As Prometheus writes them: `1h30m`, with the units `ms s m h d w y`.
#[must_use]
pub fn duration(text: &str) -> Option<Span> {
    const UNITS: [(&str, u64); 7] = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 604_800_000),
        ("y", 31_536_000_000),
    ];
    let mut rest = text;
    let mut sum = Span::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0)?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == &rest[digits..unit])?;
        sum = sum + Span::from_millis(number.checked_mul(*millis)?);
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(sum)
}

/// `rate(counter…[within]) > per_second`, in model time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rate<'a> {
    pub counter: &'a str,
    pub within: Span,
    pub per_second: f64,
}

/// The expression as such a comparison; `None` if it is anything else.
pub(super) fn rate_of(expression: &str) -> Option<Rate<'_>> {
    let inner = expression.trim().strip_prefix("rate")?.trim_start().strip_prefix('(')?;
    let (range, rest) = inner.split_once(']')?;
    let (selector, within) = range.rsplit_once('[')?;
    let counter = selector.trim();
    let counter = &counter[..word(counter)];
    let threshold = rest.trim_start().strip_prefix(')')?.trim_start().strip_prefix('>')?;
    let threshold = threshold.trim_start_matches('=').trim();
    let number = threshold.strip_prefix("${").and_then(|rest| rest.strip_suffix("/s}")).unwrap_or(threshold);
    Some(Rate { counter, within: duration(within.trim())?, per_second: number.trim().parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, scale: &str, expected: Result<&str, &str>) {
        let scaled = scaled(expression, scale.parse().unwrap());
        match expected {
            Ok(text) => assert_eq!(scaled.as_deref(), Ok(text)),
            Err(part) => assert!(scaled.as_ref().is_err_and(|error| error.contains(part)), "{scaled:?}"),
        }
    }

    #[test]
    fn what_is_a_duration_is_scaled_and_nothing_else() {
        for (expression, scaled) in [
            ("workers_active == 0", "workers_active == 0"),
            (
                "rate(restarts_total{container=\"worker\"}[5m]) > ${0.5/s}",
                "rate(restarts_total{container=\"worker\"}[30000ms]) > 5",
            ),
            ("(time() - beat_seconds) > ${600s}", "(time() - beat_seconds) > 60"),
            (
                "max_over_time(x[1h30m:1m] offset -5m) > 5",
                "max_over_time(x[540000ms:6000ms] offset -30000ms) > 5",
            ),
            ("max_over_time(x[1h:])", "max_over_time(x[360000ms:])"),
            ("x{path=\"[5m] ${1s} \\\" offset 5m\"} > 5", "x{path=\"[5m] ${1s} \\\" offset 5m\"} > 5"),
            ("offset_total:rate5m > 1e3", "offset_total:rate5m > 1e3"),
        ] {
            check(expression, "0.1", Ok(scaled));
        }
    }

    #[test]
    fn at_a_scale_of_one_the_expression_is_the_documented_one() {
        check("rate(r[5m]) > ${0.5/s}", "1", Ok("rate(r[300000ms]) > 0.5"));
        check("time() - t > ${600s}", "1", Ok("time() - t > 600"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (expression, part) in [
            ("rate(x[5m) > 1", "without its `]`"),
            ("rate(x[5 minutes])", "no duration"),
            ("x > ${600}", "no time"),
            ("x > ${fast/s}", "no rate"),
            ("x > $600", "begins a time"),
            ("x{a=\"b} > 1", "no end"),
            ("rate(x[])", "no duration"),
        ] {
            check(expression, "0.1", Err(part));
        }
    }

    #[test]
    fn a_rate_against_a_threshold_is_recognised_and_nothing_else() {
        let five_minutes = Span::from_secs(300);
        for (expression, counter, per_second) in [
            ("rate(x_restarts_total{container=\"worker\"}[5m]) > ${0.5/s}", "x_restarts_total", 0.5),
            (" rate( x[5m] ) >= 3 ", "x", 3.0),
        ] {
            assert_eq!(rate_of(expression), Some(Rate { counter, within: five_minutes, per_second }));
        }
        for expression in
            ["increase(x[5m]) > 3", "rate(x[5m]) < 1", "x > 3", "rate(x[5m]) > y", "sum(rate(x[5m])) > 1"]
        {
            assert_eq!(rate_of(expression), None, "{expression}");
        }
    }
}
