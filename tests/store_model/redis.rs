//! The modelled Redis against a real one.

use std::time::Instant;

use syncope::scenario::RedisDurability;
use syncope::sim::store::Redis;

use crate::bench::{Bench, Observed};
use crate::judge::{Difference, judge};
use crate::sequence::{Sequence, is_certain};
use crate::servers::RedisServer;
use crate::shrink::shrink;
use crate::{seed, sequences};

pub const SLOTS: usize = 256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_modelled_redis_store_does_what_a_real_one_does() {
    let server = RedisServer::start();
    let mut bench = Bench::open(&server.url(), SLOTS).await;
    let begun = Instant::now();
    let (mut commands, mut slack, mut doubted) = (0, 0, 0);
    for first in (0..sequences()).step_by(SLOTS) {
        let last = sequences().min(first + SLOTS as u64);
        let batch: Vec<Sequence> = (first..last).map(|number| Sequence::random(seed(), number)).collect();
        bench.flush().await;
        let before = bench.changes().await;
        let observed = bench.go_on(&batch).await;
        let real_changes = bench.changes().await - before;
        let mut changes = 0;
        for (sequence, observed) in batch.iter().zip(&observed) {
            let mut model = modelled(sequence, observed);
            if judge(&mut model, sequence, observed).is_some() {
                doubted += 1;
                confirm(&mut bench, sequence).await;
            }
            changes += model.unsaved_changes();
            commands += sequence.ops.len();
            slack = slack.max(observed.slack);
        }
        assert!(doubted > 0 || changes == real_changes, "changes: server {real_changes}, model {changes}");
    }
    let (count, took) = (sequences(), begun.elapsed());
    println!("{count} sequences, {commands} commands, no difference, {took:.1?};");
    println!("{doubted} were run again, a step took at most {slack} ms");
}

pub fn modelled(sequence: &Sequence, observed: &Observed) -> Redis {
    Redis::new(&observed.prefix, sequence.keep_failed(), RedisDurability::Aof)
}

/// A difference that the sequence shows again, without others beside it, is one.
async fn confirm(bench: &mut Bench, sequence: &Sequence) {
    let differs = |observed: &Observed, sequence: &Sequence| {
        judge(&mut modelled(sequence, observed), sequence, observed)
    };
    let again = run_alone(bench, sequence).await;
    let Some(difference) = differs(&again, sequence) else { return };
    let (shrunk, difference) = shrunk(bench, sequence, difference, differs).await;
    panic!(
        "the modelled store differs from the server after\n{shrunk}in step {}\n{}",
        difference.after, difference.what
    );
}

async fn run_alone(bench: &mut Bench, sequence: &Sequence) -> Observed {
    bench.run(std::slice::from_ref(sequence)).await.pop().expect("one was run")
}

/// The shortest sequence found for which `differs` still has something to say, with that.
async fn shrunk(
    bench: &mut Bench,
    sequence: &Sequence,
    difference: Difference,
    differs: impl Fn(&Observed, &Sequence) -> Option<Difference>,
) -> (Sequence, Difference) {
    let forgets = sequence.forgets;
    let mut found = difference;
    let ops = shrink(sequence.ops[..found.after].to_vec(), async |candidates| {
        let certain = candidates.iter().enumerate().filter(|(_, ops)| is_certain(ops));
        let (places, candidates): (Vec<usize>, Vec<Sequence>) =
            certain.map(|(place, ops)| (place, Sequence { forgets, ops: ops.clone() })).unzip();
        let observed = bench.run(&candidates).await;
        let mut judged = places.iter().zip(candidates.iter().zip(&observed));
        judged.find_map(|(place, (candidate, observed))| {
            found = differs(observed, candidate)?;
            Some(*place)
        })
    });
    let ops = ops.await;
    (Sequence { forgets, ops }, found)
}
