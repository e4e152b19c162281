//! `${…}` in the texts of a foreign fleet: names, which are replaced when the text is used, and durations,
//! which are scaled here and now.

use super::super::Context;
use crate::names::Endpoint;
use crate::scenario::decode::unknown;
use crate::scenario::diagnostic::{Code, Place};
use crate::scenario::scalar::parse_span;
use crate::time::Span;

/// A text whose durations are numbers.
pub(super) struct Filled {
    pub text: String,
    /// Names that are left in it.
    pub names: usize,
}

/// Shown where a template is unknown.
const DURATIONS: [&str; 2] = ["ms(30s)", "s(30s)"];

/// What resolves in the environment and the command of a process.
pub(super) fn process_names(links: &[Endpoint]) -> Vec<String> {
    let own = ["name", "index", "port"].map(str::to_owned);
    own.into_iter().chain(link_names(links)).collect()
}

/// Where what is linked to is found.
pub(super) fn link_names(links: &[Endpoint]) -> impl Iterator<Item = String> {
    links.iter().flat_map(|end| ["host", "port", "url"].map(|part| format!("{end}.{part}")))
}

/// What resolves where a job is enqueued.
pub(super) fn job_names() -> [String; 2] {
    ["job", "spec"].map(str::to_owned)
}

/// The text with each `${ms(30s)}` and `${s(30s)}` as that duration's wall time, in milliseconds or in
/// seconds. Reports what resolves to nothing. `$${` stands for a literal `${`; it is kept where `names`
/// are replaced later, since it is read again then.
pub(super) fn fill(text: &str, place: Place, names: &[String], context: &mut Context<'_, '_>) -> Filled {
    let mut filled = Filled { text: String::with_capacity(text.len()), names: 0 };
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, template) = rest.split_at(at);
        if let Some(literal) = before.strip_suffix('$') {
            filled.text.push_str(literal);
            filled.text.push_str(if names.is_empty() { "${" } else { "$${" });
            rest = &template[2..];
            continue;
        }
        filled.text.push_str(before);
        let Some(length) = template.find('}') else {
            context
                .report
                .add(Code::Template, place, "a template is not closed")
                .hint("a template ends in `}`: `${redis.url}`");
            // It may have been a name: to say too that there is none would be one error twice.
            filled.names += 1;
            return filled;
        };
        match Duration::read(&template[2..length]) {
            Some(duration) => filled.text.push_str(&duration.scaled(place, context).unwrap_or_default()),
            None => {
                let name = &template[2..length];
                if !names.iter().any(|known| known == name) {
                    let known = names.iter().map(String::as_str).chain(DURATIONS);
                    unknown(Code::Template, "template", name, place, known, context.report);
                }
                filled.names += 1;
                filled.text.push_str(&template[..=length]);
            }
        }
        rest = &template[length + 1..];
    }
    filled.text.push_str(rest);
    filled
}

/// `ms(…)` or `s(…)`.
struct Duration<'t> {
    unit: Unit,
    written: &'t str,
}

#[derive(Clone, Copy)]
enum Unit {
    /// A whole number: most settings of this unit take no other.
    Milliseconds,
    /// As many decimals as it needs.
    Seconds,
}

impl<'t> Duration<'t> {
    fn read(template: &'t str) -> Option<Self> {
        let (unit, argument) = template.split_once('(')?;
        let written = argument.strip_suffix(')')?;
        match unit {
            "ms" => Some(Self { unit: Unit::Milliseconds, written }),
            "s" => Some(Self { unit: Unit::Seconds, written }),
            _ => None,
        }
    }

    /// `None` if it is none, or nothing is left of it, and reported.
    fn scaled(&self, place: Place, context: &mut Context<'_, '_>) -> Option<String> {
        let model = parse_span(self.written.trim(), place, context.report)?;
        let wall = context.scale.to_wall(model);
        if wall < super::super::SETTING_MIN && !model.is_zero() {
            let message = format!("{model} is {wall} at a time scale of {}: too short", context.scale);
            context
                .report
                .add(Code::DurationTooShort, place, message)
                .hint("at least 1ms must be left of it");
            return None;
        }
        Some(match self.unit {
            Unit::Milliseconds => milliseconds(wall),
            Unit::Seconds => seconds(wall),
        })
    }
}

/// To the nearest one.
fn milliseconds(span: Span) -> String {
    ((span.as_nanos() + 500_000) / 1_000_000).to_string()
}

fn seconds(span: Span) -> String {
    let (whole, nanos) = (span.as_nanos() / 1_000_000_000, span.as_nanos() % 1_000_000_000);
    match nanos {
        0 => whole.to_string(),
        nanos => format!("{whole}.{nanos:09}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_written_as_its_setting_wants_it() {
        for (span, whole_millis, decimal_seconds) in [
            (Span::from_secs(3), "3000", "3"),
            (Span::from_millis(250), "250", "0.25"),
            (Span::from_nanos(1_499_999), "1", "0.001499999"),
            (Span::from_nanos(1_500_000), "2", "0.0015"),
            (Span::ZERO, "0", "0"),
        ] {
            assert_eq!((milliseconds(span), seconds(span)), (whole_millis.into(), decimal_seconds.into()));
        }
    }
}
