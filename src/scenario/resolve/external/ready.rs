//! How a foreign process is asked whether it is ready.

use super::super::Context;
use super::Stores;
use super::ask::{exactly_one, http_path, not_empty};
use super::template::fill;
use crate::names::Store;
use crate::scenario::ReadyAsk;
use crate::scenario::decode::Placed;
use crate::scenario::diagnostic::Code;
use crate::scenario::raw::fleet as raw;
use crate::scenario::scalar::Flag;

/// `None` if it is not asked, or once the report says what is wrong.
pub(super) fn ready(role: &raw::Role, stores: Stores<'_>, context: &mut Context<'_, '_>) -> Option<ReadyAsk> {
    let Placed { value: ready, place } = role.ready.given()?;
    let given = [
        ("tcp", ready.tcp.presence()),
        ("http", ready.http.presence()),
        ("redis", ready.redis.presence()),
        ("sql", ready.sql.presence()),
    ];
    exactly_one(&given, *place, context.report);
    if let Some(line) = role.lines.value().and_then(|lines| lines.ready.place()) {
        context
            .report
            .add(Code::OneOf, line, "a line says when it is ready, and it is asked too")
            .hint("exactly one of `ready` and `lines: {ready: …}`");
    }
    let by_port = ready.tcp.place().or_else(|| ready.http.place());
    if let Some(place) = by_port
        && !matches!(role.http.value(), Some(Flag(true)))
    {
        context
            .report
            .add(Code::MissingField, place, "the process has no port to be asked at")
            .hint("`http: true`, and `${port}` in its environment or its command");
    }
    // The same for each of the role's processes: whose it is their names tell.
    let names = ["name", "index"].map(str::to_owned);
    if let Some(command) = ready.redis.given() {
        stores.require(Store::Redis, command.place, context.report);
        let words = not_empty(command, context.report)?.iter();
        let command = words.map(|word| fill(word.text(), word.place, &names, context).text).collect();
        Some(ReadyAsk::Redis { command })
    } else if let Some(query) = ready.sql.given() {
        stores.require(Store::Postgres, query.place, context.report);
        Some(ReadyAsk::Sql { query: fill(query.text(), query.place, &names, context).text })
    } else if ready.http.given().is_some() {
        Some(ReadyAsk::Http { path: http_path(&ready.http, context.report)? })
    } else {
        if let Some(placed) = ready.tcp.given().filter(|tcp| !tcp.value.0) {
            context
                .report
                .add(Code::OneOf, placed.place, "this asks nothing")
                .hint("`tcp: true`, or no `ready` at all");
        }
        Some(ReadyAsk::Tcp)
    }
}
