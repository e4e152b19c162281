//! Claims: what a document says of a system, and what must be measured for it to be true.

mod raw;

use schemars::generate::SchemaSettings;

use super::decode::{Decode as _, Field, Placed, hint, unknown};
use super::diagnostic::{Code, Diagnostic, Place, Report, Source};
use super::raw::expect::in_order;
use super::tree::{self, shorten};
use crate::time::Span;

/// A claims file that has no mistake of its own.
#[derive(Debug, Clone)]
pub struct Claims {
    /// In the file's order.
    pub claims: Vec<Claim>,
    source: Source,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Unique in the file.
    pub id: String,
    pub text: String,
    /// The document that says so.
    pub source: Option<String>,
    /// All must hold. Empty: nothing measures it.
    pub measured: Vec<Condition>,
    /// In the file's order.
    pub elsewhere: Vec<Elsewhere>,
}

/// The same statement of another system: what has to be measured of that.
#[derive(Debug, Clone, PartialEq)]
pub struct Elsewhere {
    pub system: String,
    pub measured: Vec<Condition>,
}

/// A figure of a scenario's runs, and where it must lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub scenario: String,
    /// The figure's name, or the check's.
    pub figure: String,
    pub holds: Holds,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Holds {
    /// Inclusive: model milliseconds, a count, or a share, as the figure's unit has it. At least one end.
    Within { min: Option<f64>, max: Option<f64> },
    /// The verdict of the check of this name: it passes, or it fails.
    Check { passes: bool },
    /// Shown beside the others, and decides nothing.
    Any,
}

/// What a figure is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Millis,
    Count,
    Share,
}

/// The figures that every run may have. Checks with a blank in their name (`watched up becomes true`)
/// are the scenario's own.
pub const FIGURES: &[(&str, Unit)] = &[
    ("detection_time", Unit::Millis),
    ("recovery_time", Unit::Millis),
    ("slowest_job", Unit::Millis),
    ("slowest_answer", Unit::Millis),
    ("lost", Unit::Count),
    ("duplicated", Unit::Count),
    ("unexpected", Unit::Count),
    ("failed", Unit::Count),
    ("declined", Unit::Count),
    ("steps_lost", Unit::Count),
    ("steps_repeated", Unit::Count),
    ("mistakes", Unit::Count),
    ("query_accuracy", Unit::Share),
    ("jobs.acknowledged", Unit::Count),
    ("jobs.completed", Unit::Count),
    ("jobs.ended", Unit::Count),
    ("jobs.unanswered", Unit::Count),
    ("steps.acknowledged", Unit::Count),
    ("queue.waiting", Unit::Count),
    ("queue.active", Unit::Count),
    ("queue.drained", Unit::Millis),
];

/// The unit of a figure; of a scenario's own check by its name.
#[must_use]
pub fn unit_of(figure: &str) -> Unit {
    match FIGURES.iter().find(|(name, _)| *name == figure) {
        Some((_, unit)) => *unit,
        None if figure.contains(" becomes ") || figure.contains(" fires") => Unit::Millis,
        None => Unit::Count,
    }
}

/// The claims that the program carries with it.
#[must_use]
pub fn builtin() -> Source {
    Source::new(BUILTIN_PATH, include_str!("../../../catalog/claims.yaml"))
}

/// The JSON Schema of claims files as pretty-printed JSON, as committed in `schemas/claims.json`.
#[must_use]
pub fn schema() -> String {
    let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let schema = generator.into_root_schema_for::<raw::Claims>();
    format!("{:#}\n", schema.as_value())
}

/// Where they stand in the repository; the same path below the working folder is taken in their place.
pub const BUILTIN_PATH: &str = "catalog/claims.yaml";

/// `scenarios` are the names that claims may speak of; `None` where not all of them are known.
///
/// # Errors
/// Every mistake in the file, sorted by place.
pub fn read(source: &Source, scenarios: Option<&[&str]>) -> Result<Claims, Vec<Diagnostic>> {
    let mut report = Report::new(source);
    let raw = tree::parse(&mut report).and_then(|root| raw::Claims::decode(&root, &mut report));
    let mut claims: Vec<Claim> = Vec::new();
    for entry in raw.iter().filter_map(|raw| raw.claims.value()).flatten() {
        let Some(id) = entry.value.id.given() else { continue };
        if claims.iter().any(|known| known.id == id.value.0) {
            report
                .add(Code::Name, id.place, format!("two claims have the id `{}`", id.value.0))
                .hint("choose another id for one of the two");
        }
        let mut conditions = |placed: &[Placed<raw::Condition>]| -> Vec<Condition> {
            placed.iter().filter_map(|placed| condition(placed, scenarios, &mut report)).collect()
        };
        let measured = entry.value.measured.value().map(|measured| conditions(measured));
        let elsewhere = entry.value.elsewhere.value().into_iter().flat_map(|systems| &systems.0);
        let elsewhere = elsewhere.map(|(system, measured)| Elsewhere {
            system: system.value.clone(),
            measured: conditions(&measured.value),
        });
        let elsewhere = elsewhere.collect();
        claims.push(Claim {
            id: id.value.0.clone(),
            text: entry.value.text.value().map_or_else(String::new, |text| text.0.trim().to_owned()),
            source: entry.value.source.value().map(|source| source.0.clone()),
            measured: measured.unwrap_or_default(),
            elsewhere,
        });
    }
    if report.is_clean() { Ok(Claims { claims, source: source.clone() }) } else { Err(report.into_sorted()) }
}

impl Claims {
    /// The file's text, to be kept with a run.
    #[must_use]
    pub fn text(&self) -> &str {
        self.source.text()
    }
}

/// `None` once the report says what is wrong.
fn condition(
    placed: &Placed<raw::Condition>,
    scenarios: Option<&[&str]>,
    report: &mut Report<'_>,
) -> Option<Condition> {
    let raw = &placed.value;
    if let (Some(scenario), Some(known)) = (raw.scenario.given(), scenarios)
        && !known.contains(&scenario.text())
    {
        let message = format!("no scenario is named `{}`", scenario.text());
        report.add(Code::UnknownScenario, scenario.place, message).hint(hint(scenario.text(), known));
    }
    let figure = raw.figure.given();
    if let Some(figure) = figure {
        let name = figure.text();
        let known = FIGURES.iter().map(|(known, _)| *known);
        if !name.contains(' ') && !known.clone().any(|known| known == name) {
            unknown(Code::UnknownValue, "figure", name, figure.place, known, report);
            return None;
        }
    }
    let (scenario, figure, holds) = (raw.scenario.given()?, figure?, raw.holds.given()?);
    let holds = match &holds.value {
        raw::Holds::Exactly(word) => exactly(&word.0, figure.text(), holds.place, report)?,
        raw::Holds::Within(bounds) => within(bounds, figure.text(), holds.place, report)?,
    };
    Some(Condition { scenario: scenario.text().to_owned(), figure: figure.text().to_owned(), holds })
}

fn exactly(word: &str, figure: &str, place: Place, report: &mut Report<'_>) -> Option<Holds> {
    match word {
        "pass" => return Some(Holds::Check { passes: true }),
        "fail" => return Some(Holds::Check { passes: false }),
        "any" => return Some(Holds::Any),
        _ => {}
    }
    if unit_of(figure) == Unit::Millis {
        report
            .add(Code::WrongType, place, "no measured time is exact")
            .hint("bounds: `{min: 20s, max: 40s}`");
        return None;
    }
    let value = value(word, unit_of(figure), place, report)?;
    Some(Holds::Within { min: Some(value), max: Some(value) })
}

fn within(bounds: &raw::HoldBounds, figure: &str, place: Place, report: &mut Report<'_>) -> Option<Holds> {
    let mut end = |field: &Field<super::scalar::Word>| match field {
        Field::Absent => Some(None),
        Field::Given(word) => value(word.text(), unit_of(figure), word.place, report).map(Some),
        Field::Bad => None,
    };
    let (min, max) = (end(&bounds.min), end(&bounds.max));
    let (min, max) = (min?, max?);
    if min.is_none() && max.is_none() {
        report.add(Code::MissingField, place, "bounds without an end").hint("`min`, `max` or both");
        return None;
    }
    in_order(min.unwrap_or(f64::MIN), max.unwrap_or(f64::MAX), place, report)?;
    Some(Holds::Within { min, max })
}

/// In the figure's unit.
fn value(text: &str, unit: Unit, place: Place, report: &mut Report<'_>) -> Option<f64> {
    let number = || text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    let (parsed, expected) = match unit {
        Unit::Millis => (text.parse::<Span>().ok().map(Span::as_millis_f64), "a duration: 250ms, 1.5s, 2m"),
        Unit::Count => (number(), "a count: 0, 1, 2, …"),
        Unit::Share => (number().filter(|share| *share <= 1.0), "a share from 0 to 1"),
    };
    if parsed.is_none() {
        report
            .add(Code::WrongType, place, format!("`{}` is not what this figure is counted in", shorten(text)))
            .hint(expected);
    }
    parsed
}

#[cfg(test)]
mod tests;
