//! What a real Redis has left after it was killed or stopped, for each durability.

use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use syncope::protocol::Command;
use syncope::scenario::RedisDurability;
use syncope::sim::store::Redis;
use syncope::sim::store::redis::SavePoint;
use syncope::time::{Span, UnixMillis};
use tempfile::TempDir;

use crate::bench::{Bench, Observed};
use crate::judge::{judge, key_difference};
use crate::seed;
use crate::sequence::{Op, Sequence};
use crate::servers::{await_port, free_port, mortal};

const SLOTS: usize = 16;
/// Beyond those of the other tests.
const FIRST_SEQUENCE: u64 = 1 << 32;

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Kill,
    Stop,
}

#[tokio::test]
async fn a_redis_store_without_durability_has_nothing_left() {
    for end in [End::Kill, End::Stop] {
        sequences_go_on_after(RedisDurability::None, end).await;
    }
}

#[tokio::test]
async fn a_redis_store_with_a_log_has_everything_left() {
    for durability in [RedisDurability::Aof, RedisDurability::AofAlways] {
        for end in [End::Kill, End::Stop] {
            sequences_go_on_after(durability, end).await;
        }
    }
}

#[tokio::test]
async fn a_redis_store_with_snapshots_keeps_all_over_a_stop_and_none_over_an_early_kill() {
    for end in [End::Kill, End::Stop] {
        sequences_go_on_after(RedisDurability::Rdb, end).await;
    }
}

#[tokio::test]
async fn a_killed_redis_store_falls_back_to_its_last_snapshot() {
    for _ in 0..5 {
        if falls_back_to_its_last_snapshot().await {
            return;
        }
    }
    panic!("this machine is too slow to do a few commands between two snapshots");
}

/// False if a snapshot came where none was wanted, so that nothing can be said.
async fn falls_back_to_its_last_snapshot() -> bool {
    // A part takes a second or two, and is worth a snapshot.
    let point = SavePoint { seconds: 4, changes: 20 };
    let mut server = Server::start(&["--save", "4 20", "--appendonly", "no"]);
    let mut bench = Bench::open(&server.url(), 1).await;
    let numbers = (FIRST_SEQUENCE..).step_by(2).take(3);
    // Always the same: what they change is known to be enough.
    let mut parts: Vec<Sequence> = numbers.map(|number| Sequence::random(1, number)).collect();
    let (key, worker, stamp) = ("workers:late".into(), "w1".into(), UnixMillis(1));
    let late = Command::WriteBeat { key, worker, stamp, ttl: Span::from_secs(3_600) };
    parts[1].ops.push(Op::Command(late));
    let mut model = Redis::new("s0", parts[0].keep_failed(), RedisDurability::Rdb).with_save_points(&[point]);
    let started = bench.info("rdb_last_save_time").await;
    model.start(UnixMillis(started as i64 * 1_000));
    let first = run(&mut bench, &parts[0]).await;
    agrees(&mut model, &parts[0], &first);
    let changes = bench.changes().await;
    if is_due(bench.time().await, started, point) {
        return false;
    }
    assert_eq!(changes, model.unsaved_changes(), "changes of the first part");
    assert!(model.unsaved_changes() >= point.changes, "the first part is worth a snapshot");
    let saved = saved_after(&mut bench, first.read_at).await;
    let second = run(&mut bench, &parts[1]).await;
    let changes = bench.changes().await;
    let too_late = is_due(bench.time().await, saved, point);
    server.end(End::Kill);
    if too_late {
        return false;
    }
    agrees(&mut model, &parts[1], &second);
    assert_eq!(changes, model.unsaved_changes(), "changes since the snapshot");
    model.crash(second.read_at);
    server.resume();
    bench.reopen().await;
    let started = bench.time().await;
    model.start(started);
    let left = bench.keys().await.remove("s0").unwrap_or_default();
    assert_eq!(key_difference(&left, &model.keys(started), first.slack + 1), None);
    assert_ne!(left, second.keys, "what came after the snapshot is lost");
    let third = run(&mut bench, &parts[2]).await;
    agrees(&mut model, &parts[2], &third);
    true
}

/// Whether the next snapshot may have begun.
fn is_due(now: UnixMillis, saved: u64, point: SavePoint) -> bool {
    now.0 >= (saved as i64 + i64::from(point.seconds)) * 1_000
}

/// Sixteen sequences, the server's end and start, and the second half of the same.
async fn sequences_go_on_after(durability: RedisDurability, end: End) {
    let mut server = Server::start(options(durability));
    let mut bench = Bench::open(&server.url(), SLOTS).await;
    let numbers = FIRST_SEQUENCE..FIRST_SEQUENCE + SLOTS as u64;
    let sequences: Vec<_> = numbers.map(|number| Sequence::random(seed(), number)).collect();
    let halves = |from: fn(&[Op]) -> &[Op]| -> Vec<Sequence> {
        let half = |s: &Sequence| Sequence { forgets: s.forgets, ops: from(&s.ops).to_vec() };
        sequences.iter().map(half).collect()
    };
    // A pass between the two would be lost with the cut: it stands in the first half.
    let (first, second) = (halves(|ops| &ops[..13]), halves(|ops| &ops[13..]));
    let observed = bench.go_on(&first).await;
    let mut models: Vec<Redis> = Vec::new();
    for (sequence, observed) in first.iter().zip(&observed) {
        let mut model = Redis::new(&observed.prefix, sequence.keep_failed(), durability);
        agrees(&mut model, sequence, observed);
        models.push(model);
    }
    let at = bench.time().await;
    server.end(end);
    server.resume();
    bench.reopen().await;
    let started = bench.time().await;
    let left = bench.keys().await;
    for (model, observed) in models.iter_mut().zip(&observed) {
        match end {
            End::Kill => model.crash(at),
            End::Stop => model.stop(at),
        }
        assert!(!model.is_running());
        model.start(started);
        let real = left.get(&observed.prefix).cloned().unwrap_or_default();
        let difference = key_difference(&real, &model.keys(started), observed.slack + 1);
        assert_eq!(difference, None, "{durability:?} after {end:?}");
    }
    let observed = bench.go_on(&second).await;
    for (model, (sequence, observed)) in models.iter_mut().zip(second.iter().zip(&observed)) {
        agrees(model, sequence, observed);
    }
}

fn agrees(model: &mut Redis, sequence: &Sequence, observed: &Observed) {
    if let Some(difference) = judge(model, sequence, observed) {
        panic!("{sequence}in step {}\n{}", difference.after, difference.what);
    }
}

async fn run(bench: &mut Bench, sequence: &Sequence) -> Observed {
    bench.go_on(std::slice::from_ref(sequence)).await.pop().expect("one was run")
}

/// When the snapshot was made that holds everything up to now, in seconds.
async fn saved_after(bench: &mut Bench, moment: UnixMillis) -> u64 {
    let mut moment = moment;
    while bench.changes().await > 0 || bench.info("rdb_bgsave_in_progress").await > 0 {
        moment.0 += 20;
        bench.wait_past(moment).await;
    }
    bench.info("rdb_last_save_time").await
}

/// As the live servers are started.
fn options(durability: RedisDurability) -> &'static [&'static str] {
    match durability {
        RedisDurability::None => &["--save", "", "--appendonly", "no"],
        RedisDurability::Rdb => &["--save", "900 1 300 10 60 10000", "--appendonly", "no"],
        RedisDurability::Aof => &["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"],
        RedisDurability::AofAlways => &["--save", "", "--appendonly", "yes", "--appendfsync", "always"],
    }
}

struct Server {
    port: u16,
    directory: TempDir,
    options: Vec<String>,
    process: Option<Child>,
}

impl Server {
    fn start(options: &[&str]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Self { port: free_port(), directory, options, process: None };
        server.resume();
        server
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn end(&mut self, how: End) {
        let Some(mut process) = self.process.take() else { return };
        let signal = if how == End::Kill { Signal::KILL } else { Signal::TERM };
        let _ = kill_process(Pid::from_child(&process), signal);
        process.wait().expect("its end");
    }

    /// Starts on the same port, with the data that is left.
    fn resume(&mut self) {
        let mut command = mortal(Path::new("redis-server"));
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--dir"]);
        command.arg(self.directory.path()).args(&self.options);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().expect("redis-server starts"));
        await_port(self.port, self.process.as_mut());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end(End::Kill);
    }
}
