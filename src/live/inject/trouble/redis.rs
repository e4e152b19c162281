//! Troubles within Redis.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;

use super::{COMMAND_LIMIT, seen};
use crate::fault::trouble::{Eviction, MemoryLimit};
use crate::live::clock;
use crate::live::inject::Effect;
use crate::live::observe::connection::Redis;
use crate::live::provision::StoreInstance;
use crate::time::Span;

/// More keys than this are not looked at.
const KEYS_MAX: usize = 100_000;
const SCAN_COUNT: usize = 1_000;
/// Written and deleted again, to see whether the server takes a write.
const PROBE_KEY: &str = "syncope:probe:write";
const MILLION: u128 = 1_000_000;

/// One transaction a batch, so that a fleet that writes a key again at once does not hide its expiry.
pub(super) async fn expire(
    store: &StoreInstance,
    patterns: &[String],
    after: Span,
) -> Result<Effect, String> {
    let redis = Redis::new(COMMAND_LIMIT);
    let keys = matching(&redis, store, patterns).await?;
    let mut pipe = redis::pipe();
    pipe.atomic();
    let millis = after.as_nanos().div_ceil(1_000_000);
    for key in &keys {
        pipe.cmd("PEXPIRE").arg(key).arg(millis);
    }
    let from = clock::monotonic();
    let set: Vec<u64> = redis.ask(store, &pipe).await?;
    let until = clock::monotonic();
    let expiring = set.iter().sum::<u64>();
    let named: Vec<&str> = keys.iter().take(5).map(String::as_str).collect();
    let more = if keys.len() > named.len() { ", …" } else { "" };
    let proof = format!("PEXPIRE {millis}: {expiring} of {} keys ({}{more})", keys.len(), named.join(", "));
    // Nothing expires: what the fault is about was not there.
    if expiring == 0 { Err(proof) } else { Ok(Effect { from, until, proof }) }
}

async fn matching(
    redis: &Redis,
    store: &StoreInstance,
    patterns: &[String],
) -> Result<BTreeSet<String>, String> {
    let mut keys = BTreeSet::new();
    for pattern in patterns {
        let mut cursor = 0u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SCAN_COUNT);
            let (next, found): (u64, Vec<String>) = redis.ask(store, &scan).await?;
            keys.extend(found);
            if keys.len() > KEYS_MAX {
                return Err(format!("more than {KEYS_MAX} keys match"));
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    Ok(keys)
}

pub(super) async fn wipe(store: &StoreInstance) -> Result<Effect, String> {
    let redis = Redis::new(COMMAND_LIMIT);
    let mut pipe = redis::pipe();
    pipe.atomic().cmd("DBSIZE").cmd("FLUSHALL").ignore().cmd("DBSIZE");
    let from = clock::monotonic();
    let (before, after): (u64, u64) = redis.ask(store, &pipe).await?;
    let until = clock::monotonic();
    let proof = format!("FLUSHALL: {before} keys before, {after} after");
    if before == 0 || after != 0 { Err(proof) } else { Ok(Effect { from, until, proof }) }
}

/// The server's settings before it was limited.
pub(super) struct Memory {
    limit: String,
    policy: String,
    evicted: u64,
    refuses: bool,
}

pub(super) async fn limit_memory(
    store: &StoreInstance,
    limit: MemoryLimit,
    policy: Eviction,
) -> Result<(Effect, Memory), String> {
    let redis = Redis::new(COMMAND_LIMIT);
    let used = figure(&redis, store, "memory", "used_memory").await?;
    let before = Memory {
        limit: setting(&redis, store, "maxmemory").await?,
        policy: setting(&redis, store, "maxmemory-policy").await?,
        evicted: figure(&redis, store, "stats", "evicted_keys").await?,
        refuses: policy == Eviction::Noeviction,
    };
    let most = match limit {
        MemoryLimit::Share(ppm) => {
            u64::try_from(u128::from(used) * u128::from(ppm) / MILLION).unwrap_or(u64::MAX).max(1)
        }
        MemoryLimit::Bytes(bytes) => bytes,
    };
    let from = clock::monotonic();
    configure(&redis, store, &most.to_string(), policy.as_str()).await?;
    let until = clock::monotonic();
    let read =
        (setting(&redis, store, "maxmemory").await?, setting(&redis, store, "maxmemory-policy").await?);
    let mut proof = format!("maxmemory is {} with {}, of {used} bytes in use", read.0, read.1);
    if read != (most.to_string(), policy.as_str().to_owned()) {
        return undone(&redis, store, &before, proof).await;
    }
    if before.refuses && most < used {
        match written(&redis, store).await {
            Err(refused) => proof = format!("{proof}; a write was refused: {refused}"),
            Ok(()) => {
                return undone(&redis, store, &before, format!("{proof}; a write was taken")).await;
            }
        }
    }
    Ok((Effect { from, until, proof }, before))
}

/// What is not proved must not go on.
async fn undone<T>(
    redis: &Redis,
    store: &StoreInstance,
    before: &Memory,
    reason: String,
) -> Result<T, String> {
    match configure(redis, store, &before.limit, &before.policy).await {
        Ok(()) => Err(reason),
        Err(error) => Err(format!("{reason}; and it could not be set back: {error}")),
    }
}

impl Memory {
    pub(super) async fn restore(self, store: &StoreInstance) -> Result<String, String> {
        let redis = Redis::new(COMMAND_LIMIT);
        configure(&redis, store, &self.limit, &self.policy).await?;
        let read = setting(&redis, store, "maxmemory").await?;
        written(&redis, store).await.map_err(|error| format!("a write is still refused: {error}"))?;
        let evicted = figure(&redis, store, "stats", "evicted_keys").await?.saturating_sub(self.evicted);
        let policy = self.policy;
        Ok(format!("maxmemory is {read} with {policy} again; a write was taken; {evicted} keys were evicted"))
    }
}

async fn written(redis: &Redis, store: &StoreInstance) -> Result<(), String> {
    redis.ask::<()>(store, redis::cmd("SET").arg(PROBE_KEY).arg(1)).await?;
    redis.ask::<()>(store, redis::cmd("DEL").arg(PROBE_KEY)).await
}

/// More than a page, so that it does not fit into what is left of the file's last one.
const LARGE_BYTES: usize = 16 * 1024;

/// Writes until the append-only file cannot take it.
pub(super) async fn file_refused(store: &StoreInstance) -> Result<String, String> {
    let redis = Redis::new(COMMAND_LIMIT);
    let mut large = redis::cmd("SET");
    large.arg(PROBE_KEY).arg("x".repeat(LARGE_BYTES));
    let refused = seen(|| async {
        match redis.ask::<()>(store, &large).await {
            Err(refused) if refused.contains("MISCONF") => Ok(refused),
            Err(other) => Err(format!("a write failed otherwise: {other}")),
            Ok(()) => Err("a write was taken".to_owned()),
        }
    })
    .await?;
    let status = redis.info(store, "persistence", "aof_last_write_status").await?;
    Ok(format!("aof_last_write_status is {status}; a write was refused: {refused}"))
}

pub(super) async fn file_written(store: &StoreInstance) -> Result<String, String> {
    let redis = Redis::new(COMMAND_LIMIT);
    seen(|| written(&redis, store)).await?;
    let status = redis.info(store, "persistence", "aof_last_write_status").await?;
    Ok(format!("aof_last_write_status is {status}; a write was taken"))
}

async fn configure(redis: &Redis, store: &StoreInstance, limit: &str, policy: &str) -> Result<(), String> {
    let mut pipe = redis::pipe();
    pipe.cmd("CONFIG").arg("SET").arg("maxmemory-policy").arg(policy).ignore();
    pipe.cmd("CONFIG").arg("SET").arg("maxmemory").arg(limit).ignore();
    redis.ask::<()>(store, &pipe).await
}

async fn setting(redis: &Redis, store: &StoreInstance, name: &str) -> Result<String, String> {
    let mut get = redis::cmd("CONFIG");
    get.arg("GET").arg(name);
    let found: Vec<String> = redis.ask(store, &get).await?;
    found.into_iter().nth(1).ok_or_else(|| format!("redis has no setting {name}"))
}

/// A number that INFO gives.
async fn figure(redis: &Redis, store: &StoreInstance, section: &str, name: &str) -> Result<u64, String> {
    let said = redis.info(store, section, name).await?;
    said.parse().map_err(|_| format!("redis says its {name} is {said}"))
}

/// Commands that occupy the server, one after the other, until it is told to stop.
pub(super) struct Slow {
    stop: Arc<AtomicBool>,
    commands: JoinHandle<Result<u64, String>>,
}

/// Looks at the clock until the time, in microseconds, has passed: scripts have no way to wait, and
/// hold up everybody else's commands as any slow command does.
const OCCUPY: &str = "local function now() local t = redis.call('TIME') return t[1] * 1000000 + t[2] end \
    local began = now() \
    while now() - began < tonumber(ARGV[1]) do end \
    return now() - began";

pub(super) async fn occupy(store: &StoreInstance, each: Span, every: Span) -> Result<(Effect, Slow), String> {
    let asker = Redis::new(COMMAND_LIMIT + each.saturating_mul(4));
    // Connected before, so that the first question is not held up by more than the command.
    asker.ask::<()>(store, &redis::cmd("PING")).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let from = clock::monotonic();
    let commands = tokio::spawn(repeat(store.clone(), each, every, Arc::clone(&stop)));
    let slow = Slow { stop, commands };
    // One that falls between two commands is asked again.
    let found = seen(|| async {
        if slow.commands.is_finished() {
            return Ok(None);
        }
        let asked = clock::monotonic();
        asker.ask::<()>(store, &redis::cmd("PING")).await?;
        let waited = clock::monotonic().since(asked);
        if waited.saturating_mul(2) >= each {
            Ok(Some(format!("a PING waited {waited} for a command of {each}")))
        } else {
            Err(format!("a PING took no more than {waited}"))
        }
    });
    match found.await {
        Ok(Some(proof)) => Ok((Effect { from, until: clock::monotonic().max(from), proof }, slow)),
        // It never ends by itself unless it fails.
        Ok(None) => Err(slow.stop(store).await.err().unwrap_or_else(|| "no slow command ran".to_owned())),
        Err(reason) => {
            slow.stop.store(true, Ordering::Relaxed);
            Err(reason)
        }
    }
}

async fn repeat(store: StoreInstance, each: Span, every: Span, stop: Arc<AtomicBool>) -> Result<u64, String> {
    let redis = Redis::new(COMMAND_LIMIT + each.saturating_mul(4));
    let mut command = redis::cmd("EVAL");
    command.arg(OCCUPY).arg(0).arg(each.as_nanos() / 1_000);
    let mut times = 0;
    while !stop.load(Ordering::Relaxed) {
        let next = clock::monotonic() + every;
        redis.ask::<u64>(&store, &command).await?;
        times += 1;
        tokio::time::sleep(next.since(clock::monotonic()).to_std()).await;
    }
    Ok(times)
}

impl Slow {
    pub(super) async fn stop(self, store: &StoreInstance) -> Result<String, String> {
        self.stop.store(true, Ordering::Relaxed);
        let times = self.commands.await.map_err(|error| format!("the slow commands: {error}"))??;
        let redis = Redis::new(COMMAND_LIMIT);
        redis.ask::<()>(store, &redis::cmd("PING")).await?;
        Ok(format!("{times} slow commands have run; a PING is answered"))
    }
}
