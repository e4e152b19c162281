//! The modelled Redis: the keys of one fleet, their expiries, and what a crash leaves of them.
//!
//! It knows the keys that the protocol's commands make and no others. Names must not collide: a
//! heartbeat or a fleet-wide lock has no name that a queue uses, no job's id ends in `:lock`, and a
//! beat is not read where a lock stands. A real server would answer some of these with WRONGTYPE.

mod disk;
mod keys;
mod lease;
mod queue;
mod sorted;
mod text;
mod trouble;

use std::collections::BTreeMap;

use disk::Disk;
pub use disk::{SAVE_POINTS, SavePoint};
use keys::Keyspace;
pub use keys::{Key, Value};
use lease::{after, millis};

use super::down;
use crate::fault::trouble::Eviction;
use crate::names::JobId;
use crate::protocol::{Command, Reply, StoreError};
use crate::scenario::RedisDurability;
use crate::time::{Span, UnixMillis};

/// One server, with one fleet's keys on it.
///
/// `now`, wherever it is asked for, is the server's own wall clock: expiries and due times are stored
/// as absolute times, so a step of that clock moves them as it would on a real server.
#[derive(Debug, Clone)]
pub struct Redis {
    prefix: Box<str>,
    /// How long failed jobs are kept, in ms.
    keep_failed: i64,
    keys: Keyspace,
    disk: Disk,
    /// The clock's last reading.
    latest: UnixMillis,
    running: bool,
    /// Commands that may need memory are refused, and keys go by this policy.
    over_memory: Option<Eviction>,
    /// Commands that write are refused.
    disk_full: bool,
}

impl Redis {
    /// A running server without keys. `prefix` is the fleet's, `{app}:{env}`; failed jobs are kept
    /// for `keep_failed`, as the live client is told. The time since the last snapshot counts from
    /// the first command, or from [`Redis::start`].
    #[must_use]
    pub fn new(prefix: &str, keep_failed: Span, durability: RedisDurability) -> Self {
        Self {
            prefix: prefix.into(),
            keep_failed: millis(keep_failed).max(1),
            keys: Keyspace::default(),
            disk: Disk::new(durability),
            latest: UnixMillis(i64::MIN),
            running: true,
            over_memory: None,
            disk_full: false,
        }
    }

    /// In place of [`SAVE_POINTS`].
    #[must_use]
    pub fn with_save_points(mut self, points: &[SavePoint]) -> Self {
        self.disk.set_save_points(points);
        self
    }

    /// Allows [`Redis::crash_of_host`] for `aof`. Costs a copy of all keys in each second in which
    /// something happens.
    #[must_use]
    pub fn expecting_power_loss(mut self) -> Self {
        self.disk.follow_fsyncs();
        self
    }

    /// # Errors
    /// `Rejected` for a command of Postgres; `Unavailable` while the server does not run.
    pub fn execute(&mut self, now: UnixMillis, command: &Command) -> Result<Reply, StoreError> {
        if let Command::AwaitReady { .. } = command {
            return Ok(Reply::Ready(self.running));
        }
        if !self.running {
            return Err(down());
        }
        self.at(now);
        self.evict(now);
        if let Some(refusal) = self.refusal(now, command) {
            return Err(refusal);
        }
        let reply = self.run(now, command);
        self.disk.written(now, &self.keys);
        reply
    }

    /// DEL. How many of the keys were there; none while the server does not run.
    pub fn delete_keys(&mut self, now: UnixMillis, keys: &[String]) -> u64 {
        if !self.running {
            return 0;
        }
        self.at(now);
        let deleted = keys.iter().filter(|name| self.keys.delete(now, &self.prefix, name)).count();
        self.disk.written(now, &self.keys);
        deleted as u64
    }

    /// The hash `{prefix}:stalls`, by job: how often each was found without a lock while active.
    pub fn stalls(&self) -> impl Iterator<Item = (&JobId, u32)> {
        self.keys.stalls.iter().map(|(job, count)| (job, *count))
    }

    #[must_use]
    pub fn get(&self, now: UnixMillis, key: &str) -> Option<Key> {
        self.keys.get(now, &self.prefix, key)
    }

    /// How many of a queue's jobs are in which state.
    #[must_use]
    pub fn counts(&self, queue: &str) -> [(&'static str, usize); 5] {
        self.keys.counts(queue)
    }

    #[must_use]
    pub fn exists(&self, now: UnixMillis, key: &str) -> bool {
        self.get(now, key).is_some()
    }

    /// Every key that is there.
    #[must_use]
    pub fn keys(&self, now: UnixMillis) -> BTreeMap<String, Key> {
        self.keys.all(now, &self.prefix)
    }

    /// Changes since the last snapshot, or since the start (`rdb_changes_since_last_save`).
    #[must_use]
    pub fn unsaved_changes(&self) -> u64 {
        self.disk.unsaved_changes(&self.keys)
    }

    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.running
    }

    /// The server's process is killed; the host goes on. The append-only file is written before a
    /// command is answered, so with `aof` nothing that was acknowledged is lost; `rdb` falls back to
    /// the last snapshot, `none` to nothing.
    pub fn crash(&mut self, now: UnixMillis) {
        self.end(now, |disk, keys| disk.after_kill(keys));
    }

    /// The host loses its power. `aof` syncs its file once in each second of the clock, and falls
    /// back to the last turn of it; `aof_always` loses nothing; the others as in [`Redis::crash`].
    ///
    /// # Panics
    /// For `aof` without [`Redis::expecting_power_loss`].
    pub fn crash_of_host(&mut self, now: UnixMillis) {
        self.end(now, |disk, keys| disk.after_power_loss(keys));
    }

    /// An orderly stop, as by SIGTERM: `rdb` saves everything, `none` still nothing.
    pub fn stop(&mut self, now: UnixMillis) {
        self.end(now, |disk, keys| disk.after_stop(now, keys));
    }

    /// The server loads what it has on disk. Keys whose time passed meanwhile are gone.
    pub fn start(&mut self, now: UnixMillis) {
        self.keys.purge(now);
        self.disk.started(now, &self.keys);
        self.latest = now;
        self.running = true;
    }

    fn end(&mut self, now: UnixMillis, left: impl FnOnce(&mut Disk, Keyspace) -> Keyspace) {
        if !self.running {
            return;
        }
        self.at(now);
        let keys = std::mem::take(&mut self.keys);
        self.keys = left(&mut self.disk, keys);
        self.running = false;
    }

    /// Before anything else happens at `now`.
    fn at(&mut self, now: UnixMillis) {
        if now < self.latest {
            // The server deletes keys as they expire; when its clock is set back they stay away.
            self.keys.purge(self.latest);
        }
        self.latest = now;
        self.disk.catch_up(now, &self.keys);
    }

    fn run(&mut self, now: UnixMillis, command: &Command) -> Result<Reply, StoreError> {
        let keys = &mut self.keys;
        Ok(match command {
            Command::WriteBeat { key, worker, stamp, ttl } => {
                keys.texts.set_beat(key, worker, *stamp, after(now, *ttl));
                keys.changes += 1;
                Reply::Done
            }
            Command::ReadBeat { key } => {
                Reply::Beat(keys.texts.get(now, key).map(|text| text.stamp()).transpose()?)
            }
            Command::AcquireLock { key, token, ttl } => match keys.texts.get(now, key) {
                Some(holder) => Reply::Held(holder.is(token)),
                None => {
                    keys.texts.set_lock(key, token, after(now, *ttl));
                    keys.changes += 1;
                    Reply::Held(true)
                }
            },
            Command::RenewLock { key, token, ttl } => {
                let lock = keys.texts.get_mut(now, key).filter(|holder| holder.is(token));
                Reply::Held(lock.is_some_and(|lock| {
                    lock.value.extend(after(now, *ttl));
                    keys.changes += 1;
                    true
                }))
            }
            Command::ReleaseLock { key, token } => {
                if let Some(lock) = keys.texts.get_mut(now, key).filter(|holder| holder.is(token)) {
                    lock.value.delete();
                    keys.changes += 1;
                }
                Reply::Held(false)
            }
            Command::Enqueue { queue, job } => Reply::Enqueued(keys.queue(queue).0.enqueue(now, job)),
            Command::Claim { queue, token, lock } => {
                Reply::Claimed(keys.queue(queue).0.claim(now, token, *lock).map(Box::new))
            }
            Command::ExtendLock { queue, job, token, lock } => {
                Reply::Held(keys.queue(queue).0.extend_lock(now, job, token, *lock))
            }
            Command::Complete { queue, job, token } => {
                Reply::Held(keys.queue(queue).0.complete(now, job, token))
            }
            Command::Fail { queue, job, token, error, retry_in } => {
                let queue = keys.queue(queue).0;
                Reply::Held(queue.fail(now, job, token, error, *retry_in, self.keep_failed))
            }
            Command::Release { queue, job, token } => {
                Reply::Held(keys.queue(queue).0.release(now, job, token))
            }
            Command::CheckStalled { queue, guard, max_stalls } => {
                let (queue, stalls) = keys.queue(queue);
                let report = queue.check_stalled(now, *guard, *max_stalls, self.keep_failed, stalls);
                Reply::StalledCheck(report)
            }
            Command::AwaitReady { .. }
            | Command::SetStatus { .. }
            | Command::LoadSteps { .. }
            | Command::SaveStep { .. }
            | Command::DropSteps { .. }
            | Command::RecordEffect { .. }
            | Command::Table(_) => {
                return Err(StoreError::Rejected(format!("not a Redis command: {command:?}")));
            }
        })
    }
}

#[cfg(test)]
mod tests;
