//! Words and numbers as every report writes them, and untrusted text made fit to be shown.

use crate::check::{Bound, BoundFrom, CheckResult, FaultReceipt, Judged, Quantiles, Verdict};
use crate::report::Summary;

/// One line without control and direction-changing characters, at most `chars_max` long and then
/// cut, saying so. Says nothing about the escaping that a format needs.
#[must_use]
pub fn clean(text: &str, chars_max: usize) -> String {
    let mut cleaned = String::with_capacity(text.len().min(chars_max * 2));
    let mut chars = text.trim().chars();
    for c in chars.by_ref().take(chars_max) {
        cleaned.push(visible(c));
    }
    let left_out = chars.count();
    if left_out > 0 {
        cleaned.push_str(&format!("… ({left_out} more characters)"));
    }
    cleaned
}

/// Long enough for a sentence or two: names, reasons, proofs.
pub const LINE_CHARS_MAX: usize = 400;

/// [`clean`] with [`LINE_CHARS_MAX`].
#[must_use]
pub fn line(text: &str) -> String {
    clean(text, LINE_CHARS_MAX)
}

fn visible(c: char) -> char {
    match c {
        '\n' | '\r' | '\t' => ' ',
        '\0'..='\x1f' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => '\u{fffd}',
        other => other,
    }
}

#[must_use]
pub const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Fail => "fail",
    }
}

/// The check's name in words.
#[must_use]
pub fn check_name(name: &str) -> String {
    clean(&name.replace('_', " "), 60)
}

/// Milliseconds of a million minutes: beyond them nobody counts digits.
const MINUTES_PLAIN_MAX: f64 = 6e10;

/// Milliseconds in a unit that suits them, with three significant digits.
#[must_use]
pub fn millis(ms: f64) -> String {
    let size = ms.abs();
    if !ms.is_finite() {
        "-".to_owned()
    } else if size >= MINUTES_PLAIN_MAX {
        format!("{:.2e} min", ms / 60_000.0)
    } else if size >= 600_000.0 {
        format!("{} min", significant(ms / 60_000.0))
    } else if size >= 1_000.0 {
        format!("{} s", significant(ms / 1_000.0))
    } else if size > 0.0 && size < 1.0 {
        format!("{} µs", significant(ms * 1_000.0))
    } else {
        format!("{} ms", significant(ms))
    }
}

fn significant(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

/// A moment in model seconds from the workload's start.
#[must_use]
pub fn moment(seconds: f64) -> String {
    format!("{seconds:.2} s")
}

/// What a check's bound and measurement are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Millis,
    Count,
    Share,
}

#[must_use]
pub fn unit_of(check: &str) -> Unit {
    match check {
        "detection_time" | "recovery_time" | "slowest_job" | "slowest_answer" | "host_quiet" => Unit::Millis,
        watched if watched.starts_with("watched ") && watched.contains(" becomes ") => Unit::Millis,
        "query_accuracy" => Unit::Share,
        _ => Unit::Count,
    }
}

#[must_use]
pub fn figure(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Millis => millis(value),
        Unit::Share => {
            let percent = format!("{:.3}", value * 100.0);
            format!("{} %", percent.trim_end_matches('0').trim_end_matches('.'))
        }
        Unit::Count => significant(value),
    }
}

/// The bound in words: `at most 1.2 s`, `0`, `2 s to 4.5 s`; `-` for none.
#[must_use]
pub fn bound(bound: Bound, unit: Unit) -> String {
    match (bound.min.filter(|min| *min > 0.0), bound.max) {
        (None, None) => bound.min.map_or("-".to_owned(), |_| "any".to_owned()),
        (Some(min), None) => format!("at least {}", figure(min, unit)),
        (None, Some(0.0)) => "0".to_owned(),
        (None, Some(max)) => format!("at most {}", figure(max, unit)),
        (Some(min), Some(max)) if (min - max).abs() < f64::EPSILON => {
            format!("exactly {}", figure(min, unit))
        }
        (Some(min), Some(max)) => format!("{} to {}", figure(min, unit), figure(max, unit)),
    }
}

#[must_use]
pub fn check_bound(check: &CheckResult) -> String {
    let words = bound(check.bound, unit_of(&check.name));
    // Its measurement is wall time, and says so.
    if check.name == "host_quiet" { format!("{words} (model)") } else { words }
}

#[must_use]
pub const fn bound_from(from: BoundFrom) -> &'static str {
    match from {
        BoundFrom::Model => "timing model",
        BoundFrom::Scenario => "scenario",
        BoundFrom::Harness => "harness rule",
    }
}

/// From effect to heal, in model time; `-` where it was not healed or did not take effect.
#[must_use]
pub fn lasted(fault: &FaultReceipt, time_scale: f64) -> String {
    match (fault.effective_ns, fault.healed_ns) {
        (Some(from), Some(to)) if to >= from => millis((to - from) as f64 / 1e6 / time_scale),
        _ => "-".to_owned(),
    }
}

/// `1.2 s` for one measurement, else median and range.
#[must_use]
pub fn quantiles(quantiles: Option<&Quantiles>) -> String {
    match quantiles {
        None => "-".to_owned(),
        Some(q) if q.n <= 1 => millis(q.p50),
        Some(q) => format!("{} ({} to {}, n = {})", millis(q.p50), millis(q.min), millis(q.max), q.n),
    }
}

/// What was injected, and on whom.
#[must_use]
pub fn fault(fault: &FaultReceipt) -> String {
    format!("{} {}", clean(&fault.kind.replace('_', " "), 40), clean(&fault.target, 60))
}

/// What was done to the fleet, in a few words: the kinds and targets of the faults.
#[must_use]
pub fn broken(judged: &Judged) -> String {
    let mut seen: Vec<(String, usize)> = Vec::new();
    for fault in &judged.faults {
        let what = self::fault(fault);
        match seen.iter_mut().find(|(known, _)| *known == what) {
            Some((_, count)) => *count += 1,
            None => seen.push((what, 1)),
        }
    }
    let shown = seen.iter().take(3).map(|(what, count)| match count {
        1 => what.clone(),
        n => format!("{what} ×{n}"),
    });
    let mut text = shown.collect::<Vec<_>>().join(", ");
    match seen.len() {
        0 => "nothing (baseline)".clone_into(&mut text),
        n if n > 3 => text.push_str(&format!(" and {} more", n - 3)),
        _ => {}
    }
    text
}

/// The run in one sentence.
#[must_use]
pub fn sentence(summary: &Summary) -> String {
    let total = summary.scenarios.len();
    let mut parts = Vec::new();
    for (verdict, one, many) in [
        (Verdict::Fail, "failed", "failed"),
        (Verdict::Inconclusive, "is inconclusive", "are inconclusive"),
        (Verdict::Pass, "passed", "passed"),
    ] {
        match summary.count(verdict) {
            0 => {}
            1 => parts.push(format!("1 {one}")),
            n => parts.push(format!("{n} {many}")),
        }
    }
    if !summary.not_run.is_empty() {
        parts.push(format!("{} could not be run", summary.not_run.len()));
    }
    let scenarios = if total == 1 { "scenario" } else { "scenarios" };
    let ran = format!("{total} {scenarios} ran on the {} backend", clean(&summary.backend, 40));
    if parts.is_empty() { format!("{ran}.") } else { format!("{ran}: {}.", parts.join(", ")) }
}

pub const INTERRUPTED: &str = "This run was interrupted. Everything it had started was healed and removed; what had \
     not been finished is missing below, or inconclusive.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_becomes_one_visible_line_of_bounded_length() {
        assert_eq!(clean("a\nb\x1b[31mc\0\u{202e}d", 100), "a b␛[31mc␀\u{fffd}d");
        assert_eq!(clean(&"x".repeat(100_000), 3), "xxx… (99997 more characters)");
    }

    #[test]
    fn durations_have_three_digits_and_a_fitting_unit() {
        for (ms, text) in [
            (0.0, "0 ms"),
            (0.07, "70 µs"),
            (1.9, "1.9 ms"),
            (123.4, "123 ms"),
            (1_500.0, "1.5 s"),
            (90_000.0, "90 s"),
            (1_800_000.0, "30 min"),
            (6e300, "1.00e296 min"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(millis(ms), text);
        }
    }

    #[test]
    fn bounds_read_as_words() {
        for (min, max, text) in [
            (None, None, "-"),
            (Some(0.0), None, "any"),
            (Some(0.0), Some(0.0), "0"),
            (Some(0.0), Some(1_200.0), "at most 1.2 s"),
            (Some(900.0), Some(2_000.0), "900 ms to 2 s"),
            (Some(1_000.0), None, "at least 1 s"),
        ] {
            assert_eq!(bound(Bound { min, max }, Unit::Millis), text);
        }
    }
}
