//! What is asked of a foreign fleet and its stores, and how a job gets in.

use std::path::Path;

use super::super::Context;
use super::Stores;
use super::process::producer;
use super::template::{fill, job_names, link_names};
use crate::names::{Endpoint, ProcessName, Store};
use crate::scenario::decode::{Field, Placed, list, unknown};
use crate::scenario::diagnostic::{Code, Place, Report};
use crate::scenario::raw::fleet as raw;
use crate::scenario::scalar::{Text, Word};
use crate::scenario::{Ask, Call, Enqueue, Prepare, Probe, ProcessSpec, Program, WorkersAsk};
use crate::time::Span;

pub(super) fn enqueue(
    external: &raw::External,
    processes: Option<&[ProcessSpec]>,
    stores: Stores<'_>,
    context: &mut Context<'_, '_>,
) -> Option<Enqueue> {
    let placed = external.enqueue.given()?;
    let names = job_names();
    let mut used = 0;
    let mut fill = |text: &str, place, context: &mut Context<'_, '_>| {
        let filled = fill(text, place, &names, context);
        used += filled.names;
        filled.text
    };
    let enqueue = match &placed.value {
        raw::Enqueue::Redis(command) => {
            stores.require(Store::Redis, command.place, context.report);
            let given = not_empty(command, context.report)?;
            let command = given.iter().map(|word| fill(word.text(), word.place, context)).collect();
            Enqueue::Redis { command }
        }
        raw::Enqueue::Sql(statement) => {
            stores.require(Store::Postgres, statement.place, context.report);
            Enqueue::Sql { statement: fill(statement.text(), statement.place, context) }
        }
        raw::Enqueue::Http(post) => {
            let process = http_process(&post.value.process, processes, context.report);
            let path = http_path(&post.value.path, context.report)?;
            let path = fill(&path, post.value.path.place().unwrap_or(post.place), context);
            let body = match post.value.body.given() {
                Some(body) => fill(body.text(), body.place, context),
                None => fill("${spec}", post.place, context),
            };
            Enqueue::Http { process: process?, path, body }
        }
        raw::Enqueue::Call(command) => {
            let call = call(command, stores, &names, context)?;
            used = call
                .command
                .iter()
                .filter(|word| names.iter().any(|name| word.contains(&format!("${{{name}}}"))))
                .count();
            Enqueue::Call { call, links: stores.all().map(Endpoint::Store).collect() }
        }
        raw::Enqueue::Program(role) => {
            return Some(Enqueue::Program { process: Box::new(producer(role, stores, context)) });
        }
    };
    if used == 0 {
        context
            .report
            .add(Code::Template, placed.place, "the enqueue does not say which job")
            .hint("put `${job}` (the job's id) or `${spec}` (all of it, as JSON) into it");
    }
    Some(enqueue)
}

/// A program on this machine. Its words may hold the stores' addresses, and these names.
pub(super) fn call(
    command: &Placed<Vec<Placed<Word>>>,
    stores: Stores<'_>,
    names: &[String],
    context: &mut Context<'_, '_>,
) -> Option<Call> {
    let given = not_empty(command, context.report)?;
    let ends: Vec<Endpoint> = stores.all().map(Endpoint::Store).collect();
    let known: Vec<String> = names.iter().cloned().chain(link_names(&ends)).collect();
    let command = given.iter().map(|word| fill(word.text(), word.place, &known, context).text).collect();
    let folder = context.report.source().path().parent().unwrap_or(Path::new(""));
    Some(Call { command, folder: folder.to_string_lossy().into_owned() })
}

/// A command for Redis: not empty, its durations scaled.
pub(in super::super) fn plain_words(
    command: &Placed<Vec<Placed<Word>>>,
    context: &mut Context<'_, '_>,
) -> Option<Vec<String>> {
    let given = not_empty(command, context.report)?;
    Some(given.iter().map(|word| fill(word.text(), word.place, &[], context).text).collect())
}

/// A text in which nothing but durations is replaced.
pub(in super::super) fn plain_text(text: &Placed<Text>, context: &mut Context<'_, '_>) -> String {
    fill(text.text(), text.place, &[], context).text
}

pub(super) fn not_empty<'c>(
    command: &'c Placed<Vec<Placed<Word>>>,
    report: &mut Report<'_>,
) -> Option<&'c [Placed<Word>]> {
    if command.value.is_empty() {
        report
            .add(Code::MissingField, command.place, "the command is empty")
            .hint("word by word: `[LPUSH, queue, value]`");
        return None;
    }
    Some(&command.value)
}

pub(in super::super) fn http_process(
    field: &Field<crate::scenario::scalar::Name>,
    processes: Option<&[ProcessSpec]>,
    report: &mut Report<'_>,
) -> Option<ProcessName> {
    let name = field.given()?;
    let processes = processes?;
    match processes.iter().find(|process| process.name.as_str() == name.text()) {
        Some(process) if process.serves_http => Some(process.name.clone()),
        Some(process) => {
            report
                .add(Code::UnknownLink, name.place, format!("`{}` does not serve HTTP", process.name))
                .hint(match process.program {
                    Program::External { .. } => format!("add `http: true` to the role `{}`", process.role),
                    Program::Reference { .. } | Program::Table { .. } | Program::Missing { .. } => {
                        let serving = processes.iter().filter(|process| process.serves_http);
                        let serving: Vec<&str> = serving.map(|process| process.name.as_str()).collect();
                        format!(
                            "those that do: {}",
                            if serving.is_empty() { "none".into() } else { list(&serving) }
                        )
                    }
                });
            None
        }
        None => {
            let known = processes.iter().map(|process| process.name.as_str());
            unknown(Code::UnknownProcess, "process", name.text(), name.place, known, report);
            None
        }
    }
}

pub(in super::super) fn http_path(field: &Field<Text>, report: &mut Report<'_>) -> Option<String> {
    let path = field.given()?;
    if !path.text().starts_with('/') {
        report
            .add(Code::UnknownValue, path.place, "a path begins with `/`")
            .hint(format!("`/{}`", path.text()));
        return None;
    }
    Some(path.text().to_owned())
}

pub(super) fn liveness(
    external: &raw::External,
    processes: Option<&[ProcessSpec]>,
    stores: Stores<'_>,
    context: &mut Context<'_, '_>,
) -> Option<Probe> {
    let placed = external.liveness.given()?;
    let liveness = &placed.value;
    let every = context.positive(&liveness.every, Span::from_millis(100), "every", placed.place);
    let timeout = context.positive(&liveness.timeout, Span::from_secs(1), "timeout", placed.place);
    let given = [
        ("redis", liveness.redis.presence()),
        ("stalls", liveness.stalls.presence()),
        ("sql", liveness.sql.presence()),
        ("stalls_sql", liveness.stalls_sql.presence()),
        ("http", liveness.http.presence()),
        ("workers", liveness.workers.presence()),
    ];
    exactly_one(&given, placed.place, context.report);
    let ask = if let Some(command) = liveness.redis.given() {
        stores.require(Store::Redis, command.place, context.report);
        Ask::Redis { command: plain_words(command, context)? }
    } else if let Some(command) = liveness.stalls.given() {
        stores.require(Store::Redis, command.place, context.report);
        Ask::RedisStalls { command: plain_words(command, context)? }
    } else if let Some(query) = liveness.sql.given() {
        stores.require(Store::Postgres, query.place, context.report);
        Ask::Sql { query: plain_text(query, context) }
    } else if let Some(query) = liveness.stalls_sql.given() {
        stores.require(Store::Postgres, query.place, context.report);
        Ask::SqlStalls { query: plain_text(query, context) }
    } else if let Some(workers) = liveness.workers.given() {
        Ask::Workers(who_lives(workers, processes, stores, context)?)
    } else {
        let (process, path, pointer) = get(&liveness.http.given()?.value, processes, context.report)?;
        Ask::Http { process, path, pointer }
    };
    Some(Probe { every, timeout, ask })
}

fn who_lives(
    workers: &Placed<raw::Workers>,
    processes: Option<&[ProcessSpec]>,
    stores: Stores<'_>,
    context: &mut Context<'_, '_>,
) -> Option<WorkersAsk> {
    let (place, workers) = (workers.place, &workers.value);
    let given = [
        ("redis", workers.redis.presence()),
        ("sql", workers.sql.presence()),
        ("http", workers.http.presence()),
    ];
    exactly_one(&given, place, context.report);
    if let Some(command) = workers.redis.given() {
        stores.require(Store::Redis, command.place, context.report);
        Some(WorkersAsk::Redis { command: plain_words(command, context)? })
    } else if let Some(query) = workers.sql.given() {
        stores.require(Store::Postgres, query.place, context.report);
        Some(WorkersAsk::Sql { query: plain_text(query, context) })
    } else {
        let (process, path, pointer) = get(&workers.http.given()?.value, processes, context.report)?;
        Some(WorkersAsk::Http { process, path, pointer })
    }
}

fn get(
    get: &raw::Get,
    processes: Option<&[ProcessSpec]>,
    report: &mut Report<'_>,
) -> Option<(ProcessName, String, String)> {
    let process = http_process(&get.process, processes, report);
    let path = http_path(&get.path, report);
    let pointer = http_path(&get.pointer, report);
    Some((process?, path?, pointer?))
}

/// Reports none, and all but the first of several.
pub(super) fn exactly_one(given: &[(&str, Field<()>)], parent: Place, report: &mut Report<'_>) {
    let names: Vec<&str> = given.iter().map(|(name, _)| *name).collect();
    let mut there = given.iter().filter(|(_, field)| !field.is_absent());
    let Some((first, _)) = there.next() else {
        report.add(Code::OneOf, parent, "this asks nothing").hint(format!("exactly one of {}", list(&names)));
        return;
    };
    for (other, field) in there {
        report
            .add(
                Code::OneOf,
                field.place().unwrap_or(parent),
                format!("`{other}` cannot stand beside `{first}`"),
            )
            .hint(format!("exactly one of {}", list(&names)));
    }
}

pub(super) fn prepare(
    external: &raw::External,
    stores: Stores<'_>,
    context: &mut Context<'_, '_>,
) -> Vec<Prepare> {
    let mut steps = Vec::new();
    for step in external.prepare.value().into_iter().flatten() {
        match &step.value {
            raw::Prepare::Sql(statements) => {
                stores.require(Store::Postgres, statements.place, context.report);
                steps.push(Prepare::Sql(plain_text(statements, context)));
            }
            raw::Prepare::Redis(command) => {
                stores.require(Store::Redis, command.place, context.report);
                steps.extend(plain_words(command, context).map(Prepare::Redis));
            }
        }
    }
    steps
}
