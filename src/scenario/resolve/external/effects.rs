//! How what a foreign fleet has done is read, and how its jobs stand.

use super::super::Context;
use super::Stores;
use super::ask::{call, exactly_one, http_path, http_process, plain_text, plain_words};
use super::lines::pattern;
use crate::names::Store;
use crate::scenario::decode::Placed;
use crate::scenario::diagnostic::{Code, Report};
use crate::scenario::raw::fleet as raw;
use crate::scenario::scalar::Flag;
use crate::scenario::{EffectQuery, Page, ProcessSpec, QueueAsk, QueueProbe};
use crate::time::Span;

pub(super) fn effects(
    external: &raw::External,
    processes: Option<&[ProcessSpec]>,
    stores: Stores<'_>,
    context: &mut Context<'_, '_>,
) -> Option<EffectQuery> {
    let placed = external.effects.given()?;
    let effects = &placed.value;
    let given = [
        ("sql", effects.sql.presence()),
        ("redis", effects.redis.presence()),
        ("http", effects.http.presence()),
        ("program", effects.program.presence()),
        ("lines", effects.lines.presence()),
    ];
    exactly_one(&given, placed.place, context.report);
    for place in [effects.sql.place(), effects.steps_sql.place()].into_iter().flatten() {
        stores.require(Store::Postgres, place, context.report);
    }
    if let Some(place) = effects.redis.place() {
        stores.require(Store::Redis, place, context.report);
    }
    let steps = effects.steps.value().is_some_and(|Flag(steps)| *steps);
    if let (true, Some(place)) = (steps, effects.steps.place()) {
        if effects.http.is_absent() && effects.program.is_absent() {
            context
                .report
                .add(
                    Code::ForeignSetting,
                    place,
                    "`steps` is about the answer to `http`, or the program's output",
                )
                .hint("of a table: `steps_sql`");
        } else if !effects.steps_sql.is_absent() {
            context
                .report
                .add(Code::OneOf, place, "`steps` cannot stand beside `steps_sql`")
                .hint("one of the two says which steps are saved");
        }
    }
    Some(EffectQuery {
        sql: effects.sql.given().map(|query| plain_text(query, context)),
        redis: effects.redis.given().and_then(|command| plain_words(command, context)),
        http: effects.http.given().and_then(|given| page(given, processes, context.report)),
        program: effects.program.given().and_then(|command| call(command, stores, &[], context)),
        lines: effects.lines.given().and_then(|given| pattern(given, &["job"], &[], context)),
        steps_sql: effects.steps_sql.given().map(|query| plain_text(query, context)),
        steps,
    })
}

pub(super) fn page(
    given: &Placed<raw::Page>,
    processes: Option<&[ProcessSpec]>,
    report: &mut Report<'_>,
) -> Option<Page> {
    let process = http_process(&given.value.process, processes, report);
    let path = http_path(&given.value.path, report);
    Some(Page { process: process?, path: path? })
}

pub(super) fn state(
    external: &raw::External,
    processes: Option<&[ProcessSpec]>,
    stores: Stores<'_>,
    context: &mut Context<'_, '_>,
) -> Option<QueueProbe> {
    let placed = external.state.given()?;
    let state = &placed.value;
    let every = context.positive(&state.every, Span::from_millis(100), "every", placed.place);
    let timeout = context.positive(&state.timeout, Span::from_secs(1), "timeout", placed.place);
    let given =
        [("redis", state.redis.presence()), ("sql", state.sql.presence()), ("http", state.http.presence())];
    exactly_one(&given, placed.place, context.report);
    let ask = if let Some(command) = state.redis.given() {
        stores.require(Store::Redis, command.place, context.report);
        QueueAsk::Redis { command: plain_words(command, context)? }
    } else if let Some(query) = state.sql.given() {
        stores.require(Store::Postgres, query.place, context.report);
        QueueAsk::Sql { query: plain_text(query, context) }
    } else {
        QueueAsk::Http(page(state.http.given()?, processes, context.report)?)
    };
    Some(QueueProbe { every, timeout, ask })
}
