//! How fast virtual time passes: the pipeline beside a plain heap and tokio's paused clock, and what it
//! costs when the fleet grows.
//!
//! Every variant does the same work: 1,000 workers, a beat each 15 s, 1 % of them lost, the others
//! delivered after an exponential delay of mean 20 ms into a store with a TTL of 30 s, and a detector that
//! asks for each worker every 5 s. A beat, a delivery and a query are an event each, scheduled and executed.
//!
//! The full fleet is the reference workers and api on the protocol's own machines, through clients, links
//! and the modelled Redis: as many workers and questions, with locks and connections besides, so that a
//! message, a timer and a question are an event each. Its links are TCP's, and lose nothing.
//!
//! Each measurement is a process of its own, so that no variant's memory counts for another. The variants
//! take turns, and the table gives medians: this machine may have other work. Then the events per second
//! of processor time say more than those per second of the clock.

mod agenda;
mod child;
mod fleet;
mod heap;
mod paused;
mod pipeline;
mod workload;

use std::error::Error;
use std::process::ExitCode;

use child::Sample;
use workload::Workload;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROUNDS: usize = 3;
const DAY_S: u64 = 86_400;

/// A way to simulate the workload. To add one is to add a line to `VARIANTS`.
struct Variant {
    name: &'static str,
    run: fn(&Workload) -> Counts,
    /// What is asked of it; a slow one gets less than a day.
    span_s: u64,
}

/// What a variant did: that it is the same work shows in the counts.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    events: u64,
    mistakes: u64,
}

/// The first is what the others are compared with.
const VARIANTS: &[Variant] = &[
    Variant { name: "pipeline", run: pipeline::run, span_s: DAY_S },
    Variant { name: "full fleet", run: fleet::run, span_s: DAY_S / 12 },
    Variant { name: "agenda loop", run: agenda::run, span_s: DAY_S },
    Variant { name: "binary heap", run: heap::run, span_s: DAY_S },
    Variant { name: "tokio paused", run: paused::run, span_s: DAY_S / 12 },
];

const SIZES: &[u32] = &[10, 100, 1_000, 10_000, 100_000];

fn main() -> ExitCode {
    let outcome = match child::asked() {
        Some(asked) => child::answer(&asked),
        None => bench(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the simulator's benchmark did not run: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<()> {
    let measure = |variant: &Variant| child::measure(variant.name, &Workload::reference(variant.span_s));
    let variants = in_turns(VARIANTS, measure)?;
    print_variants(&variants);

    let cores = std::thread::available_parallelism()?.get() as u32;
    let threads: Vec<u32> = (1..=cores).collect();
    let scaled = in_turns(&threads, |threads| {
        child::measure(
            "pipeline",
            &Workload { seeds: cores * 2, threads: *threads, ..Workload::reference(DAY_S) },
        )
    })?;
    print_scaling(&threads, cores * 2, &scaled);

    let sized = in_turns(SIZES, |workers| {
        // As many events for each size.
        let span_s = DAY_S * 1_000 / u64::from(*workers);
        child::measure("pipeline", &Workload { workers: *workers, ..Workload::reference(span_s) })
    })?;
    print_sizes(&sized);
    Ok(())
}

/// `ROUNDS` samples of each, one of each in turn.
fn in_turns<T>(of: &[T], measure: impl Fn(&T) -> Result<Sample>) -> Result<Vec<Vec<Sample>>> {
    let mut samples: Vec<Vec<Sample>> = of.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (one, samples) in of.iter().zip(&mut samples) {
            samples.push(measure(one)?);
        }
    }
    Ok(samples)
}

fn print_variants(samples: &[Vec<Sample>]) {
    println!(
        "1,000 workers, one core; million events per second, medians of {ROUNDS}, in brackets least to most"
    );
    println!(
        "{:14} {:>10} {:>9} {:>22} {:>22} {:>14} {:>9}",
        "", "events", "mistakes", "by processor time", "by the clock", "pipeline is ×", "peak MiB"
    );
    let first = &samples[0];
    for (variant, samples) in VARIANTS.iter().zip(samples) {
        let ratios = first.iter().zip(samples).map(|(first, sample)| first.per_cpu_s() / sample.per_cpu_s());
        println!(
            "{:14} {:>10} {:>9} {:>22} {:>22} {:>14.2} {:>9.1}",
            variant.name,
            samples[0].events,
            samples[0].mistakes,
            spread(samples.iter().map(|sample| sample.per_cpu_s() / 1e6)),
            spread(samples.iter().map(|sample| sample.per_s() / 1e6)),
            median(ratios),
            median(samples.iter().map(|sample| sample.peak_kib as f64 / 1024.0)),
        );
    }
}

fn print_scaling(threads: &[u32], seeds: u32, samples: &[Vec<Sample>]) {
    println!("\n{seeds} seeds of the pipeline over threads; million events per second");
    println!(
        "{:>14} {:>22} {:>22} {:>10} {:>14}",
        "threads", "by processor time", "by the clock", "speed-up", "cores it got"
    );
    for (threads, of) in threads.iter().zip(samples) {
        println!(
            "{threads:>14} {:>22} {:>22} {:>10.2} {:>14.2}",
            spread(of.iter().map(|sample| sample.per_cpu_s() / 1e6)),
            spread(of.iter().map(|sample| sample.per_s() / 1e6)),
            median(samples[0].iter().zip(of).map(|(one, sample)| one.wall_s / sample.wall_s)),
            median(of.iter().map(|sample| sample.cpu_s / sample.wall_s)),
        );
    }
}

fn print_sizes(samples: &[Vec<Sample>]) {
    println!("\nthe pipeline by size; nanoseconds of processor time per event");
    println!("{:>14} {:>10} {:>22} {:>9}", "workers", "events", "ns per event", "peak MiB");
    for (workers, samples) in SIZES.iter().zip(samples) {
        println!(
            "{workers:>14} {:>10} {:>22} {:>9.1}",
            samples[0].events,
            spread(samples.iter().map(|sample| 1e9 / sample.per_cpu_s())),
            median(samples.iter().map(|sample| sample.peak_kib as f64 / 1024.0)),
        );
    }
}

fn spread(figures: impl Iterator<Item = f64> + Clone) -> String {
    let least = figures.clone().fold(f64::INFINITY, f64::min);
    let most = figures.clone().fold(0.0, f64::max);
    format!("{:.1} ({least:.1}–{most:.1})", median(figures))
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
