//! What a fault does within the server: keys that expire or go, and a limit on its memory.

use super::Redis;
use super::keys::Keyspace;
use super::lease::after;
use crate::fault::trouble::{Eviction, matches};
use crate::protocol::{Command, StoreError};
use crate::time::{Span, UnixMillis};

/// As the server says it.
const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";
/// What the server keeps beside the text of a key, and beside that of an element of its value, at most.
const BESIDE_KEY: usize = 256;
const BESIDE_ELEMENT: usize = 96;
const DISK_FULL: &str = "MISCONF Errors writing to the AOF file: No space left on device";

impl Redis {
    /// FLUSHALL. How many keys there were.
    pub fn wipe(&mut self, now: UnixMillis) -> u64 {
        if !self.running {
            return 0;
        }
        self.at(now);
        let known = self.keys.all(now, &self.prefix).len() as u64;
        let changes = self.keys.changes() + known;
        self.keys = Keyspace::default();
        self.keys.changes = changes;
        self.disk.written(now, &self.keys);
        known
    }

    /// The names that match one of the patterns.
    #[must_use]
    pub fn matching(&self, now: UnixMillis, patterns: &[String]) -> Vec<String> {
        let names = self.keys(now).into_keys();
        names.filter(|name| patterns.iter().any(|pattern| matches(pattern, name))).collect()
    }

    /// PEXPIRE of a key that holds a text. False for every other key: those expire by being deleted
    /// at their time ([`Redis::delete_keys`]).
    pub fn expire_text(&mut self, now: UnixMillis, name: &str, ttl: Span) -> bool {
        let until = after(now, ttl);
        self.keys.expire_text(now, &self.prefix, name, until)
    }

    /// Whether it is over its limit, and by more than all its keys take: commands which may need memory
    /// are refused, and the keys that the policy gives up are gone before the next command. How many of
    /// them there were.
    pub fn set_over_memory(&mut self, now: UnixMillis, over: Option<Eviction>) -> usize {
        self.over_memory = over;
        if !self.running {
            return 0;
        }
        self.at(now);
        let evicted = self.evict(now);
        self.disk.written(now, &self.keys);
        evicted
    }

    /// Before anything else is done with the keys (`performEvictions` in Redis's `evict.c`).
    pub(super) fn evict(&mut self, now: UnixMillis) -> usize {
        let Some(policy) = self.over_memory.filter(|policy| *policy != Eviction::Noeviction) else {
            return 0;
        };
        let keys = self.keys.all(now, &self.prefix).into_iter();
        let go: Vec<String> =
            keys.filter(|(_, key)| policy.gives_up(key.until.is_some())).map(|(name, _)| name).collect();
        go.iter().filter(|name| self.keys.delete(now, &self.prefix, name)).count()
    }

    /// At most so many bytes are what the keys take that the policy gives up.
    pub fn size_of_keys(&self, now: UnixMillis, policy: Eviction) -> usize {
        let keys = self.keys(now).into_iter();
        let go = keys.filter(|(_, key)| policy.gives_up(key.until.is_some()));
        go.map(|(name, key)| {
            let elements = key.value.parts().map(|text| size(text, BESIDE_ELEMENT));
            size(&name, BESIDE_KEY) + elements.sum::<usize>()
        })
        .sum()
    }

    /// Whether the append-only file cannot be written, so that commands which write are refused. Keys
    /// expire all the same.
    pub const fn set_disk_full(&mut self, full: bool) {
        self.disk_full = full;
    }

    /// Such a server answers no PING either (`processCommand` in Redis's `server.c`).
    pub fn answers_ping(&self) -> Result<(), StoreError> {
        if self.disk_full { Err(StoreError::Rejected(DISK_FULL.to_owned())) } else { Ok(()) }
    }

    /// A script is refused at its first command that may need memory, unless it has written before:
    /// it is not stopped half-way (`scriptVerifyOOM` in Redis's `script.c`).
    pub(super) fn refusal(&mut self, now: UnixMillis, command: &Command) -> Option<StoreError> {
        if self.disk_full && self.writes(now, command) {
            return Some(StoreError::Rejected(DISK_FULL.to_owned()));
        }
        let refused = self.over_memory.is_some()
            && match command {
                Command::WriteBeat { .. } | Command::AcquireLock { .. } | Command::CheckStalled { .. } => {
                    true
                }
                Command::Enqueue { queue, job } => !self.keys.queue(queue).0.knows(&job.id),
                Command::Claim { queue, .. } => !self.keys.queue(queue).0.has_due(now),
                _ => false,
            };
        refused.then(|| StoreError::Rejected(OUT_OF_MEMORY.to_owned()))
    }

    /// Whether it comes to a command that writes, whatever that would change: a script is refused there
    /// (`scriptVerifyWriteCommandAllow` in Redis's `script.c`).
    fn writes(&mut self, now: UnixMillis, command: &Command) -> bool {
        match command {
            Command::WriteBeat { .. }
            | Command::AcquireLock { .. }
            | Command::CheckStalled { .. }
            | Command::Claim { .. } => true,
            Command::RenewLock { key, token, .. } | Command::ReleaseLock { key, token } => {
                self.keys.texts.get(now, key).is_some_and(|holder| holder.is(token))
            }
            Command::Enqueue { queue, job } => !self.keys.queue(queue).0.knows(&job.id),
            Command::ExtendLock { queue, job, token, .. }
            | Command::Complete { queue, job, token }
            | Command::Fail { queue, job, token, .. }
            | Command::Release { queue, job, token } => self.keys.queue(queue).0.holds_lock(now, job, token),
            _ => false,
        }
    }
}

/// Its allocator rounds up by a quarter at most.
fn size(text: &str, beside: usize) -> usize {
    text.len() + text.len() / 4 + beside
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Backoff, JobSpec, Reply};
    use crate::scenario::RedisDurability;

    fn server() -> Redis {
        Redis::new("a:b", Span::from_secs(60), RedisDurability::Aof)
    }

    fn at(millis: i64) -> UnixMillis {
        UnixMillis(1_000_000 + millis)
    }

    fn beat() -> Command {
        let ttl = Span::from_secs(30);
        Command::WriteBeat { key: "a:b:beat".into(), worker: "worker-1".into(), stamp: at(0), ttl }
    }

    fn enqueue() -> Command {
        let job = JobSpec {
            id: "job-1".into(),
            steps: vec![Span::from_millis(1)],
            attempts: 1,
            backoff: Backoff::Fixed(Span::ZERO),
            delay: Span::ZERO,
            timeout: None,
            failing_attempts: 0,
            hanging_attempts: 0,
            tool: None,
        };
        Command::Enqueue { queue: "regular".into(), job }
    }

    #[test]
    fn a_server_over_its_memory_refuses_what_needs_more_of_it() {
        let mut server = server();
        server.set_over_memory(at(0), Some(Eviction::Noeviction));
        let refused = Err(StoreError::Rejected(OUT_OF_MEMORY.to_owned()));
        assert_eq!(server.execute(at(0), &beat()), refused);
        assert_eq!(server.execute(at(0), &enqueue()), refused);
        assert_eq!(
            server.execute(at(0), &Command::ReadBeat { key: "a:b:beat".into() }),
            Ok(Reply::Beat(None))
        );
        server.set_over_memory(at(0), None);
        assert_eq!(server.execute(at(0), &beat()), Ok(Reply::Done));
    }

    #[test]
    fn a_server_with_a_full_disk_refuses_what_writes_and_reads_on() {
        let mut server = server();
        let (job, token, lock) = ("job-1".into(), "mine".into(), Span::from_secs(30));
        let held = |token| Command::ExtendLock { queue: "regular".into(), job, token, lock };
        server.execute(at(0), &enqueue()).unwrap();
        let claim = Command::Claim { queue: "regular".into(), token, lock };
        server.execute(at(0), &claim).unwrap();
        server.set_disk_full(true);
        let refused = Err(StoreError::Rejected(DISK_FULL.to_owned()));
        for writes in [beat(), claim, held("mine".into())] {
            assert_eq!(server.execute(at(1), &writes), refused, "{writes:?}");
        }
        // Their scripts end before they write.
        let other =
            Command::ExtendLock { queue: "regular".into(), job: "job-1".into(), token: "other".into(), lock };
        assert_eq!(server.execute(at(1), &other), Ok(Reply::Held(false)));
        assert_eq!(server.execute(at(1), &enqueue()), Ok(Reply::Enqueued(false)));
        assert!(server.answers_ping().is_err());
        server.set_disk_full(false);
        assert_eq!(server.execute(at(2), &beat()), Ok(Reply::Done));
    }

    #[test]
    fn keys_expire_by_pattern_and_a_text_that_is_set_again_stays() {
        let mut server = server();
        server.execute(at(0), &beat()).unwrap();
        server.execute(at(0), &enqueue()).unwrap();
        assert_eq!(server.matching(at(0), &["a:b:b*".to_owned()]), ["a:b:beat"]);
        assert_eq!(server.matching(at(0), &["*".to_owned()]).len(), 3);
        assert!(server.expire_text(at(0), "a:b:beat", Span::from_millis(100)));
        assert!(!server.expire_text(at(0), "a:b:regular:waiting", Span::from_millis(100)));
        assert!(server.exists(at(100), "a:b:beat"));
        assert!(!server.exists(at(101), "a:b:beat"));
        server.execute(at(102), &beat()).unwrap();
        assert!(server.exists(at(10_000), "a:b:beat"));
    }

    #[test]
    fn a_server_that_evicts_gives_up_what_its_policy_allows_before_each_command() {
        let mut server = server();
        server.execute(at(0), &beat()).unwrap();
        server.execute(at(0), &enqueue()).unwrap();
        let (any, expiring) = (Eviction::AllkeysLru, Eviction::VolatileTtl);
        assert_eq!(server.size_of_keys(at(0), Eviction::Noeviction), 0);
        assert!(server.size_of_keys(at(0), expiring) < server.size_of_keys(at(0), any));
        let lock = Span::from_secs(9);
        let claim = Command::Claim { queue: "regular".into(), token: "mine".into(), lock };
        assert!(matches!(server.execute(at(0), &claim), Ok(Reply::Claimed(Some(_)))));
        // The beat and the job's lock.
        assert_eq!(server.set_over_memory(at(1), Some(expiring)), 2);
        assert!(!server.exists(at(1), "a:b:beat"));
        let extend =
            Command::ExtendLock { queue: "regular".into(), job: "job-1".into(), token: "mine".into(), lock };
        assert_eq!(server.execute(at(2), &extend), Ok(Reply::Held(false)));
        assert!(server.set_over_memory(at(3), Some(any)) > 0);
        assert!(server.keys(at(3)).is_empty());
        server.set_over_memory(at(4), None);
        assert_eq!(server.execute(at(4), &beat()), Ok(Reply::Done));
        assert!(server.exists(at(5), "a:b:beat"));
    }

    #[test]
    fn a_wipe_leaves_nothing() {
        let mut server = server();
        server.execute(at(0), &beat()).unwrap();
        server.execute(at(0), &enqueue()).unwrap();
        assert_eq!(server.wipe(at(1)), 3);
        assert!(server.keys(at(1)).is_empty());
        assert_eq!(server.wipe(at(1)), 0);
    }
}
