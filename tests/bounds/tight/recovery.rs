//! A killed holder's job, until it is done again: the whole, and its parts.

use syncope::check::{self, Judged, Verdict};
use syncope::history::log::History;
use syncope::scenario::{Scenario, TimeExpect};
use syncope::time::{Interval, Span};
use syncope::timing::Work;

use super::holder::{Blow, Holder, NEARLY};
use super::holders::{End, approach};
use crate::draft::System;
use crate::virtual_time::{read, simulate};

/// Fleets that put a dead holder's job back, of which one other finds it: beat, expiry, look.
fn holders() -> impl Iterator<Item = Holder> {
    const SETTINGS: [(u64, u64, u64); 2] = [(15_000, 30_000, 30_000), (10_000, 20_000, 35_000)];
    let of = |system: System| SETTINGS.map(|(beat, expiry, look)| Holder::new(system, beat, expiry, look));
    [System::Queue, System::Pool, System::Rescued].into_iter().flat_map(of)
}

/// Of the job's recovery, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Parts {
    sweep: f64,
    claim: f64,
    rest: f64,
    total: f64,
}

impl Parts {
    fn of(judged: &Judged) -> Self {
        let [recovery] = judged.recovery_parts_ms.as_slice() else {
            panic!("one job was struck once: {:?}", judged.recovery_parts_ms);
        };
        let part =
            |name: &str| recovery.parts.iter().filter(|(part, _)| part == name).map(|(_, ms)| ms).sum();
        Self {
            sweep: part("to_sweep"),
            claim: part("to_claim"),
            rest: part("to_done"),
            total: recovery.total_ms,
        }
    }
}

fn kill(holder: &Holder, after: u64) -> (Scenario, History, Parts) {
    let text = holder.text(Blow::Kill { after });
    let scenario = read(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let (judged, history) = simulate(&text, &scenario, 1);
    assert_eq!(judged.verdict, Verdict::Pass, "{:?}\n{text}", judged.reasons);
    let parts = Parts::of(&judged);
    (scenario, history, parts)
}

/// The model's bound of the whole, in milliseconds, if so much is left of the job itself.
fn bound(scenario: &Scenario, rest: f64) -> (f64, f64) {
    let rest = Interval::exactly(Span::from_nanos((rest * 1e6) as u64));
    let work = Work { rest, longest_job: Span::ZERO, ahead: 0, slots: 1 };
    let pipeline = scenario.fleet.pipeline.as_ref().expect("a reference system has a model");
    let total = pipeline.recovery(&work).expect("its jobs are put back").total();
    (total.min().as_millis_f64(), total.max().as_millis_f64())
}

/// The one job's whole recovery, and the model's bound of it given what was left of the job; milliseconds.
/// `None` if it was not done in the end.
pub(super) fn whole(scenario: &Scenario, judged: &Judged) -> Option<(f64, (f64, f64))> {
    let parts = (!judged.recovery_parts_ms.is_empty()).then(|| Parts::of(judged))?;
    Some((parts.total, bound(scenario, parts.rest)))
}

/// Of the queue and the pool: beside their detection, in `queue`.
#[test]
fn the_whole_reaches_both_ends() {
    for holder in holders().filter(|holder| holder.system == System::Rescued) {
        for end in [End::Least, End::Most] {
            let (at, _) = approach(holder, end);
            let (scenario, history, parts) = kill(&at, end.after(holder.beat));
            let (least, most) = bound(&scenario, parts.rest);
            let aim = if end == End::Least { least } else { most };
            println!("{:?} {end:?}: {:.0} ms of {aim:.0}", holder.system, parts.total);
            assert!((parts.total - aim).abs() <= aim / 100.0, "{end:?}: {parts:?} of {aim}: {at:?}");
            // The same judged by a model that is a tenth off.
            let limits = if end == End::Least { (least * 1.1, most) } else { (least, most * 0.9) };
            let ends = [limits.0, limits.1].map(|ms| Span::from_nanos((ms * 1e6) as u64));
            let mut mutant = scenario;
            mutant.expect.recovery_time = TimeExpect::Within(Interval::new(ends[0], ends[1]));
            let judged = check::judge(&mutant, &history);
            let found = judged.checks.iter().any(|c| c.name == "recovery_time" && c.verdict == Verdict::Fail);
            assert!(found, "{end:?}: a bound that is a tenth off is found: {at:?}");
        }
    }
}

/// The detection's ends are reached in `holders` and `queue`, and the requeue is in the act of it; then a
/// free worker asks again after anything up to its poll.
#[test]
fn the_wait_for_a_claim_reaches_both_ends() {
    for holder in holders() {
        for aim in [0.003, 0.997] {
            let share = approach_poll(holder, aim);
            println!("{:?}: a claim after {share:.3} of the poll", holder.system);
            assert!((share - aim).abs() <= 0.007, "{share} of the poll, not {aim}: {holder:?}");
        }
    }
}

/// Moves the polls against the looks, both of which run from the other's start, until the claim comes
/// after that share of the poll.
fn approach_poll(holder: Holder, aim: f64) -> f64 {
    let mut poll = holder.look as f64 / 5.0;
    let mut nearest = f64::MAX;
    for _ in 0..12 {
        // The first worker has the job before the other is back.
        let holder = Holder { claim_poll: poll as u64, ..holder.with_phase(holder.look / 3) };
        let (.., parts) = kill(&holder, NEARLY);
        assert!(parts.claim <= poll + 5.0, "{parts:?} with a poll of {poll} ms");
        let share = parts.claim / poll;
        if (share - aim).abs() < (nearest - aim).abs() {
            nearest = share;
        }
        if (nearest - aim).abs() <= 0.007 {
            break;
        }
        let up = (holder.blow_after(NEARLY) - holder.other_back) as f64 + parts.sweep + parts.claim;
        poll += (aim * poll - parts.claim) / (up / poll);
    }
    nearest
}
