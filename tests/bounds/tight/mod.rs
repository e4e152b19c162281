//! Each end of the model's bounds is reached within 1 %: the phases that lead there are searched for.

mod heartbeat;
mod holder;
mod holders;
mod queue;
mod recovery;

use syncope::check::{Judged, Verdict};
use syncope::scenario::{Scenario, TimeExpect};
use syncope::time::{Interval, Span};

/// The model's detection bound, in nanoseconds.
fn bound(scenario: &Scenario) -> (f64, f64) {
    let pipeline = scenario.fleet.pipeline.as_ref().expect("a reference system has a model");
    let interval = pipeline.detection(Span::ZERO).interval().expect("a crash is detected");
    (interval.min().as_nanos() as f64, interval.max().as_nanos() as f64)
}

fn within_a_hundredth(measured: f64, end: f64) -> bool {
    (measured - end).abs() <= end / 100.0
}

/// The scenario as it is judged by a model whose upper end is a tenth too low, or whose lower end is a
/// tenth too high.
fn mutants(scenario: &Scenario) -> [Scenario; 2] {
    let (least, most) = bound(scenario);
    [(least, most * 0.9), (least * 1.1, most)].map(|(least, most)| {
        let interval = Interval::new(Span::from_nanos(least as u64), Span::from_nanos(most as u64));
        let mut mutant = scenario.clone();
        mutant.expect.detection_time = TimeExpect::Within(interval);
        mutant
    })
}

fn verdict_on_detection(judged: &Judged) -> Verdict {
    let check = judged.checks.iter().find(|check| check.name == "detection_time");
    check.expect("detection is judged").verdict
}
