//! What an answer costs: 10,000 settings of a fleet of 1,000 workers, by how many threads reckon it.
//! `cargo bench --bench tune`

use std::num::NonZero;
use std::time::Instant;

use syncope::scenario::Source;
use syncope::scenario::question::read;
use syncope::tune::{Means, answer};

const QUESTION: &str = "name: bench\nsystem: redis-queue\nworkers: {now: 1000}\n\
    vary:\n  lock: {from: 1s, to: 100s, step: 1s}\n  stalled_interval: {from: 1s, to: 100s, step: 1s}\n\
    hold: {recovery: {max: 150s}, mistakes_per_day: {max: 0.01}}\n\
    bear:\n  delay: {exponential: 10ms}\n  loss: 0.001\n\
    \x20 pauses: {gap: {exponential: 1h}, lasting: {lognormal: {median: 2s, p99: 12s}}}\n\
    \x20 outages: {gap: {exponential: 168h}, lasting: {uniform: [1s, 20s]}}\n";
const TIMES: usize = 5;

fn main() {
    let question = read(&Source::new("bench.yaml", QUESTION)).expect("the question is good");
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut alone = None;
    for threads in (0..).map(|doublings| 1 << doublings).take_while(|threads| *threads <= cores) {
        let count = NonZero::new(threads).expect("at least one");
        let mut seconds: Vec<f64> = (0..TIMES)
            .map(|_| {
                let began = Instant::now();
                std::hint::black_box(answer(&question, &Means { threads: count, ..Means::of_seed(1) }));
                began.elapsed().as_secs_f64()
            })
            .collect();
        seconds.sort_by(f64::total_cmp);
        let median = seconds[TIMES / 2];
        let alone = *alone.get_or_insert(median);
        println!("{threads} threads: {median:.3} s, {:.2} times as fast as one", alone / median);
    }
}
