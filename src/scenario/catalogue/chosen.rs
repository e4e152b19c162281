//! An entry as another file chooses it: by its name, with settings in place of its own.

use super::super::decode::{Field, Named, Placed, unknown};
use super::super::diagnostic::{Code, Place, Report};
use super::{Entry, NAMES, Quantity, builtin, read};

/// The entry of this name with `set` in place of its own values. `None` if it cannot be, and reported.
pub(in crate::scenario) fn chosen(
    name: &str,
    place: Place,
    set: &Field<Named<Quantity>>,
    report: &mut Report<'_>,
) -> Option<Entry> {
    let Some(source) = builtin(name) else {
        unknown(Code::UnknownValue, "system", name, place, NAMES.iter().copied(), report);
        return None;
    };
    let mut entry = read(&source).ok()?;
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in set.value().iter().flat_map(|named| &named.0) {
        let canonical = Placed { value: entry.canonical(&name.value).to_owned(), place: name.place };
        if seen.contains(&canonical.value) {
            report
                .add(Code::DuplicateKey, name.place, format!("`{}` is set twice", canonical.value))
                .hint("it has two names: use one of them");
        }
        let Some(present) = parameter(&entry, &canonical, report) else { continue };
        if present.is_span() == value.value.is_span() {
            entry.put(&canonical.value, value.value);
        } else {
            wrong_kind(present, value, report);
        }
        seen.push(canonical.value);
    }
    if let (Err(errors), Some(set)) = (entry.pipeline(), set.given()) {
        let why = errors.first().map_or_else(String::new, |error| error.message.clone());
        report
            .add(Code::Formula, set.place, format!("with these settings the system cannot be: {why}"))
            .hint("these are the settings in use, where they differ from the catalogue's");
        return None;
    }
    Some(entry)
}

/// The parameter's present value; if there is none of that name it is reported.
pub(in crate::scenario) fn parameter(
    entry: &Entry,
    name: &Placed<String>,
    report: &mut Report<'_>,
) -> Option<Quantity> {
    let present = entry.value_of(&name.value);
    if present.is_none() {
        let known = entry.parameters.iter().map(|parameter| parameter.name.as_str());
        unknown(Code::UnknownField, "parameter", &name.value, name.place, known, report);
    }
    present
}

/// Reports a number where a duration is wanted, or a duration where a number is.
pub(in crate::scenario) fn wrong_kind(present: Quantity, given: &Placed<Quantity>, report: &mut Report<'_>) {
    let (message, advice) = if present.is_span() {
        (format!("this is a duration, not {}", given.value), format!("as in `{present}`"))
    } else {
        (format!("this is a number, not {}", given.value), format!("without a unit, as in `{present}`"))
    };
    report.add(Code::WrongType, given.place, message).hint(advice);
}
