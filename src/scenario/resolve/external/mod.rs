//! Somebody else's fleet.

mod ask;
mod effects;
mod lines;
mod process;
mod ready;
mod template;

use super::{Context, timing};
use crate::names::Store;
use crate::scenario::decode::Placed;
use crate::scenario::diagnostic::{Code, Place, Report};
use crate::scenario::raw::fleet as raw;
use crate::scenario::scalar::Whole;
use crate::scenario::{Fleet, Stack};
use ask::{enqueue, liveness, prepare};
pub(super) use ask::{http_path, http_process, plain_text, plain_words};
use effects::{effects, state};
use process::processes;

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
    let effects = effects(external, processes.as_deref(), stores, context);
    let state = state(external, processes.as_deref(), stores, context);
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
        state,
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
