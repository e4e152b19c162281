//! What sets a fault off.

use super::fake::Script;
use super::scene::{ONE_JOB, Scene, ms, victim};
use crate::fault::{Fault, FaultId, FaultKind, Injection, JobRef, Target, Trigger};
use crate::history::{Event, Heard, Phase, What};
use crate::names::HARNESS;
use crate::protocol::FleetEvent;
use crate::run::faults::FaultRun;
use crate::time::Instant;

fn stop_worker_1(when: &str) -> Scene {
    Scene::with(&format!("pause: {{target: {{process: worker-1}}, for: 300ms}}\n    when: {when}"))
}

/// When the first fault was due, which is when the backend fires it.
fn fired(scene: &Scene) -> Option<u64> {
    scene.run().onsets().first().map(|given| given.due)
}

#[test]
fn a_fault_at_a_time_is_ordered_ahead_and_due_on_the_dot() {
    let ran = stop_worker_1("{at: 1730ms}").run();
    let onset = &ran.onsets()[0];
    assert_eq!(onset.due, 1_730);
    assert!(onset.given < 1_730, "ordered at {}", onset.given);
}

#[test]
fn a_fault_within_a_window_is_placed_by_the_seed() {
    let moments: Vec<u64> = (0..20)
        .map(|seed| fired(&Scene { seed, ..stop_worker_1("{within: [1s, 2s]}") }).expect("it fires"))
        .collect();
    assert!(moments.iter().all(|at| (1_000..=2_000).contains(at)), "{moments:?}");
    assert!(moments.iter().any(|at| *at != moments[0]), "{moments:?}");
}

/// The `nth` event of this kind in an undisturbed run.
fn nth(nth: usize, wanted: impl Fn(&FleetEvent) -> bool) -> u64 {
    let ran = Scene::default().run();
    ran.said(|what| matches!(what, What::Fleet(event) if wanted(event)))[nth - 1].0
}

fn step_3(of: &JobRef) -> impl Fn(&FleetEvent) -> bool {
    move |event| matches!(event, FleetEvent::StepDone { job, step: 3, .. } if of.admits(job))
}

fn claimed(of: &JobRef) -> impl Fn(&FleetEvent) -> bool {
    move |event| matches!(event, FleetEvent::Claimed { job, .. } if of.admits(job))
}

#[test]
fn a_fault_fires_on_its_event() {
    let (any, job_4) = (JobRef::Any, JobRef::Job("job-4".into()));
    let table = [
        ("{step_done: {job: any, step: 3}}", nth(1, step_3(&any))),
        ("{step_done: {step: 3, nth: 4}}", nth(4, step_3(&any))),
        ("{step_done: {job: job-4, step: 3}}", nth(1, step_3(&job_4))),
        ("{step_done: {step: 3, nth: 2, after: 50ms}}", nth(2, step_3(&any)) + 50),
        ("{claimed: {}}", nth(1, claimed(&any))),
        ("{claimed: {nth: 3, after: 70ms}}", nth(3, claimed(&any)) + 70),
        ("{claimed: {job: job-4}}", nth(1, claimed(&job_4))),
    ];
    for (when, due) in table {
        assert_eq!(fired(&stop_worker_1(when)), Some(due), "{when}");
    }
}

fn beats() -> Script {
    let beat = |after: u64| FleetEvent::Beat { sent: Instant::ZERO + ms(after) };
    let says = (1..=10u64)
        .flat_map(|n| [("worker-1", ms(n * 1_000), beat(n)), ("worker-2", ms(n * 1_000 + 400), beat(n))]);
    Script { says: says.collect(), ..Script::default() }
}

#[test]
fn a_fault_fires_on_the_first_beat_that_is_meant() {
    let table = [
        ("{beat: {}}", 1_000),
        ("{beat: {process: worker-2}}", 1_400),
        ("{beat: {process: worker-1, from: 1001ms}}", 2_000),
        ("{beat: {from: 1200ms, after: 25ms}}", 1_425),
    ];
    for (when, due) in table {
        assert_eq!(fired(&Scene { script: beats(), ..stop_worker_1(when) }), Some(due), "{when}");
    }
}

#[test]
fn a_beat_that_comes_after_all_work_is_waited_for() {
    let scene = Scene { script: beats(), workload: ONE_JOB, ..stop_worker_1("{beat: {from: 5s}}") };
    assert_eq!(fired(&scene), Some(5_000));
}

#[test]
fn a_trigger_that_never_comes_does_not_keep_the_run() {
    for when in ["{claimed: {nth: 99}}", "{step_done: {step: 10, nth: 7}}", "{beat: {from: 3s}}"] {
        let ran = stop_worker_1(when).run();
        assert_eq!(ran.orders(), [], "{when}");
        assert_eq!(ran.aborted(), None);
        assert!(ran.has_phase(Phase::Judge));
        assert!(ran.took() < 25_000, "{when}: {} ms", ran.took());
    }
}

#[test]
fn a_trigger_fires_its_fault_once() {
    let ran = stop_worker_1("{claimed: {}}").run();
    assert_eq!(ran.onsets().len(), 1);
    assert_eq!(victim(&ran.onsets()[0]), "worker-1");
    assert!(matches!(ran.onsets()[0].order.injection, Injection::Pause { .. }));
}

#[test]
fn several_faults_keep_their_own_times_and_ids() {
    let fault = |worker: u32, at: u32| {
        format!("pause: {{target: {{process: worker-{worker}}}, for: 300ms}}\n    when: {{at: {at}ms}}")
    };
    let faults = vec![fault(1, 1_500), fault(2, 700), fault(3, 1_500)];
    let ran = Scene { faults, ..Scene::default() }.run();
    let mut given: Vec<_> = ran.onsets().iter().map(|g| (g.order.fault.0, g.due)).collect();
    given.sort_unstable();
    assert_eq!(given, [(0, 1_500), (1, 700), (2, 1_500)]);
}

#[test]
fn a_watch_without_an_answer_so_often_in_a_row_sets_a_fault_off() {
    let when = Trigger::Unanswered { watch: "alive".into(), times: 2, after: ms(5) };
    let kind = FaultKind::Restart { target: Target::AnyOf("worker".into()), grace: ms(1) };
    let mut fault = FaultRun::arm(&Fault { id: FaultId(0), kind, when }, Instant::ZERO, 1);
    let mut hear = |at: u64, watch: &str, is_there: bool| {
        let at = Instant::ZERO + ms(at);
        let answer = match is_there {
            true => Heard::Said("true".into()),
            false => Heard::Unknown { error: "no answer".into() },
        };
        let ev = What::Watched { watch: watch.into(), asked: at, answer };
        fault.handle(&Event { at, by: HARNESS.into(), ev }, Instant::ZERO, &mut Vec::new());
        fault.next_timeout()
    };
    for (at, watch, is_there) in
        [(1, "alive", false), (2, "other", false), (3, "alive", true), (4, "alive", false)]
    {
        assert_eq!(hear(at, watch, is_there), None, "at {at}");
    }
    assert_eq!(hear(6, "alive", false), Some(Instant::ZERO + ms(11)));
}
