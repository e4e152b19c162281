//! One transition of the modelled Redis made wrong at a time: the comparison has to find each.

use std::collections::BTreeMap;

use syncope::protocol::{Command, Reply, StoreError};
use syncope::scenario::RedisDurability;
use syncope::sim::store::Redis;
use syncope::sim::store::redis::{Key, Value};
use syncope::time::{Span, UnixMillis};

use crate::bench::{Bench, Observed};
use crate::judge::{Difference, Model, imagine, judge};
use crate::redis::{SLOTS, modelled};
use crate::seed;
use crate::sequence::{Sequence, is_certain};
use crate::servers::RedisServer;
use crate::shrink::shrink;

/// Of the imagined server's keys; any would do.
const PREFIX: &str = "s0";

#[derive(Debug, Clone, Copy)]
enum Mistake {
    ClaimCountsAnAttemptAfterAStall,
    ExtendLockLeavesTheMark,
    ExtendLockOnlySaysSo,
    ZeroDelayRetryIsDelayed,
    ReleaseCountsTheAttempt,
    AnyTokenCompletes,
    EnqueueOverwrites,
    CheckIgnoresTheGuard,
    CheckHasOnePhase,
    OneStallTooMany,
    AcquireForgetsItsHolder,
    RenewTakesAFreeLock,
    AnyTokenReleasesTheLock,
    BeatsNeverExpire,
}

const MISTAKES: [Mistake; 14] = [
    Mistake::ClaimCountsAnAttemptAfterAStall,
    Mistake::ExtendLockLeavesTheMark,
    Mistake::ExtendLockOnlySaysSo,
    Mistake::ZeroDelayRetryIsDelayed,
    Mistake::ReleaseCountsTheAttempt,
    Mistake::AnyTokenCompletes,
    Mistake::EnqueueOverwrites,
    Mistake::CheckIgnoresTheGuard,
    Mistake::CheckHasOnePhase,
    Mistake::OneStallTooMany,
    Mistake::AcquireForgetsItsHolder,
    Mistake::RenewTakesAFreeLock,
    Mistake::AnyTokenReleasesTheLock,
    Mistake::BeatsNeverExpire,
];

/// Most mistakes show within a hundred sequences; what takes two rare events in a row may need more.
const SEARCHED: u64 = 2_048;

/// The sequences are shrunk against the model, which is known to do what the server does and costs no
/// time; what is left of each is then run on the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_in_the_modelled_redis_store_is_found() {
    let server = RedisServer::start();
    let mut bench = Bench::open(&server.url(), SLOTS).await;
    let mut missing: Vec<Mistake> = MISTAKES.to_vec();
    let mut found = Vec::new();
    for first in (0..SEARCHED).step_by(SLOTS) {
        let batch: Vec<_> = (first..first + SLOTS as u64).map(|it| Sequence::random(seed(), it)).collect();
        let observed = bench.run(&batch).await;
        missing.retain(|mistake| {
            let mut judged = batch.iter().zip(&observed).zip(first + 1..);
            let seen = judged.find_map(|((sequence, observed), number)| {
                let right = judge(&mut modelled(sequence, observed), sequence, observed);
                // Where the model itself and the server differ by luck, nothing is to be seen.
                let wrong = if right.is_none() { differs(*mistake, sequence, observed) } else { None };
                wrong.map(|difference| (*mistake, number, sequence.clone(), difference))
            });
            let is_missing = seen.is_none();
            found.extend(seen);
            is_missing
        });
        if missing.is_empty() {
            break;
        }
    }
    assert!(missing.is_empty(), "{missing:?}: not found in {SEARCHED} sequences");
    let mut shrunk = Vec::new();
    for (mistake, number, sequence, difference) in found {
        let forgets = sequence.forgets;
        let ops = shrink(sequence.ops[..difference.after].to_vec(), async |candidates| {
            candidates.iter().position(|ops| {
                let sequence = Sequence { forgets, ops: ops.clone() };
                let model = Redis::new(PREFIX, sequence.keep_failed(), RedisDurability::Aof);
                let imagined = imagine(model, PREFIX, &sequence);
                is_certain(ops) && differs(mistake, &sequence, &imagined).is_some()
            })
        });
        shrunk.push((mistake, number, Sequence { forgets, ops: ops.await }));
    }
    let sequences: Vec<Sequence> = shrunk.iter().map(|(_, _, sequence)| sequence.clone()).collect();
    let observed = bench.run(&sequences).await;
    for ((mistake, number, sequence), observed) in shrunk.iter().zip(&observed) {
        let right = judge(&mut modelled(sequence, observed), sequence, observed);
        assert!(right.is_none(), "without {mistake:?} there is no difference: {right:?}");
        let wrong = differs(*mistake, sequence, observed).map(|difference| difference.what);
        let wrong = wrong.unwrap_or_else(|| panic!("{mistake:?} is not found by\n{sequence}"));
        println!("{mistake:?}: found by sequence {number}, shrunk to\n{sequence}{wrong}\n");
        assert!(sequence.ops.len() <= 8, "{mistake:?} needs no more than a few commands to be seen");
    }
}

fn differs(mistake: Mistake, sequence: &Sequence, observed: &Observed) -> Option<Difference> {
    judge(&mut Mutant::new(modelled(sequence, observed), mistake), sequence, observed)
}

struct Mutant {
    redis: Redis,
    mistake: Mistake,
    /// Queue and job: requeued after a stall and not claimed since, or marked and extended.
    jobs: Vec<(String, String)>,
}

impl Mutant {
    fn new(redis: Redis, mistake: Mistake) -> Self {
        Self { redis, mistake, jobs: Vec::new() }
    }

    fn text(&self, now: UnixMillis, key: &str) -> Option<String> {
        match self.redis.get(now, key)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The key of a queue, by what follows the queue's name.
    fn key(&self, now: UnixMillis, queue: &str, part: &str) -> Option<String> {
        let suffix = format!(":{queue}:{part}");
        self.redis.keys(now).into_keys().find(|name| name.ends_with(&suffix))
    }

    fn drop_key(&mut self, now: UnixMillis, queue: &str, part: &str) {
        let key = self.key(now, queue, part);
        self.redis.delete_keys(now, key.as_slice());
    }

    fn claim(&mut self, now: UnixMillis, queue: &str, command: &Command) -> Result<Reply, StoreError> {
        let mut reply = self.redis.execute(now, command)?;
        if let Reply::Claimed(Some(claimed)) = &mut reply {
            let known = self.jobs.iter().position(|(q, job)| q == queue && job == claimed.spec.id.as_str());
            if let Some(place) = known {
                self.jobs.remove(place);
                claimed.attempt += 1;
            }
        }
        Ok(reply)
    }

    fn check(&mut self, now: UnixMillis, queue: &str, command: &Command) -> Result<Reply, StoreError> {
        let reply = self.redis.execute(now, command)?;
        if let Reply::StalledCheck(report) = &reply {
            self.jobs.extend(report.requeued.iter().map(|job| (queue.to_owned(), job.to_string())));
        }
        Ok(reply)
    }
}

impl Model for Mutant {
    fn execute(&mut self, now: UnixMillis, command: &Command) -> Result<Reply, StoreError> {
        use Mistake as M;
        let mut changed = command.clone();
        match (self.mistake, &mut changed) {
            (M::ClaimCountsAnAttemptAfterAStall, Command::Claim { queue, .. }) => {
                return self.claim(now, queue, command);
            }
            (M::ClaimCountsAnAttemptAfterAStall, Command::CheckStalled { queue, .. }) => {
                return self.check(now, queue, command);
            }
            (M::ExtendLockLeavesTheMark, Command::ExtendLock { queue, job, .. }) => {
                let marked = self.key(now, queue, "marked").and_then(|key| self.redis.get(now, &key));
                let marks = marked.map(|key| key.value);
                let is_marked = matches!(marks, Some(Value::Set(ids)) if ids.contains(&job.to_string()));
                let reply = self.redis.execute(now, command)?;
                if is_marked && reply == Reply::Held(true) {
                    self.jobs.push((queue.to_string(), job.to_string()));
                }
                return Ok(reply);
            }
            // What else touches the marks makes them right again.
            (M::ExtendLockLeavesTheMark, Command::Claim { .. } | Command::Enqueue { .. }) => {}
            (M::ExtendLockLeavesTheMark, _) => self.jobs.clear(),
            (M::ExtendLockOnlySaysSo, Command::ExtendLock { queue, job, token, .. }) => {
                let lock = self.key(now, queue, &format!("job:{job}:lock"));
                let holder = lock.and_then(|key| self.text(now, &key));
                return Ok(Reply::Held(holder.as_deref() == Some(token)));
            }
            (M::ZeroDelayRetryIsDelayed, Command::Fail { retry_in: Some(wait), .. }) => {
                *wait = (*wait).max(Span::from_nanos(1));
            }
            (M::ReleaseCountsTheAttempt, Command::Release { queue, job, token }) => {
                let (queue, job, token) = (queue.clone(), job.clone(), token.clone());
                let (error, retry_in) = (String::new(), Some(Span::ZERO));
                changed = Command::Fail { queue, job, token, error, retry_in };
            }
            (M::AnyTokenCompletes, Command::Complete { queue, job, token }) => {
                let lock = self.key(now, queue, &format!("job:{job}:lock"));
                if let Some(holder) = lock.and_then(|key| self.text(now, &key)) {
                    *token = holder.into();
                }
            }
            (M::EnqueueOverwrites, Command::Enqueue { queue, job }) => {
                self.drop_key(now, queue, &format!("job:{}", job.id));
            }
            (M::CheckIgnoresTheGuard, Command::CheckStalled { queue, .. }) => {
                self.drop_key(now, queue, "stalled-check");
            }
            (M::CheckHasOnePhase, Command::CheckStalled { queue, .. }) => {
                let first = self.redis.execute(now, command)?;
                if !matches!(&first, Reply::StalledCheck(report) if report.ran) {
                    return Ok(first);
                }
                self.drop_key(now, queue, "stalled-check");
            }
            (M::OneStallTooMany, Command::CheckStalled { max_stalls, .. }) => *max_stalls += 1,
            (M::AcquireForgetsItsHolder, Command::AcquireLock { key, .. }) if self.redis.exists(now, key) => {
                return Ok(Reply::Held(false));
            }
            (M::RenewTakesAFreeLock, Command::RenewLock { key, token, ttl })
                if !self.redis.exists(now, key) =>
            {
                changed = Command::AcquireLock { key: key.clone(), token: token.clone(), ttl: *ttl };
            }
            (M::AnyTokenReleasesTheLock, Command::ReleaseLock { key, .. }) => {
                self.redis.delete_keys(now, &[key.to_string()]);
            }
            (M::BeatsNeverExpire, Command::WriteBeat { ttl, .. }) => *ttl = ttl.saturating_mul(10_000_000),
            _ => {}
        }
        self.redis.execute(now, &changed)
    }

    fn delete_keys(&mut self, now: UnixMillis, keys: &[String]) -> u64 {
        self.jobs.clear();
        self.redis.delete_keys(now, keys)
    }

    fn keys(&self, now: UnixMillis) -> BTreeMap<String, Key> {
        let mut keys = self.redis.keys(now);
        if !matches!(self.mistake, Mistake::ExtendLockLeavesTheMark) {
            return keys;
        }
        let prefix =
            keys.keys().next().and_then(|name| name.split(':').next()).unwrap_or_default().to_owned();
        for (queue, job) in &self.jobs {
            let none = Key { value: Value::Set(Vec::new()), until: None };
            if let Value::Set(ids) = &mut keys.entry(format!("{prefix}:{queue}:marked")).or_insert(none).value
            {
                ids.push(job.clone());
                ids.sort();
                ids.dedup();
            }
        }
        keys
    }
}
