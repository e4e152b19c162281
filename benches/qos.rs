//! What a draw and a simulated beat cost, and the timing model's table at full length: the closed form
//! beside a simulation of so many beats that the rarest mistakes are seen a hundred times.
//! `cargo bench --bench qos`, or with another number of millions of beats: `cargo bench --bench qos -- 20`.

use std::hint::black_box;
use std::time::Instant;

use syncope::dist::{Distribution, Random, Recorded, Shape};
use syncope::sim::detectors::{Detector, Estimate, Simulation};
use syncope::time::Span;
use syncope::timing::qos::phi::Accrual;
use syncope::timing::qos::{Beats, INDEPENDENCE, NfdS};

const DRAWS: u32 = 5_000_000;
const MILLIONS: u64 = 100;

fn main() {
    let millions = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(MILLIONS);
    samplers();
    detectors();
    table(millions * 1_000_000);
}

fn ms(millis: u64) -> Span {
    Span::from_millis(millis)
}

fn samplers() {
    println!("a draw, {DRAWS} of each:");
    let recorded = Recorded::new((0..10_000).map(|i| Span::from_micros(i * i)).collect());
    for (name, distribution) in [
        ("constant", Some(Distribution::Constant(ms(20)))),
        ("uniform", Some(Distribution::Uniform { min: ms(10), max: ms(30) })),
        ("exponential", Some(Distribution::Exponential { mean: ms(20) })),
        ("normal", Some(Distribution::Normal { mean: ms(20), deviation: ms(5) })),
        ("lognormal", Some(Distribution::Lognormal { median: ms(20), p99: ms(200) })),
        ("pareto", Shape::from_thousandths(1_500).map(|shape| Distribution::Pareto { min: ms(5), shape })),
        ("empirical, 10,000 samples", recorded.map(Distribution::Empirical)),
    ] {
        let Some(distribution) = distribution else {
            continue;
        };
        let sampler = distribution.sampler();
        let mut random = Random::stream(1, "bench");
        let start = Instant::now();
        for _ in 0..DRAWS {
            black_box(sampler.sample(&mut random));
        }
        println!("  {name:27} {:6.2} ns", start.elapsed().as_nanos() as f64 / f64::from(DRAWS));
    }
    let mut random = Random::stream(1, "bench");
    let start = Instant::now();
    for _ in 0..DRAWS {
        black_box(-libm::log(black_box(random.unit_open())));
    }
    println!(
        "  {:27} {:6.2} ns",
        "(exponential by logarithm)",
        start.elapsed().as_nanos() as f64 / f64::from(DRAWS)
    );
}

fn chen() -> Beats {
    Beats::new(ms(1_000), 10_000, Distribution::Exponential { mean: ms(20) })
}

fn detectors() {
    const COUNT: u64 = 5_000_000;
    println!("a simulated beat, {COUNT} of each:");
    for (name, detector) in [
        ("NFD-S", Detector::NfdS { shift: ms(1_500) }),
        ("reset on arrival", Detector::ResetOnArrival { ttl: ms(2_500) }),
        ("φ, as Akka has it", Detector::Accrual(Accrual::akka())),
        ("φ, as Cassandra has it", Detector::Accrual(Accrual::cassandra())),
    ] {
        let start = Instant::now();
        black_box(Simulation { beats: chen(), pauses: None, detector, count: COUNT, seed: 1 }.run());
        println!("  {name:27} {:6.2} ns", start.elapsed().as_nanos() as f64 / COUNT as f64);
    }
}

/// The first columns need fewer beats: a hundred thousand mistakes are enough.
fn table(count_max: u64) {
    println!("NFD-S, η = 1 s, p_L = 0.01, D exponential with mean 0.02 s; simulated with 99 % intervals.");
    println!("{INDEPENDENCE}.");
    for detection in [1_020, 1_100, 1_160, 1_500, 2_000, 2_020, 2_160, 2_500, 3_100, 3_500] {
        let beats = chen();
        let shift = ms(detection - 1_000);
        let quality = NfdS::new(&beats, shift).quality();
        let count = ((quality.recurrence_s * 1e5) as u64).clamp(100_000, count_max);
        let observed =
            Simulation { beats, pauses: None, detector: Detector::NfdS { shift }, count, seed: 1 }.run();
        println!("T_D <= {detection} ms, {count} beats, {} mistakes", observed.mistakes);
        line("E(T_MR), s", quality.recurrence_s, Some(observed.recurrence_s));
        line("E(T_M), s", quality.duration_s, observed.duration_s);
        line("P_A", quality.query_accuracy, Some(observed.query_accuracy));
    }
}

fn line(name: &str, closed: f64, simulated: Option<Estimate>) {
    match simulated {
        Some(Estimate { value, low, high }) => {
            let place = if low <= closed && closed <= high { "inside" } else { "OUTSIDE" };
            println!("  {name:10} {closed:14.7} simulated {value:14.7}, {low:.7} to {high:.7}: {place}");
        }
        None => println!("  {name:10} {closed:14.7} simulated: no mistake"),
    }
}
