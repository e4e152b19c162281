//! The catalogue of known job systems: one YAML each, whose pipeline is written in terms of named
//! parameters, each with its origin. Durations are model time.

pub(in crate::scenario) mod build;
mod builtin;
mod chosen;
mod expression;
pub(in crate::scenario) mod raw;

pub use builtin::{NAMES, builtin};
pub(in crate::scenario) use chosen::{chosen, parameter, wrong_kind};

use super::decode::{Decode as _, list};
use super::diagnostic::{Code, Diagnostic, Report, Source};
use super::tree;
use crate::time::{Scale, Span};
use crate::timing::Pipeline;
pub(in crate::scenario) use expression::Expression;
pub use expression::{Quantity, Values};

/// A system of the catalogue.
#[derive(Debug, Clone)]
pub struct Entry {
    pub name: String,
    pub title: String,
    pub about: String,
    /// Of the project that the parameters are from.
    pub version: Option<String>,
    /// In the file's order.
    pub parameters: Vec<Parameter>,
    pub worst_case: Option<WorstCase>,
    /// The entry with this system's earlier settings.
    pub old: Option<String>,
    source: Source,
    raw: raw::Pipeline,
}

#[derive(Debug, Clone)]
pub struct Parameter {
    pub name: String,
    /// A second name by which it can be set.
    pub also: Option<String>,
    pub origin: String,
    value: Quantity,
}

/// What `timing.md`'s table says, to compare with.
#[derive(Debug, Clone)]
pub struct WorstCase {
    /// From the crash to the requeue; `None` where the table has no number.
    pub table: Option<Span>,
    /// Why ours differs, where it does.
    pub note: Option<String>,
}

/// Why a `--set` cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    #[error("`{given}` is not KEY=VALUE, as in interval=15s")]
    Shape { given: String },
    #[error("`{key}` is set twice")]
    Twice { key: String },
    #[error("unknown parameter `{key}`: {hint}")]
    Unknown { key: String, hint: String },
    #[error("`{key}` cannot be `{value}`: {reason}")]
    Value { key: String, value: String, reason: String },
}

/// Why no entry has this name, with the nearest one.
#[must_use]
pub fn unknown_name(name: &str) -> String {
    format!("`{name}` is neither a file nor a system of the catalogue: {}", super::decode::hint(name, NAMES))
}

/// The entry, checked: its pipeline resolves.
///
/// # Errors
/// Every mistake in the file, sorted by place.
pub fn read(source: &Source) -> Result<Entry, Vec<Diagnostic>> {
    let mut report = Report::new(source);
    let raw = tree::parse(&mut report).and_then(|root| raw::Entry::decode(&root, &mut report));
    let entry = raw.and_then(|raw| assemble(&raw, &mut report));
    if let Some(entry) = &entry {
        // A default pipeline that cannot be is a mistake of the file like any other.
        let _ = build::pipeline(&entry.raw, &entry.values(), Scale::ONE, &mut report);
    }
    match entry {
        Some(entry) if report.is_clean() => Ok(entry),
        _ => Err(report.into_sorted()),
    }
}

impl Entry {
    /// The pipeline of the parameters' present values.
    ///
    /// # Errors
    /// Values that make no pipeline, at the places that use them.
    pub fn pipeline(&self) -> Result<Pipeline, Vec<Diagnostic>> {
        self.pipeline_of(&self.values())
    }

    /// As above, of other values.
    ///
    /// # Errors
    /// Values that make no pipeline, at the places that use them.
    pub fn pipeline_of(&self, values: &Values) -> Result<Pipeline, Vec<Diagnostic>> {
        self.scaled(values, Scale::ONE)
    }

    /// The pipeline of the parameters' present values, each of its durations in wall time.
    ///
    /// # Errors
    /// Values that make no pipeline, at the places that use them.
    pub fn pipeline_at(&self, scale: Scale) -> Result<Pipeline, Vec<Diagnostic>> {
        self.scaled(&self.values(), scale)
    }

    fn scaled(&self, values: &Values, scale: Scale) -> Result<Pipeline, Vec<Diagnostic>> {
        let mut report = Report::new(&self.source);
        match build::pipeline(&self.raw, values, scale, &mut report) {
            Some(pipeline) if report.is_clean() => Ok(pipeline),
            _ => Err(report.into_sorted()),
        }
    }

    /// The entry with other values, each given as `key=value`.
    ///
    /// # Errors
    /// Everything that is wrong with them, in their order.
    pub fn with(&self, settings: &[String]) -> Result<Self, Vec<SetError>> {
        let mut changed = self.clone();
        let mut seen: Vec<&str> = Vec::new();
        let mut errors = Vec::new();
        for given in settings {
            let Some((key, value)) = given.split_once('=') else {
                errors.push(SetError::Shape { given: given.clone() });
                continue;
            };
            let (key, value) = (self.canonical(key.trim()), value.trim());
            if seen.contains(&key) {
                errors.push(SetError::Twice { key: key.to_owned() });
            }
            seen.push(key);
            if let Err(error) = changed.set(key, value) {
                errors.push(error);
            }
        }
        if errors.is_empty() { Ok(changed) } else { Err(errors) }
    }

    /// Every parameter's present value.
    #[must_use]
    pub fn values(&self) -> Values {
        self.parameters.iter().map(|parameter| (parameter.name.clone(), parameter.value)).collect()
    }

    /// The parameter's name in this entry, if the given one is its second; else the given one.
    #[must_use]
    pub fn canonical<'n>(&'n self, name: &'n str) -> &'n str {
        let known = self.parameters.iter().find(|known| known.also.as_deref() == Some(name));
        known.map_or(name, |known| &known.name)
    }

    #[must_use]
    pub fn value_of(&self, parameter: &str) -> Option<Quantity> {
        self.parameters.iter().find(|known| known.name == parameter).map(|known| known.value)
    }

    /// Another value of the same kind; nothing for a parameter that there is not.
    pub fn put(&mut self, parameter: &str, value: Quantity) {
        if let Some(known) = self.parameters.iter_mut().find(|known| known.name == parameter) {
            known.value = value;
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), SetError> {
        let Some(parameter) = self.parameters.iter_mut().find(|parameter| parameter.name == key) else {
            let known: Vec<&str> = self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            return Err(SetError::Unknown { key: key.to_owned(), hint: super::decode::hint(key, &known) });
        };
        parameter.value = parameter.value.replaced_by(value).map_err(|reason| SetError::Value {
            key: key.to_owned(),
            value: value.to_owned(),
            reason,
        })?;
        Ok(())
    }
}

impl Parameter {
    /// As the file would say it: `15s`, `2`, `0.001`.
    #[must_use]
    pub fn value(&self) -> String {
        self.value.to_string()
    }
}

fn assemble(raw: &raw::Entry, report: &mut Report<'_>) -> Option<Entry> {
    let mut parameters = Vec::new();
    for (name, parameter) in raw.parameters.value().iter().flat_map(|named| &named.0) {
        if !expression::is_parameter_name(&name.value) {
            report
                .add(Code::Name, name.place, format!("`{}` is not a parameter's name", name.value))
                .hint("1 to 64 of a-z, 0-9 and `_`, a letter first");
        }
        let (Some(value), Some(origin)) = (parameter.value.value.value(), parameter.value.origin.value())
        else {
            continue;
        };
        parameters.push(Parameter {
            name: name.value.clone(),
            also: parameter.value.also.value().map(|also| also.0.clone()),
            origin: origin.0.clone(),
            value: *value,
        });
    }
    let used = raw.pipeline.value().map(build::parameters_used).unwrap_or_default();
    for (name, _) in raw.parameters.value().iter().flat_map(|named| &named.0) {
        if !used.contains(&name.value) {
            report
                .add(Code::UnknownField, name.place, format!("the pipeline does not use `{}`", name.value))
                .hint(format!("it uses {}", list(&used.iter().map(String::as_str).collect::<Vec<_>>())));
        }
    }
    Some(Entry {
        name: raw.name.value()?.0.clone(),
        title: raw.title.value()?.0.clone(),
        about: raw.about.value()?.0.trim().to_owned(),
        version: raw.version.value().map(|version| version.0.clone()),
        parameters,
        worst_case: raw.worst_case.value().map(|worst| WorstCase {
            table: worst.table.value().map(|table| table.0),
            note: worst.note.value().map(|note| note.0.trim().to_owned()),
        }),
        old: raw.old.value().map(|old| old.0.clone()),
        source: report.source().clone(),
        raw: raw.pipeline.value()?.clone(),
    })
}

#[cfg(test)]
mod tests;
