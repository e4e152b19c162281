//! Faults within a store.

use super::Context;
use super::fault::{World, require_store};
use crate::fault::FaultKind;
use crate::fault::trouble::{DeadLetters, Eviction, MemoryLimit, Trouble};
use crate::names::Store;
use crate::scenario::RedisDurability;
use crate::scenario::decode::{Field, Placed};
use crate::scenario::diagnostic::{Code, Place};
use crate::scenario::raw::trouble as raw;
use crate::scenario::scalar::{Duration, Word, job_number};

/// `None` if something is wrong with it, and reported.
pub(super) fn expire_keys(
    raw: &Placed<raw::ExpireKeys>,
    world: &World<'_>,
    context: &mut Context<'_, '_>,
) -> Option<FaultKind> {
    require_store(Store::Redis, raw.place, world, context.report)?;
    let patterns = keys(&raw.value.keys, "a pattern: `keys: [\"syncope:test:*:lock\"]`", context)?;
    let after = context.optional(&raw.value.after).unwrap_or_default();
    Some(FaultKind::Trouble { trouble: Trouble::ExpireKeys { patterns, after }, lasting: None })
}

/// At least one.
pub(super) fn keys(
    field: &Field<Vec<Placed<Word>>>,
    hint: &str,
    context: &mut Context<'_, '_>,
) -> Option<Vec<String>> {
    let keys = field.given()?;
    if keys.value.is_empty() {
        context.report.add(Code::MissingField, keys.place, "no key is given").hint(hint);
    }
    Some(keys.value.iter().map(|key| key.text().to_owned()).collect())
}

pub(super) fn max_memory(
    raw: &Placed<raw::MaxMemory>,
    world: &World<'_>,
    context: &mut Context<'_, '_>,
) -> Option<FaultKind> {
    let limit = match raw.value.limit.value()? {
        raw::MemoryLimit::Share(share) => MemoryLimit::Share(share.value.0),
        raw::MemoryLimit::Bytes(bytes) => MemoryLimit::Bytes(bytes.value.0),
    };
    let policy = raw.value.policy.value().copied().unwrap_or(Eviction::Noeviction);
    lasting(Trouble::MaxMemory { limit, policy }, raw.place, &raw.value.lasting, world, context)
}

pub(super) fn slow(
    raw: &Placed<raw::RedisSlow>,
    world: &World<'_>,
    context: &mut Context<'_, '_>,
) -> Option<FaultKind> {
    let each = context.optional(&raw.value.command_time)?;
    let every = context.optional(&raw.value.every).unwrap_or_else(|| each.saturating_mul(2));
    lasting(Trouble::Slow { each, every: every.max(each) }, raw.place, &raw.value.lasting, world, context)
}

pub(super) fn lock_table(
    raw: &Placed<raw::LockTable>,
    world: &World<'_>,
    context: &mut Context<'_, '_>,
) -> Option<FaultKind> {
    let Word(table) = raw.value.table.value()?.clone();
    lasting(Trouble::LockTable { table }, raw.place, &raw.value.lasting, world, context)
}

pub(super) fn disk_full(
    raw: &Placed<raw::DiskFull>,
    world: &World<'_>,
    context: &mut Context<'_, '_>,
) -> Option<FaultKind> {
    let store = raw.value.store.given()?;
    let fault =
        lasting(Trouble::DiskFull { store: store.value }, store.place, &raw.value.lasting, world, context)?;
    let redis = world.stack?.redis.as_ref().filter(|_| store.value == Store::Redis);
    if redis.is_some_and(|redis| redis.durability != RedisDurability::Aof) {
        context
            .report
            .add(Code::MissingStore, store.place, "redis has no append-only file that a full disk stops")
            .label("without one it goes on, and one that syncs at each write ends")
            .hint("`redis: {durability: aof}` in the stack");
    }
    Some(fault)
}

pub(super) fn replay(
    raw: &Placed<raw::Replay>,
    world: &World<'_>,
    context: &mut Context<'_, '_>,
) -> Option<FaultKind> {
    let given = raw.value.dead_letters.given()?;
    let letters = given.value.clone();
    if let (DeadLetters::Job(job), Some(jobs)) = (&letters, world.jobs)
        && job_number(job.as_str()).is_none_or(|number| number > jobs)
    {
        context
            .report
            .add(Code::UnknownJob, given.place, format!("there is no `{job}`"))
            .hint(format!("the workload's jobs are `job-1` to `job-{jobs}`"));
    }
    if world.fleet.is_some_and(|fleet| !fleet.keeps_dead_letters()) {
        context
            .report
            .add(Code::ForeignSetting, raw.place, "this fleet keeps no dead letters in Postgres")
            .hint("of any other fleet `operator_sql` is the statement that its runbook has");
    }
    at_once(Trouble::Replay { letters }, raw.place, world, context)
}

/// One that has no undo.
pub(super) fn at_once(
    trouble: Trouble,
    place: Place,
    world: &World<'_>,
    context: &mut Context<'_, '_>,
) -> Option<FaultKind> {
    require_store(trouble.store(), place, world, context.report)?;
    Some(FaultKind::Trouble { trouble, lasting: None })
}

pub(super) fn lasting(
    trouble: Trouble,
    place: Place,
    lasting: &Field<Duration>,
    world: &World<'_>,
    context: &mut Context<'_, '_>,
) -> Option<FaultKind> {
    require_store(trouble.store(), place, world, context.report)?;
    Some(FaultKind::Trouble { trouble, lasting: Some(context.optional(lasting)?) })
}
