//! Watches, and what is expected of their answers.

use super::Context;
use super::expect::scaled;
use super::external::{Stores, http_path, http_process, plain_text, plain_words};
use crate::fault::{Fault, FaultId, FaultKind};
use crate::names::Store;
use crate::protocol::table::StatusRule;
use crate::scenario::PrometheusSpec;
use crate::scenario::decode::{Field, Placed, unknown};
use crate::scenario::diagnostic::{Code, Place, Report};
use crate::scenario::raw;
use crate::scenario::raw::expect::{SpanBounds, in_order};
use crate::scenario::scalar::Duration;
use crate::scenario::watch::{Question, Since, Watch, WatchExpect, Watched};
use crate::scenario::{Fleet, Stack};
use crate::time::{Interval, Span};

/// The good ones; the others are reported.
pub(super) fn watches(
    raw: &raw::Scenario,
    fleet: Option<&Fleet>,
    stack: Option<&Stack>,
    context: &mut Context<'_, '_>,
) -> Vec<Watch> {
    let entries = raw.watch.value().map(Vec::as_slice).unwrap_or_default();
    let mut watches: Vec<Watch> = Vec::new();
    for entry in entries {
        let watch = &entry.value;
        let every = context.positive(&watch.every, Span::from_millis(100), "every", entry.place);
        let timeout = context.positive(&watch.timeout, Span::from_secs(1), "timeout", entry.place);
        let Some(name) = watch.name.given() else { continue };
        if watches.iter().any(|known| known.name == name.text()) {
            context
                .report
                .add(Code::Name, name.place, format!("two watches are named `{}`", name.text()))
                .hint("choose another name for one of the two");
        }
        let Some(ask) = watch.ask.given().and_then(|ask| question(ask, fleet, stack, context)) else {
            continue;
        };
        watches.push(Watch { name: name.text().to_owned(), every, timeout, ask });
    }
    watches
}

/// As they are written, right or wrong.
pub(super) fn names(raw: &raw::Scenario) -> Vec<&str> {
    let entries = raw.watch.value().into_iter().flatten();
    entries.filter_map(|watch| Some(watch.value.name.value()?.0.as_str())).collect()
}

fn question(
    ask: &Placed<raw::watch::Question>,
    fleet: Option<&Fleet>,
    stack: Option<&Stack>,
    context: &mut Context<'_, '_>,
) -> Option<Question> {
    if let raw::watch::Question::Status(status) = &ask.value {
        return status_question(status, fleet, stack, context);
    }
    let stores = Stores { stack };
    match &ask.value {
        raw::watch::Question::Http(get) => {
            let processes = fleet.map(|fleet| fleet.processes.as_slice());
            let process = http_process(&get.value.process, processes, context.report);
            let path = http_path(&get.value.path, context.report);
            let pointer = http_path(&get.value.pointer, context.report);
            Some(Question::Http { process: process?, path: path?, pointer: pointer? })
        }
        raw::watch::Question::Redis(command) => {
            stores.require(Store::Redis, command.place, context.report);
            Some(Question::Redis { command: plain_words(command, context)? })
        }
        raw::watch::Question::Sql(query) => {
            stores.require(Store::Postgres, query.place, context.report);
            Some(Question::Sql { query: plain_text(query, context) })
        }
        raw::watch::Question::Alert(alert) => {
            let prometheus = stack.and_then(|stack| stack.prometheus.as_ref());
            let known = prometheus.into_iter().flat_map(PrometheusSpec::alerts);
            let name = &alert.value.0;
            // Rules that could not be read may have it.
            let is_unread = prometheus.is_some_and(|prometheus| prometheus.groups.is_empty());
            if stack.is_some() && !is_unread && !known.clone().any(|known| known == name) {
                unknown(Code::UnknownWatch, "alert", name, alert.place, known, context.report);
            }
            Some(Question::Alert { name: name.clone() })
        }
        raw::watch::Question::Status(_) => None,
    }
}

fn status_question(
    status: &Placed<raw::watch::Status>,
    fleet: Option<&Fleet>,
    stack: Option<&Stack>,
    context: &mut Context<'_, '_>,
) -> Option<Question> {
    Stores { stack }.require(Store::Postgres, status.place, context.report);
    if fleet.is_some_and(|fleet| !fleet.has_job_table()) {
        context
            .report
            .add(Code::ForeignSetting, status.place, "this fleet's jobs are not in a table of ours")
            .hint("`http`, `redis` or `sql` asks any fleet");
    }
    let documented = StatusRule::DOCUMENTED;
    let raw::watch::Status { pointer, healthy_below, stuck_above, stale_above } = &status.value;
    let mut age = |field, default, name| context.positive(field, default, name, status.place);
    let rule = StatusRule {
        healthy_below: age(healthy_below, documented.healthy_below, "healthy_below"),
        stuck_above: age(stuck_above, documented.stuck_above, "stuck_above"),
        stale_above: age(stale_above, documented.stale_above, "stale_above"),
    };
    if rule.healthy_below > rule.stuck_above {
        context
            .report
            .add(Code::EmptyRange, status.place, "`healthy_below` is over `stuck_above`")
            .hint("a beat is young, then neither, then old");
    }
    Some(Question::Status { pointer: http_path(pointer, context.report)?, rule })
}

/// What is expected of the watches. `faults` are the good ones of the file's.
pub(super) fn expected(
    raw: &raw::Scenario,
    faults: &[Placed<Fault>],
    context: &mut Context<'_, '_>,
) -> Vec<Watched> {
    let entries = raw.expect.value().and_then(|expect| expect.watched.value());
    let entries = entries.map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter_map(|entry| one_expected(entry, raw, faults, context)).collect()
}

fn one_expected(
    entry: &Placed<raw::watch::Watched>,
    raw: &raw::Scenario,
    faults: &[Placed<Fault>],
    context: &mut Context<'_, '_>,
) -> Option<Watched> {
    let name = entry.value.name.given()?;
    // By what is written, right or wrong: an error there is not to bring on another one here.
    let known = names(raw);
    if !known.contains(&name.text()) && !matches!(raw.watch, Field::Bad) {
        unknown(Code::UnknownWatch, "watch", name.text(), name.place, known.into_iter(), context.report);
    }
    let since = match &entry.value.after {
        Field::Absent => Some(Since::Start),
        Field::Given(after) => since(after, raw, faults, context.report),
        Field::Bad => None,
    };
    let within = within(&entry.value.within, context);
    let watched = &entry.value;
    let expect = match (&watched.becomes, &watched.never) {
        (Field::Absent, Field::Absent) => {
            let place = entry.place;
            context
                .report
                .add(Code::OneOf, place, "nothing is expected of this watch")
                .hint("exactly one of `becomes` and `never`");
            return None;
        }
        (Field::Given(becomes), Field::Absent) => {
            WatchExpect::Becomes { answer: becomes.value.0.clone(), since: since?, within: within? }
        }
        (Field::Absent, Field::Given(never)) => {
            refuse_beside_never(watched, context.report);
            WatchExpect::Never { answer: never.value.0.clone() }
        }
        (Field::Bad, Field::Absent) | (Field::Absent, Field::Bad) => return None,
        (_, never) => {
            let place = never.place().unwrap_or(entry.place);
            context
                .report
                .add(Code::OneOf, place, "`never` cannot stand beside `becomes`")
                .hint("exactly one of the two; two expectations can be of one watch");
            return None;
        }
    };
    Some(Watched { watch: name.text().to_owned(), expect })
}

/// What holds throughout has no time of its own.
fn refuse_beside_never(watched: &raw::watch::Watched, report: &mut Report<'_>) {
    let given = [("after", watched.after.place()), ("within", watched.within.place())];
    for (key, place) in given {
        if let Some(place) = place {
            report
                .add(Code::OneOf, place, format!("`{key}` cannot stand beside `never`"))
                .hint("`never` is judged over the whole run; `becomes` has a time");
        }
    }
}

fn since(
    after: &Placed<raw::watch::Since>,
    raw: &raw::Scenario,
    faults: &[Placed<Fault>],
    report: &mut Report<'_>,
) -> Option<Since> {
    let (number, place, heal) = match &after.value {
        raw::watch::Since::Start(_) => return Some(Since::Start),
        raw::watch::Since::Fault(number) => (number.value.0, number.place, false),
        raw::watch::Since::Heal(number) => (number.value.0, number.place, true),
    };
    let count = raw.faults.value().map_or(0, Vec::len) as u64;
    if number > count {
        let hint = match count {
            0 => "the scenario has no fault: `{start: {}}` counts from the workload's start".to_owned(),
            1 => "the scenario has one fault: 1".to_owned(),
            count => format!("the scenario's faults are 1 to {count}, in the file's order"),
        };
        report.add(Code::OutOfRange, place, format!("there is no fault {number}")).hint(hint);
        return None;
    }
    let id = FaultId(u16::try_from(number - 1).ok()?);
    if !heal {
        return Some(Since::Fault(id));
    }
    refuse_without_heal(faults.iter().map(|fault| &fault.value).find(|fault| fault.id == id), place, report);
    Some(Since::Heal(id))
}

fn refuse_without_heal(fault: Option<&Fault>, place: Place, report: &mut Report<'_>) {
    let what = match fault.map(|fault| &fault.kind) {
        Some(FaultKind::DeleteKeys { .. }) => "keys that were deleted are not put back",
        Some(
            FaultKind::Kill { restart_after: None, .. }
            | FaultKind::Stop { restart_after: None, .. }
            | FaultKind::ScaleToZero { lasting: None, .. },
        ) => "the fault's processes are not started again",
        _ => return,
    };
    report
        .add(Code::Unjudgeable, place, format!("this fault has no heal: {what}"))
        .hint("count from its effect, `{fault: …}`, or let the fault end");
}

/// Any time, unless given.
fn within(field: &Field<SpanBounds>, context: &mut Context<'_, '_>) -> Option<Interval> {
    let bounds = match field {
        Field::Absent => return Some(Interval::new(Span::ZERO, Span::MAX)),
        Field::Given(bounds) => bounds,
        Field::Bad => return None,
    };
    let min = bounds.value.min.value().map_or(Span::ZERO, |Duration(span)| *span);
    let max = bounds.value.max.value().map_or(Span::MAX, |Duration(span)| *span);
    let (min, max) = in_order(min, max, bounds.place, context.report)?;
    Some(scaled(min, max, context.scale))
}
