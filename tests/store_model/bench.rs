//! Many sequences abreast on one real Redis.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use syncope::live::store::{Limits, RedisStore};
use syncope::names::Store;
use syncope::protocol::{Command, Reply, StoreError};
use syncope::sim::store::redis::{Key, Value};
use syncope::time::{Span, UnixMillis};

use crate::sequence::{MEDIUM, Op, Sequence};

/// A client per sequence: each has a prefix of its own, and its own time to keep failed jobs.
pub struct Bench {
    slots: Vec<Slot>,
    url: String,
    raw: MultiplexedConnection,
    /// Of all that was done since the server was emptied: the times of old keys are no truer later on.
    slack: i64,
}

struct Slot {
    prefix: String,
    forgets: bool,
    store: RedisStore,
}

/// What the server did with one sequence.
pub struct Observed {
    pub prefix: String,
    /// One for each operation, with the server's clock before it.
    pub answers: Vec<(UnixMillis, Answer)>,
    pub keys: BTreeMap<String, Key>,
    /// The server's clock when the keys were read.
    pub read_at: UnixMillis,
    /// The longest time, in ms, between the clock before an operation and the operation itself.
    pub slack: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Replied(Result<Reply, StoreError>),
    Deleted(u64),
    Passed,
}

impl Bench {
    /// With `slots` clients, half of them for sequences that forget.
    pub async fn open(url: &str, slots: usize) -> Self {
        let patient = Duration::from_secs(30);
        let limits = Limits { connect: patient, command: patient };
        let slot = |index: usize| {
            let (prefix, forgets) = (format!("s{index}"), index % 2 == 1);
            let keep = Sequence { forgets, ops: Vec::new() }.keep_failed();
            let store = RedisStore::connect(url, &prefix, keep, limits).expect("an address");
            Slot { prefix, forgets, store }
        };
        let bench = Self {
            slots: (0..slots).map(slot).collect(),
            url: url.into(),
            raw: connect(url).await,
            slack: 0,
        };
        bench.ready().await;
        bench
    }

    /// After the server was started again.
    pub async fn reopen(&mut self) {
        self.raw = connect(&self.url).await;
        self.ready().await;
    }

    async fn ready(&self) {
        let command = Command::AwaitReady { store: Store::Redis, within: Span::from_secs(30) };
        let ready = join_all(self.slots.iter().map(|slot| slot.store.execute(&command))).await;
        assert!(ready.iter().all(|reply| *reply == Ok(Reply::Ready(true))), "every client has a connection");
    }

    /// Removes every key.
    pub async fn flush(&mut self) {
        self.slack = 0;
        redis::cmd("FLUSHALL").exec_async(&mut self.raw).await.expect("FLUSHALL");
    }

    /// Runs the sequences on an empty server.
    pub async fn run(&mut self, sequences: &[Sequence]) -> Vec<Observed> {
        self.flush().await;
        self.go_on(sequences).await
    }

    /// Runs the sequences on what is there. The same order of kinds gets the same prefixes.
    pub async fn go_on(&mut self, sequences: &[Sequence]) -> Vec<Observed> {
        let mut taken = [0, 1];
        let places: Vec<usize> = sequences
            .iter()
            .map(|sequence| {
                let next = &mut taken[usize::from(sequence.forgets)];
                *next += 2;
                *next - 2
            })
            .collect();
        let mut answers = vec![Vec::new(); sequences.len()];
        let mut slack = self.slack;
        let mut over_at = vec![UnixMillis(0); sequences.len()];
        let bench = &*self;
        for step in 0..sequences.iter().map(|sequence| sequence.ops.len()).max().unwrap_or(0) {
            let before = self.time().await;
            let turn = sequences.iter().enumerate().filter_map(|(index, sequence)| {
                let (op, slot) = (sequence.ops.get(step)?, &bench.slots[places[index]]);
                debug_assert_eq!(slot.forgets, sequence.forgets);
                Some(async move { (index, bench.perform(op, slot).await) })
            });
            for (index, answer) in join_all(turn).await {
                answers[index].push((before, answer));
            }
            let after = self.time().await;
            slack = slack.max(after.0 - before.0);
            let mut moment = UnixMillis(after.0 + 1);
            for (sequence, over_at) in sequences.iter().zip(&mut over_at) {
                match sequence.ops.get(step) {
                    Some(Op::Pass) => moment = moment.max(*over_at),
                    Some(op) if op.medium_in().is_some() => {
                        *over_at = UnixMillis(after.0 + MEDIUM.as_millis() as i64);
                    }
                    _ => {}
                }
            }
            self.wait_past(moment).await;
        }
        let read_at = self.time().await;
        self.slack = slack;
        let mut keys = self.keys().await;
        let observed = places.into_iter().zip(answers).map(|(place, answers)| {
            let prefix = self.slots[place].prefix.clone();
            let keys = keys.remove(&prefix).unwrap_or_default();
            Observed { prefix, answers, keys, read_at, slack }
        });
        let observed = observed.collect();
        assert!(keys.is_empty(), "keys that belong to no sequence: {keys:?}");
        observed
    }

    /// The server's own count of changes.
    pub async fn changes(&mut self) -> u64 {
        self.info("rdb_changes_since_last_save").await
    }

    pub async fn info(&mut self, name: &str) -> u64 {
        let text: String =
            redis::cmd("INFO").arg("persistence").query_async(&mut self.raw).await.expect("INFO");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|number| number.trim().parse().ok()).expect("a number in INFO")
    }

    pub async fn time(&self) -> UnixMillis {
        let mut raw = self.raw.clone();
        let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(&mut raw).await.expect("TIME");
        UnixMillis(seconds * 1_000 + micros / 1_000)
    }

    pub async fn wait_past(&self, moment: UnixMillis) {
        loop {
            let now = self.time().await;
            if now > moment {
                return;
            }
            tokio::time::sleep(Duration::from_millis((moment.0 - now.0).unsigned_abs() + 1)).await;
        }
    }

    async fn perform(&self, op: &Op, slot: &Slot) -> Answer {
        if let Some(command) = op.command(&slot.prefix) {
            return Answer::Replied(slot.store.execute(&command).await);
        }
        let Some(keys) = op.deleted(&slot.prefix) else { return Answer::Passed };
        let mut raw = self.raw.clone();
        Answer::Deleted(redis::cmd("DEL").arg(keys).query_async(&mut raw).await.expect("DEL"))
    }

    /// Every key of the server, by the part of its name before the first colon.
    pub async fn keys(&mut self) -> BTreeMap<String, BTreeMap<String, Key>> {
        const DUMP: &str = "
            local read = {
              string = function(key) return { redis.call('GET', key) } end,
              list = function(key) return redis.call('LRANGE', key, 0, -1) end,
              set = function(key) return redis.call('SMEMBERS', key) end,
              hash = function(key) return redis.call('HGETALL', key) end,
              zset = function(key) return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end,
            }
            local all = {}
            for _, key in ipairs(redis.call('KEYS', '*')) do
              local type = redis.call('TYPE', key).ok
              all[#all + 1] = { key, type, redis.call('PEXPIRETIME', key), read[type](key) }
            end
            return #all > 0 and cjson.encode(all) or '[]'";
        let dump: String =
            redis::cmd("EVAL").arg(DUMP).arg(0).query_async(&mut self.raw).await.expect("the dump script");
        let dump: Vec<(String, String, i64, Vec<String>)> = serde_json::from_str(&dump).expect("its JSON");
        let mut keys: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (name, kind, until, content) in dump {
            let group = name.split(':').next().unwrap_or_default().to_owned();
            let key = Key { value: value(&kind, content), until: (until >= 0).then_some(UnixMillis(until)) };
            keys.entry(group).or_default().insert(name, key);
        }
        keys
    }
}

fn value(kind: &str, content: Vec<String>) -> Value {
    let pairs = |content: &[String]| -> Vec<(String, String)> {
        content.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    };
    match kind {
        "string" => Value::Text(content.concat()),
        "list" => Value::List(content),
        "set" => {
            let mut members = content;
            members.sort();
            Value::Set(members)
        }
        "hash" => Value::Hash(pairs(&content).into_iter().collect()),
        "zset" => {
            let score = |text: String| text.parse().expect("a whole number of ms as the score");
            Value::Sorted(pairs(&content).into_iter().map(|(member, text)| (member, score(text))).collect())
        }
        other => panic!("a key of the type {other}"),
    }
}

async fn connect(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("an address");
    client.get_multiplexed_async_connection().await.expect("a connection to Redis")
}
