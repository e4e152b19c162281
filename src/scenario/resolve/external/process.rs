//! A foreign fleet's processes: roles, counts, links, programs, environments.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::{Context, recipe};
use super::Stores;
use super::lines::lines;
use super::ready::ready;
use super::template::{fill, process_names};
use crate::fault::Signal;
use crate::names::{Endpoint, HARNESS, PRODUCER, ProcessName};
use crate::scenario::decode::{Field, Placed, unknown};
use crate::scenario::diagnostic::{Code, Report};
use crate::scenario::raw::fleet as raw;
use crate::scenario::scalar::{Flag, Whole, Word, check_name};
use crate::scenario::{ProcessSpec, Program, Says, WORKERS_MAX, WorkingDirectory};
use crate::time::Span;

/// A role with its processes' names: the role's own, or numbered.
fn names(role: &str, count: &Field<Whole<1, WORKERS_MAX>>) -> Vec<ProcessName> {
    match count.value() {
        Some(Whole(count)) => {
            (1..=*count).map(|index| ProcessName::from(format!("{role}-{index}"))).collect()
        }
        None => vec![ProcessName::new(role)],
    }
}

pub(super) fn processes(
    external: &raw::External,
    stores: Stores<'_>,
    context: &mut Context<'_, '_>,
) -> Option<Vec<ProcessSpec>> {
    let roles = external.roles.value()?;
    let mut known: Vec<ProcessName> = Vec::new();
    for (role, spec) in &roles.0 {
        check_name(&role.value, role.place, context.report);
        if known.len() as u64 > WORKERS_MAX {
            break;
        }
        for name in names(&role.value, &spec.value.count) {
            let reserved = [PRODUCER, HARNESS, "redis", "postgres", "name", "index", "port"];
            if reserved.contains(&name.as_str()) {
                context
                    .report
                    .add(Code::Name, role.place, format!("`{name}` is a name of Syncope's own"))
                    .hint("choose another name for the role");
            }
            if known.contains(&name) {
                context
                    .report
                    .add(Code::Name, role.place, format!("two processes would be named `{name}`"))
                    .hint("choose another name for one of the two roles");
            }
            known.push(name);
        }
    }
    if known.len() as u64 > WORKERS_MAX {
        let place = external.roles.place().unwrap_or_default();
        context
            .report
            .add(Code::OutOfRange, place, format!("the fleet has more than {WORKERS_MAX} processes"))
            .hint("fewer roles, or a smaller `count`");
        return None;
    }
    let mut processes = Vec::new();
    for (role, spec) in &roles.0 {
        let links = links(&spec.value, &known, stores, context.report);
        let program = program(role, &spec.value, &links, context);
        let env = env(&spec.value, &links, context);
        let lines = lines(&spec.value, context);
        let ready = ready(&spec.value, stores, context);
        let stop_signal = stop_signal(&spec.value, context);
        let files = files(&spec.value, &links, context);
        for (position, name) in names(&role.value, &spec.value.count).into_iter().enumerate() {
            processes.push(ProcessSpec {
                env: env.clone(),
                links: links.clone(),
                serves_http: spec.value.http.value().is_some_and(|Flag(http)| *http),
                grace: context.span(&spec.value.grace, Span::from_secs(10)),
                stop_signal,
                ready: ready.clone(),
                files: files.clone(),
                lines: lines.clone(),
                ..ProcessSpec::new(name, &role.value, position as u32 + 1, program.clone())
            });
        }
    }
    Some(processes)
}

/// The program that hands the jobs over.
pub(super) fn producer(
    placed: &Placed<Box<raw::Role>>,
    stores: Stores<'_>,
    context: &mut Context<'_, '_>,
) -> ProcessSpec {
    let role = &placed.value;
    let meaningless = [
        ("count", role.count.place()),
        ("http", role.http.place()),
        ("grace", role.grace.place()),
        ("stop_signal", role.stop_signal.place()),
    ];
    for (name, place) in meaningless {
        if let Some(place) = place {
            context
                .report
                .add(Code::ForeignSetting, place, format!("`{name}` means nothing for the producer"))
                .hint("it is one program, which reads jobs and says what became of them");
        }
    }
    let links = links(role, &[], stores, context.report);
    let lines = lines(role, context);
    if lines.iter().any(|rule| rule.says != Says::Ready) {
        let place = role.lines.place().unwrap_or_default();
        context
            .report
            .add(Code::ForeignSetting, place, "of the producer's lines only `ready` means something")
            .hint("what became of a job it says with `ok ID`, `fail ID why` or `info ID why`");
    }
    let name = Placed { value: PRODUCER.to_owned(), place: placed.place };
    let program = program(&name, role, &links, context);
    ProcessSpec {
        env: env(role, &links, context),
        lines,
        ready: ready(role, stores, context),
        files: files(role, &links, context),
        links,
        ..ProcessSpec::new(ProcessName::new(PRODUCER), PRODUCER, 1, program)
    }
}

fn links(
    role: &raw::Role,
    known: &[ProcessName],
    stores: Stores<'_>,
    report: &mut Report<'_>,
) -> Vec<Endpoint> {
    let Some(given) = role.links.value() else {
        return stores.all().map(Endpoint::Store).collect();
    };
    let mut links = Vec::new();
    for link in given {
        let endpoint = match raw::store_named(link.text()) {
            Some(store) => {
                stores.require(store, link.place, report);
                Endpoint::Store(store)
            }
            None if known.iter().any(|name| name.as_str() == link.text()) => {
                Endpoint::Process(ProcessName::new(link.text()))
            }
            None => {
                let ends = known.iter().map(ProcessName::as_str).chain(["redis", "postgres"]);
                unknown(Code::UnknownLink, "end of a link", link.text(), link.place, ends, report);
                continue;
            }
        };
        if !links.contains(&endpoint) {
            links.push(endpoint);
        }
    }
    links
}

fn program(
    role: &Placed<String>,
    spec: &raw::Role,
    links: &[Endpoint],
    context: &mut Context<'_, '_>,
) -> Program {
    let names = names_of(spec, links);
    if spec.command.is_absent() && spec.image.is_absent() {
        context
            .report
            .add(Code::MissingField, role.place, format!("`{}` has neither command nor image", role.value))
            .hint("`command: [program, argument]` for processes, `image: name:tag` for containers");
    }
    let command = spec.command.given().map(|command| {
        if command.value.is_empty() {
            context
                .report
                .add(Code::MissingField, command.place, "the command is empty")
                .hint("program and arguments: `[python3, worker.py]`");
        }
        words(&command.value, &names, context)
    });
    let folder = context.report.source().path().parent().unwrap_or(Path::new("")).to_owned();
    Program::External {
        command,
        image: spec.image.value().map(|image| image.0.clone()),
        working_directory: spec.working_directory.value().map(|directory| WorkingDirectory {
            on_host: folder.join(&directory.0).to_string_lossy().into_owned(),
            in_image: Path::new(&directory.0).is_absolute().then(|| directory.0.clone()),
        }),
        recipe: recipe::resolve(spec, context).map(Box::new),
    }
}

fn env(role: &raw::Role, links: &[Endpoint], context: &mut Context<'_, '_>) -> BTreeMap<String, String> {
    let names = names_of(role, links);
    let mut env = BTreeMap::new();
    for (key, value) in role.env.value().into_iter().flat_map(|named| &named.0) {
        if key.value.is_empty() || key.value.contains(['=', '\0']) {
            context
                .report
                .add(Code::Name, key.place, "this cannot be the name of an environment variable")
                .hint("not empty, and without `=`");
        }
        env.insert(key.value.clone(), fill(value.text(), value.place, &names, context).text);
    }
    env
}

/// SIGTERM, unless it is given.
fn stop_signal(role: &raw::Role, context: &mut Context<'_, '_>) -> Signal {
    let Some(given) = role.stop_signal.given() else { return Signal::Term };
    if matches!(given.value, Signal::Kill | Signal::Abrt | Signal::Segv) {
        context
            .report
            .add(Code::UnknownValue, given.place, "no program ends in order by this signal")
            .hint("TERM, INT, QUIT, HUP, USR1 or USR2; `kill` is a fault of its own");
    }
    given.value
}

/// What resolves in its environment and its command.
fn names_of(role: &raw::Role, links: &[Endpoint]) -> Vec<String> {
    let mut names = process_names(links);
    if !role.files.is_absent() {
        names.push("files".to_owned());
    }
    names
}

/// The good ones; the others are reported.
fn files(role: &raw::Role, links: &[Endpoint], context: &mut Context<'_, '_>) -> BTreeMap<String, String> {
    let names = process_names(links);
    let mut files = BTreeMap::new();
    for (path, text) in role.files.value().into_iter().flat_map(|named| &named.0) {
        let is_part = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        if !path.value.split('/').all(is_part) {
            context
                .report
                .add(Code::Name, path.place, "this cannot be the path of a file below `${files}`")
                .hint("a relative one, without `..`: `conf/worker.yml`");
            continue;
        }
        files.insert(path.value.clone(), fill(text.text(), text.place, &names, context).text);
    }
    let within = |dir: &String, file: &String| Path::new(file).starts_with(dir) && dir != file;
    if let Some(both) = files.keys().find(|dir| files.keys().any(|file| within(dir, file))) {
        let place = role.files.place().unwrap_or_default();
        context
            .report
            .add(Code::Name, place, format!("`{both}` cannot be a file and a folder"))
            .hint("choose another name for one of the two");
    }
    files
}

fn words(given: &[Placed<Word>], names: &[String], context: &mut Context<'_, '_>) -> Vec<String> {
    given.iter().map(|word| fill(word.text(), word.place, names, context).text).collect()
}
