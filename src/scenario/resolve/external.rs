//! Somebody else's fleet.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Context, recipe, timing};
use crate::names::{Endpoint, HARNESS, PRODUCER, ProcessName, Store};
use crate::scenario::decode::{Field, Placed, list, unknown};
use crate::scenario::diagnostic::{Code, Place, Report};
use crate::scenario::raw::fleet as raw;
use crate::scenario::scalar::{Flag, Text, Whole, Word, check_name};
use crate::scenario::{
    Ask, EffectQuery, Enqueue, Fleet, Prepare, Probe, ProcessSpec, Program, Stack, WORKERS_MAX,
};
use crate::time::Span;

/// `None` if it is wrong beyond use, and reported.
pub(super) fn resolve(
    external: &Placed<raw::External>,
    stack: Option<&Stack>,
    context: &mut Context<'_, '_>,
) -> Option<Fleet> {
    let place = external.place;
    let external = &external.value;
    let stores = Stores { stack };
    let processes = processes(external, stores, context);
    let enqueue = enqueue(external, processes.as_deref(), stores, context);
    let liveness = liveness(external, processes.as_deref(), stores, context);
    let effects = effects(external, stores, context);
    let pipeline =
        external.timing.given().and_then(|given| timing::pipeline(given, liveness.as_ref(), context));
    let prepare = prepare(external, stores, context);
    let processes = processes?;
    if processes.is_empty() {
        let place = external.roles.place().unwrap_or(place);
        context
            .report
            .add(Code::MissingField, place, "the fleet has no process")
            .hint("at least one role: `roles: {worker: {command: […]}}`");
        return None;
    }
    Some(Fleet {
        system: "external".into(),
        processes,
        enqueue: enqueue?,
        liveness,
        effects: effects?,
        pipeline,
        prepare,
        concurrency: external.concurrency.value().map_or(1, |Whole(n)| *n as u32),
    })
}

/// Which stores there are; unknown if the stack is wrong.
#[derive(Clone, Copy)]
pub(super) struct Stores<'a> {
    pub stack: Option<&'a Stack>,
}

impl Stores<'_> {
    fn has(self, store: Store) -> bool {
        self.stack.is_none_or(|stack| match store {
            Store::Redis => stack.redis.is_some(),
            Store::Postgres => stack.postgres.is_some(),
        })
    }

    fn all(self) -> impl Iterator<Item = Store> {
        Store::ALL.into_iter().filter(move |store| self.has(*store))
    }

    pub fn require(self, store: Store, place: Place, report: &mut Report<'_>) {
        if !self.has(store) {
            report
                .add(Code::MissingStore, place, format!("{store} is not in the stack"))
                .hint(format!("add `{store}: {{}}` to the stack"));
        }
    }
}

/// A role with its processes' names: the role's own, or numbered.
fn names(role: &str, count: &Field<Whole<1, WORKERS_MAX>>) -> Vec<ProcessName> {
    match count.value() {
        Some(Whole(count)) => {
            (1..=*count).map(|index| ProcessName::from(format!("{role}-{index}"))).collect()
        }
        None => vec![ProcessName::new(role)],
    }
}

fn processes(
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
        let env = env(&spec.value, &links, context.report);
        for (position, name) in names(&role.value, &spec.value.count).into_iter().enumerate() {
            processes.push(ProcessSpec {
                name,
                role: role.value.clone(),
                index: position as u32 + 1,
                program: program.clone(),
                env: env.clone(),
                links: links.clone(),
                serves_http: spec.value.http.value().is_some_and(|Flag(http)| *http),
                grace: context.span(&spec.value.grace, Span::from_secs(10)),
                fake_clock: false,
            });
        }
    }
    Some(processes)
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
    let templates = process_templates(links);
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
        words(&command.value, &templates, context.report)
    });
    let folder = context.report.source().path().parent().unwrap_or(Path::new("")).to_owned();
    Program::External {
        command,
        image: spec.image.value().map(|image| image.0.clone()),
        working_directory: spec
            .working_directory
            .value()
            .map(|directory| folder.join(&directory.0).to_string_lossy().into_owned()),
        recipe: recipe::resolve(spec, context).map(Box::new),
    }
}

fn env(role: &raw::Role, links: &[Endpoint], report: &mut Report<'_>) -> BTreeMap<String, String> {
    let templates = process_templates(links);
    let mut env = BTreeMap::new();
    for (key, value) in role.env.value().into_iter().flat_map(|named| &named.0) {
        if key.value.is_empty() || key.value.contains(['=', '\0']) {
            report
                .add(Code::Name, key.place, "this cannot be the name of an environment variable")
                .hint("not empty, and without `=`");
        }
        check_templates(value.text(), value.place, &templates, report);
        env.insert(key.value.clone(), value.text().to_owned());
    }
    env
}

fn words(given: &[Placed<Word>], templates: &[String], report: &mut Report<'_>) -> Vec<String> {
    for word in given {
        check_templates(word.text(), word.place, templates, report);
    }
    given.iter().map(|word| word.text().to_owned()).collect()
}

/// What resolves in the environment and the command of a process.
fn process_templates(links: &[Endpoint]) -> Vec<String> {
    let own = ["name", "index", "port"].map(str::to_owned);
    let linked = links.iter().flat_map(|end| ["host", "port", "url"].map(|part| format!("{end}.{part}")));
    own.into_iter().chain(linked).collect()
}

/// What resolves where a job is enqueued.
fn job_templates() -> [String; 2] {
    ["job", "spec"].map(str::to_owned)
}

/// Reports `${…}` that resolve to nothing. How many there are is returned.
fn check_templates(text: &str, place: Place, known: &[String], report: &mut Report<'_>) -> usize {
    let mut count = 0;
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        count += 1;
        let Some(length) = rest[start..].find('}') else {
            report
                .add(Code::Template, place, "a template is not closed")
                .hint("a template ends in `}`: `${redis.url}`");
            break;
        };
        let name = &rest[start + 2..start + length];
        if !known.iter().any(|known| known == name) {
            unknown(Code::Template, "template", name, place, known.iter().map(String::as_str), report);
        }
        rest = &rest[start + length + 1..];
    }
    count
}

fn enqueue(
    external: &raw::External,
    processes: Option<&[ProcessSpec]>,
    stores: Stores<'_>,
    context: &mut Context<'_, '_>,
) -> Option<Enqueue> {
    let placed = external.enqueue.given()?;
    let templates = job_templates();
    let report = &mut *context.report;
    let (enqueue, used) = match &placed.value {
        raw::Enqueue::Redis(command) => {
            stores.require(Store::Redis, command.place, report);
            let used =
                command.value.iter().map(|w| check_templates(w.text(), w.place, &templates, report)).sum();
            (Enqueue::Redis { command: plain_words(command, report)? }, used)
        }
        raw::Enqueue::Sql(statement) => {
            stores.require(Store::Postgres, statement.place, report);
            let used = check_templates(statement.text(), statement.place, &templates, report);
            (Enqueue::Sql { statement: statement.text().into() }, used)
        }
        raw::Enqueue::Http(post) => {
            let process = http_process(&post.value.process, processes, report);
            let path = http_path(&post.value.path, report)?;
            let body = post.value.body.value().map_or("${spec}", |body| body.0.as_str());
            let body_place = post.value.body.place().unwrap_or(post.place);
            let used = check_templates(body, body_place, &templates, report)
                + check_templates(&path, post.place, &templates, report);
            (Enqueue::Http { process: process?, path, body: body.into() }, used)
        }
    };
    if used == 0 {
        report
            .add(Code::Template, placed.place, "the enqueue does not say which job")
            .hint("put `${job}` (the job's id) or `${spec}` (all of it, as JSON) into it");
    }
    Some(enqueue)
}

/// A command for Redis: not empty.
pub(super) fn plain_words(
    command: &Placed<Vec<Placed<Word>>>,
    report: &mut Report<'_>,
) -> Option<Vec<String>> {
    if command.value.is_empty() {
        report
            .add(Code::MissingField, command.place, "the command is empty")
            .hint("word by word: `[LPUSH, queue, value]`");
        return None;
    }
    Some(command.value.iter().map(|word| word.text().to_owned()).collect())
}

pub(super) fn http_process(
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

pub(super) fn http_path(field: &Field<Text>, report: &mut Report<'_>) -> Option<String> {
    let path = field.given()?;
    if !path.text().starts_with('/') {
        report
            .add(Code::UnknownValue, path.place, "a path begins with `/`")
            .hint(format!("`/{}`", path.text()));
        return None;
    }
    Some(path.text().to_owned())
}

fn liveness(
    external: &raw::External,
    processes: Option<&[ProcessSpec]>,
    stores: Stores<'_>,
    context: &mut Context<'_, '_>,
) -> Option<Probe> {
    let placed = external.liveness.given()?;
    let liveness = &placed.value;
    let every = context.positive(&liveness.every, Span::from_millis(100), "every", placed.place);
    let timeout = context.positive(&liveness.timeout, Span::from_secs(1), "timeout", placed.place);
    let report = &mut *context.report;
    let given = [
        ("redis", liveness.redis.presence()),
        ("stalls", liveness.stalls.presence()),
        ("sql", liveness.sql.presence()),
        ("http", liveness.http.presence()),
    ];
    exactly_one(&given, placed.place, report);
    let ask = if let Some(command) = liveness.redis.given() {
        stores.require(Store::Redis, command.place, report);
        Ask::Redis { command: plain_words(command, report)? }
    } else if let Some(command) = liveness.stalls.given() {
        stores.require(Store::Redis, command.place, report);
        Ask::RedisStalls { command: plain_words(command, report)? }
    } else if let Some(query) = liveness.sql.given() {
        stores.require(Store::Postgres, query.place, report);
        Ask::Sql { query: query.text().into() }
    } else {
        let get = &liveness.http.given()?.value;
        let process = http_process(&get.process, processes, report);
        let path = http_path(&get.path, report);
        let pointer = http_path(&get.pointer, report);
        Ask::Http { process: process?, path: path?, pointer: pointer? }
    };
    Some(Probe { every, timeout, ask })
}

/// Reports none, and all but the first of several.
fn exactly_one(given: &[(&str, Field<()>)], parent: Place, report: &mut Report<'_>) {
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

fn effects(
    external: &raw::External,
    stores: Stores<'_>,
    context: &mut Context<'_, '_>,
) -> Option<EffectQuery> {
    let placed = external.effects.given()?;
    let (effects, report) = (&placed.value, &mut *context.report);
    let given = [("sql", effects.sql.presence()), ("redis", effects.redis.presence())];
    exactly_one(&given, placed.place, report);
    for place in [effects.sql.place(), effects.steps_sql.place()].into_iter().flatten() {
        stores.require(Store::Postgres, place, report);
    }
    if let Some(place) = effects.redis.place() {
        stores.require(Store::Redis, place, report);
    }
    let text = |field: &Field<Text>| field.value().map(|text| text.0.clone());
    Some(EffectQuery {
        sql: text(&effects.sql),
        redis: effects.redis.given().and_then(|command| plain_words(command, report)),
        steps_sql: text(&effects.steps_sql),
    })
}

fn prepare(external: &raw::External, stores: Stores<'_>, context: &mut Context<'_, '_>) -> Vec<Prepare> {
    let report = &mut *context.report;
    let mut steps = Vec::new();
    for step in external.prepare.value().into_iter().flatten() {
        match &step.value {
            raw::Prepare::Sql(statements) => {
                stores.require(Store::Postgres, statements.place, report);
                steps.push(Prepare::Sql(statements.text().into()));
            }
            raw::Prepare::Redis(command) => {
                stores.require(Store::Redis, command.place, report);
                steps.extend(plain_words(command, report).map(Prepare::Redis));
            }
        }
    }
    steps
}
