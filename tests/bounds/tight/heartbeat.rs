//! An on-demand checker: kills and pauses at a chosen phase of the beat.

use syncope::check::{self, Verdict};
use syncope::fault::Stage;
use syncope::history::log::History;
use syncope::history::{Sample, What};
use syncope::time::Span;

use super::{bound, mutants, verdict_on_detection, within_a_hundredth};
use crate::virtual_time::{read, simulate};

/// Milliseconds: the beat, the key's TTL, the threshold, and the backoff of two retries.
const SETTINGS: [(u64, u64, u64, u64); 3] =
    [(15_000, 30_000, 45_000, 500), (10_000, 40_000, 25_000, 1_000), (6_000, 8_000, 20_000, 0)];

fn text((interval, ttl, threshold, backoff): (u64, u64, u64, u64), fault: &str, after_ns: u64) -> String {
    format!(
        "name: tight\nfleet:\n  system: redis-heartbeat\n  workers: 1\n  settings: {{interval: {interval}ms, \
         ttl: {ttl}ms, threshold: {threshold}ms, retries: 2, retry_backoff: {backoff}ms}}\n\
         stack:\n  redis: {{durability: aof}}\n  postgres: {{}}\n\
         workload:\n  jobs: 1\n  arrival: {{every: 1s}}\n  steps: 1\n  step_time: {{constant: 10ms}}\nfaults:\n  - {fault}\n    \
         when: {{beat: {{from: 1s, after: {after_ns}ns}}}}\nsettle: 90s\n"
    )
}

/// From the kill to the first answer "offline", in nanoseconds.
fn detection(history: &History) -> f64 {
    let crash = history.events.iter().find_map(|event| match &event.ev {
        What::FaultDone { order, effective, .. } if order.stage == Stage::Onset => Some(effective.0),
        _ => None,
    });
    let crash = crash.expect("the worker was killed");
    let offline = history.events.iter().find(|event| {
        event.at > crash && matches!(event.ev, What::Probe { sample: Sample::Alive { alive: false, .. }, .. })
    });
    offline.expect("the crash was noticed").at.since(crash).as_nanos() as f64
}

/// A kill at `after_ns` past a beat: the detections of some seeds, each inside the bound, and what
/// becomes of them under the mutants.
fn kills(settings: (u64, u64, u64, u64), after_ns: u64) -> (Vec<f64>, (f64, f64), [Verdict; 2]) {
    let text =
        text(settings, "kill: {target: {process: worker-1}, signal: KILL, restart_after: 60s}", after_ns);
    let scenario = read(&text).expect("a scenario");
    let mutants = mutants(&scenario);
    let mut verdicts = [Verdict::Pass; 2];
    let detections = (1..=4).map(|seed| {
        let (judged, history) = simulate(&text, &scenario, seed);
        assert_eq!(judged.verdict, Verdict::Pass, "{:?}\n{text}", judged.reasons);
        for (mutant, verdict) in mutants.iter().zip(&mut verdicts) {
            *verdict = (*verdict).max(verdict_on_detection(&check::judge(mutant, &history)));
        }
        detection(&history)
    });
    let detections = detections.collect();
    (detections, bound(&scenario), verdicts)
}

#[test]
fn kills_at_both_ends_of_the_beat_reach_both_ends_of_the_detection_time() {
    for settings in SETTINGS {
        let (late, (least, most), [shortened, _]) = kills(settings, 0);
        let latest = late.iter().copied().fold(0.0, f64::max);
        assert!(within_a_hundredth(latest, most), "{settings:?}: {latest} of {most}");
        assert_eq!(shortened, Verdict::Fail, "{settings:?}: a bound that is a tenth too short is found");
        // A beat may come up to 2 ms late by the scheduler, never early.
        let (early, _, [_, raised]) = kills(settings, settings.0 * 1_000_000 - 1_000_000);
        let earliest = early.iter().copied().fold(f64::MAX, f64::min);
        let probe = Span::from_nanos(settings.0 * 10_000).as_nanos() as f64;
        assert!(earliest <= least * 1.01 + probe, "{settings:?}: {earliest} of {least}");
        assert_eq!(raised, Verdict::Fail, "{settings:?}: a bound that is a tenth too high is found");
        println!(
            "{settings:?}: {:.3} s of {:.3}, {:.3} s of {:.3}",
            earliest / 1e9,
            least / 1e9,
            latest / 1e9,
            most / 1e9
        );
    }
}

/// Mistakes of a pause at `after_ns` past a beat, over some seeds: the least and the most.
fn pauses(settings: (u64, u64, u64, u64), lasting_ns: u64, after_ns: u64) -> (u64, u64) {
    let text =
        text(settings, &format!("pause: {{target: {{process: worker-1}}, for: {lasting_ns}ns}}"), after_ns);
    let scenario = read(&text).expect("a scenario");
    let counts = (1..=2).map(|seed| {
        let (judged, _) = simulate(&text, &scenario, seed);
        assert_eq!(judged.verdict, Verdict::Pass, "{:?}\n{text}", judged.reasons);
        judged.mistakes.count
    });
    counts.fold((u64::MAX, 0), |(least, most), count| (least.min(count), most.max(count)))
}

#[test]
fn pauses_are_tolerated_and_seen_from_where_the_model_says() {
    for settings in SETTINGS {
        let pipeline = read(&text(settings, "pause: {target: {process: worker-1}, for: 1s}", 0))
            .expect("a scenario")
            .fleet
            .pipeline
            .expect("a model");
        let beat = settings.0 * 1_000_000;
        let probe = beat / 100;
        let (tolerated, seen) =
            (pipeline.silence_tolerated(Span::ZERO).as_nanos(), pipeline.silence_seen().as_nanos());
        // At any phase; the gravest is just before the next beat, the mildest just after one.
        for quarter in 0..=4 {
            let after = (beat * quarter / 4).min(beat - 1_000_000);
            let below = pauses(settings, tolerated * 99 / 100, after);
            assert_eq!(below, (0, 0), "{settings:?}: tolerated at {quarter} quarters of the beat");
            let (least, _) = pauses(settings, seen * 101 / 100 + 2 * probe, after);
            assert!(least > 0, "{settings:?}: seen at {quarter} quarters of the beat");
        }
        let (_, most) = pauses(settings, tolerated * 101 / 100 + 2 * probe, beat - 1_000_000);
        assert!(most > 0, "{settings:?}: just above what is tolerated one is seen");
        assert_eq!(pauses(settings, seen * 99 / 100, 0).0, 0, "{settings:?}: just below one is not seen");
    }
}
