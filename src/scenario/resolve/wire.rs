//! Faults that hang on a command on the wire.

use super::fault::{World, require_store};
use crate::fault::wire::{ARGUMENT_MAX, CommandPattern, GATES_MAX, Side, Wire};
use crate::fault::{Fault, Trigger};
use crate::names::{Endpoint, Link, PRODUCER, Store};
use crate::scenario::decode::{Field, Placed, unknown};
use crate::scenario::diagnostic::{Code, Place, Report};
use crate::scenario::raw::fleet::store_named;
use crate::scenario::raw::wire as raw;
use crate::scenario::scalar::{Text, Whole};

/// A needle that is longer says no more.
const TEXT_MAX: usize = 1_000;

pub(super) fn wire(raw: &Placed<raw::Wire>, world: &World<'_>, report: &mut Report<'_>) -> Option<Wire> {
    let link = raw.value.link.given();
    let links = link.and_then(|link| links(link, world, report));
    let side: Option<Side> = raw.value.side.value().copied();
    let store = links.as_ref().and_then(|(_, store)| *store);
    let command = command(&raw.value, raw.place, store, report);
    let nth = raw.value.nth.value().map_or(1, |Whole(nth)| *nth as u32);
    Some(Wire { links: links?.0, command: command?, nth, side: side? })
}

/// More gates than a proxy can have.
pub(super) fn too_many(faults: &[Placed<Fault>], report: &mut Report<'_>) {
    let mut wires = faults.iter().filter(|fault| matches!(fault.value.when, Trigger::Wire(_)));
    if let Some(beyond) = wires.nth(GATES_MAX) {
        report
            .add(Code::OutOfRange, beyond.place, "too many faults hang on a command on the wire")
            .hint(format!("at most {GATES_MAX}"));
    }
}

/// The links, and the store that they lead to.
fn links(
    link: &Placed<Text>,
    world: &World<'_>,
    report: &mut Report<'_>,
) -> Option<(Vec<Link>, Option<Store>)> {
    let fleet = world.fleet?;
    let Some((from, to)) = link.text().split_once("->").map(|(from, to)| (from.trim(), to.trim())) else {
        report
            .add(Code::UnknownLink, link.place, format!("`{}` is not a link", link.text()))
            .hint("from a process or a role to a store: `worker-1 -> redis`, `worker -> postgres`");
        return None;
    };
    let Some(store) = store_named(to) else {
        let served = fleet.processes.iter().any(|process| process.name.as_str() == to);
        if served {
            report
                .add(Code::UnknownLink, link.place, format!("what passes to `{to}` is not understood"))
                .hint("taps understand the protocols of redis and postgres");
        } else {
            let stores = Store::ALL.iter().map(|store| store.as_str());
            unknown(Code::UnknownLink, "end of a link", to, link.place, stores, report);
        }
        return None;
    };
    require_store(store, link.place, world, report)?;
    let roles = fleet.processes.iter().map(|process| process.role.as_str());
    let known: Vec<&str> = fleet.processes.iter().map(|process| process.name.as_str()).chain(roles).collect();
    let is_from = |link: &&Link| {
        let role =
            fleet.processes.iter().find(|process| process.name == link.from).map(|it| it.role.as_str());
        link.from.as_str() == from || role == Some(from)
    };
    if !known.contains(&from) && from != PRODUCER {
        unknown(Code::UnknownProcess, "process or role", from, link.place, known.into_iter(), report);
        return None;
    }
    let all = fleet.links();
    let of_store = all.iter().filter(|link| link.to == Endpoint::Store(store));
    let links: Vec<Link> = of_store.filter(is_from).cloned().collect();
    if links.is_empty() {
        report
            .add(Code::UnknownLink, link.place, "there is no such link")
            .hint(format!("`{from}` does not connect to {store}"));
        return None;
    }
    Some((links, Some(store)))
}

fn command(
    raw: &raw::Wire,
    place: Place,
    store: Option<Store>,
    report: &mut Report<'_>,
) -> Option<CommandPattern> {
    let mut good = true;
    let mut text = |field: &Field<Text>, of: Option<Store>, key: &str| {
        let given = field.given()?;
        let (text, count) = (given.text(), given.text().len());
        if let (Some(of), Some(store)) = (of, store)
            && of != store
        {
            report
                .add(
                    Code::ForeignSetting,
                    given.place,
                    format!("`{key}` is for {of}, and the link leads to {store}"),
                )
                .hint(match store {
                    Store::Redis => "for redis: `command`, `script`, `key`, `argument`",
                    Store::Postgres => "for postgres: `command`, `sql`",
                });
            good = false;
        } else if text.trim().is_empty() || count > TEXT_MAX {
            report
                .add(Code::OutOfRange, given.place, format!("a text of {count} bytes to look for"))
                .hint(format!("from 1 to {TEXT_MAX}"));
            good = false;
        }
        Some(text.to_owned())
    };
    let name = text(&raw.command, None, "command").map(|name| name.to_ascii_uppercase());
    let script = text(&raw.script, Some(Store::Redis), "script");
    let sql = text(&raw.sql, Some(Store::Postgres), "sql");
    let key = text(&raw.key, Some(Store::Redis), "key");
    let argument = raw.argument.given().map(|argument| argument.text().to_owned());
    if let (Some(argument), Some(given)) = (&argument, raw.argument.given()) {
        if store == Some(Store::Postgres) {
            report
                .add(
                    Code::ForeignSetting,
                    given.place,
                    "`argument` is for redis, and the link leads to postgres",
                )
                .hint("for postgres: `command`, `sql`");
            good = false;
        } else if argument.len() > ARGUMENT_MAX {
            report
                .add(Code::OutOfRange, given.place, format!("an argument of {} bytes", argument.len()))
                .hint(format!("at most {ARGUMENT_MAX}"));
            good = false;
        }
    }
    let words = name.as_deref().map_or(0, |name| name.split_whitespace().count());
    let most = if store == Some(Store::Postgres) { 1 } else { 2 };
    if let Some(given) = raw.command.given().filter(|_| words > most) {
        report.add(Code::UnknownValue, given.place, format!("`{}` is not a command", given.text())).hint(
            match store {
                Some(Store::Postgres) => "a statement's first word: `UPDATE`; more of it by `sql: \"…\"`",
                _ => "its name, with a subcommand where it has one: `EVALSHA`, `SCRIPT LOAD`",
            },
        );
        good = false;
    }
    let fields = [&raw.command, &raw.script, &raw.sql, &raw.key];
    let nothing =
        fields.iter().all(|field| matches!(field, Field::Absent)) && matches!(raw.argument, Field::Absent);
    if nothing {
        report
            .add(Code::MissingField, place, "which command?")
            .hint("one at least of `command`, `script`, `sql`, `key`, `argument`");
        good = false;
    }
    good.then_some(CommandPattern { name, script, sql, key, argument })
}
