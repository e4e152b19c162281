use proptest::prelude::*;

use super::support::{Run, at, check_of, expect};
use crate::check::Verdict::{Fail, Inconclusive, Pass};
use crate::check::judge;
use crate::fault::{FaultKind, Injection, Stage, Target};
use crate::history::log::History;
use crate::history::{EnqueueOutcome, Event, What};
use crate::names::{HARNESS, Store};
use crate::time::Scale;
use crate::timing::{Beat, Expiry};

fn quiet(end: u64) -> Run {
    let mut run = Run::s0(end);
    run.beats("worker-1", 0, end, 15_000).probes(0, end, |_| Some(true));
    run.whole_job(1_000, "worker-1", "job-1", 3_000);
    run
}

#[test]
fn a_run_in_which_all_is_well_passes_without_reasons() {
    let judged = quiet(60_000).judge();
    assert_eq!((judged.verdict, judged.reasons.as_slice()), (Pass, [].as_slice()), "{:#?}", judged.checks);
    assert_eq!(judged.claims, ["S3-1"]);
    let model = judged.model.expect("the fleet has a pipeline");
    assert_eq!((model.detection_ms.min, model.detection_ms.max), (Some(16_000.0), Some(31_000.0)));
    assert_eq!((model.pause_tolerated_ms, model.skew_tolerated_ms), (16_000.0, Some(30_000.0)));
}

#[test]
fn a_run_without_its_end_is_inconclusive_and_says_why_first() {
    let run = quiet(60_000);
    let with = |change: &dyn Fn(&mut Vec<Event>)| {
        let mut events = run.events_of_a_whole_run();
        change(&mut events);
        run.judge_events(events)
    };
    let push = |ev: What| {
        move |events: &mut Vec<Event>| {
            events.push(Event { at: at(60_000), by: HARNESS.into(), ev: ev.clone() });
        }
    };
    for (judged, reason) in [
        (with(&push(What::Interrupted)), "The run was interrupted."),
        (
            with(&push(What::Aborted { reason: "no redis".to_owned() })),
            "The run could not be carried on: no redis.",
        ),
        (with(&|events| _ = events.pop()), "The history has no end: the run was cut off."),
    ] {
        assert_eq!(judged.verdict, Inconclusive);
        assert_eq!(judged.reasons[0], reason);
    }
    let history = History::from_events(run.events_of_a_whole_run(), true).expect("a header");
    assert_eq!(judge(&run.scenario, &history).verdict, Inconclusive, "its last line was cut off");
}

#[test]
fn a_broken_run_does_not_fail() {
    let mut run = quiet(60_000);
    run.enqueue(1, "job-2", EnqueueOutcome::Acknowledged);
    run.push(50_000, HARNESS, What::Interrupted);
    let judged = run.judge();
    assert_eq!((judged.verdict, check_of(&judged, "lost").verdict), (Inconclusive, Inconclusive));
}

#[test]
fn a_harness_that_stood_still_proves_nothing() {
    // At a tenth of the time the 30 s of the key are 3 s, of which 300 ms can be borne.
    for (stall, verdict) in [(250, Pass), (2_000, Inconclusive)] {
        let mut run = quiet(60_000);
        run.scenario.time_scale = "0.1".parse::<Scale>().expect("a scale");
        let pipeline = run.scenario.fleet.pipeline.as_mut().expect("there is one");
        pipeline.beat = Beat::every(super::support::ms(1_500));
        pipeline.expiry = Expiry::Ttl(super::support::ms(3_000));
        run.hiccup(30_000, stall);
        expect("the meter", &run, "host_quiet", verdict);
        expect("mistakes", &run, "mistakes", verdict);
        assert_eq!(run.judge().verdict, verdict);
    }
}

/// The 30 s of the key can bear 3 s.
#[test]
fn a_starved_process_excuses_what_failed_and_no_loss() {
    let double = |waits: &[(u64, u64)]| {
        let mut run = quiet(60_000);
        run.enqueue(1, "job-2", EnqueueOutcome::Acknowledged).state("job-2", 2, false, &[]);
        for &(time, waited) in waits {
            run.starved(time, "worker-1", waited);
        }
        run.judge()
    };
    assert_eq!(double(&[]).verdict, Fail);
    assert_eq!(double(&[(20_000, 2_000), (30_000, 2_000)]).verdict, Fail, "two spells, each bearable");
    let judged = double(&[(20_000, 2_000), (22_000, 2_000)]);
    assert_eq!(judged.verdict, Inconclusive, "one spell of 4 s");
    assert!(judged.stalled_host().is_some_and(|note| note.contains("worker-1")), "{judged:?}");

    let mut lost = quiet(60_000);
    lost.enqueue(1, "job-2", EnqueueOutcome::Acknowledged).starved(20_000, "worker-1", 9_000);
    assert_eq!(lost.judge().verdict, Fail);
    let mut passed = quiet(60_000);
    passed.starved(20_000, "worker-1", 9_000);
    assert_eq!(passed.judge().verdict, Pass, "what passed all the same has passed");
}

#[test]
fn a_stall_excuses_a_duplicate_and_no_loss() {
    let stalled = || {
        let mut run = quiet(60_000);
        run.hiccup(30_000, 5_000);
        run
    };
    let mut run = stalled();
    run.enqueue(1, "job-2", EnqueueOutcome::Acknowledged).state("job-2", 2, false, &[]);
    assert_eq!(run.judge().verdict, Inconclusive, "its links stood still too, so a lock may have ended");
    let mut run = stalled();
    run.enqueue(1, "job-2", EnqueueOutcome::Acknowledged);
    let judged = run.judge();
    assert_eq!(judged.verdict, Fail);
    assert!(judged.reasons[0].starts_with("lost"), "fails come first: {:?}", judged.reasons);
}

#[test]
fn receipts_tell_what_was_proved() {
    let onset = |run: &mut Run| {
        let id = run.fault(FaultKind::Pause {
            target: Target::Role("worker".to_owned()),
            lasting: super::support::ms(5_000),
        });
        (
            id,
            Injection::Pause { process: "worker-1".into() },
            Injection::Resume { process: "worker-1".into() },
        )
    };
    let mut healed = quiet(60_000);
    healed.pause(20_000, 25_000, &["worker-1"]);
    let mut unhealed = quiet(60_000);
    let (id, pause, _) = onset(&mut unhealed);
    unhealed.injected(id, Stage::Onset, 20_000, pause);
    let mut never_begun = quiet(60_000);
    let (id, _, resume) = onset(&mut never_begun);
    never_begun.injected(id, Stage::Heal, 25_000, resume);
    let unproved = |keep_reason: bool| {
        let mut run = quiet(60_000);
        run.pause(20_000, 25_000, &["worker-1"]);
        let mut reasons = Vec::new();
        run.events.retain(|event| match &event.ev {
            What::FaultDone { order, .. } if order.stage == Stage::Onset => {
                reasons
                    .push(What::FaultUnproved { order: order.clone(), reason: "still running".to_owned() });
                false
            }
            _ => true,
        });
        for reason in reasons.into_iter().filter(|_| keep_reason) {
            run.push(20_050, HARNESS, reason);
        }
        run
    };
    for (what, run, verdict) in [
        ("healed", healed, Pass),
        ("never healed", unhealed, Inconclusive),
        ("never begun", never_begun, Inconclusive),
        ("unproved", unproved(true), Inconclusive),
        ("ordered, and no word since", unproved(false), Inconclusive),
    ] {
        expect(what, &run, "faults_confirmed", verdict);
        let judged = run.judge();
        assert_eq!(judged.faults.len(), 1, "{what}");
        assert_eq!(judged.faults[0].confirmed, verdict == Pass, "{what}");
        assert_eq!(judged.faults[0].kind, "pause");
    }
}

#[test]
fn a_fault_without_its_proof_excuses_a_duplicate_and_no_loss() {
    let run = |proved: bool, effects| {
        let mut run = quiet(60_000);
        run.pause(20_000, 25_000, &["worker-1"]);
        run.enqueue(1, "job-2", EnqueueOutcome::Acknowledged);
        if effects > 0 {
            run.state("job-2", effects, false, &[]);
        }
        let heal_done = |ev: &What| matches!(ev, What::FaultDone { order, .. } if order.stage == Stage::Heal);
        run.events.retain(|event| proved || !heal_done(&event.ev));
        run.judge()
    };
    assert_eq!((run(true, 1).verdict, run(true, 2).verdict), (Pass, Fail));
    assert_eq!(run(false, 2).verdict, Inconclusive, "nobody knows for how long it was paused");
    assert_eq!(run(false, 0).verdict, Fail, "a loss is a loss");
}

/// A run with something of everything, for the property below.
fn busy() -> Run {
    let mut run = Run::s3(120_000);
    for (number, worker) in [(1, "worker-1"), (2, "worker-2"), (3, "worker-1")] {
        let job = format!("job-{number}");
        run.whole_job(number * 5_000, worker, &job, 4_000).step(number * 5_000 + 500, worker, &job, 1);
    }
    run.beats("worker-1", 0, 40_000, 15_000).kill(24_000, "worker-1").start(26_000, "worker-1");
    run.pause(30_000, 60_000, &["worker-1", "worker-2"]).outage(70_000, 90_000, Store::Redis);
    run.stalls(0, 120_000, &[(60_000, "job-1"), (80_000, "job-2")]);
    run.slow_link(95_000, 99_000, "worker-2", 100).clock_step(50_000, "api", 60).hiccup(77_000, 40);
    run
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a crash, a clock or a bug does to a history, it is judged, and always the same.
    #[test]
    fn any_history_is_judged(
        keep in proptest::collection::vec(any::<bool>(), 64),
        shift in proptest::collection::vec(0u64..200_000, 64),
        cut in 0usize..2_000,
        fleet in any::<bool>(),
    ) {
        let mut run = busy();
        if fleet {
            run.scenario.fleet.pipeline = Some(crate::timing::tests::s0_new());
            run.probes(0, 100_000, |time| Some(time % 700 != 0));
        }
        let mut events = run.events_of_a_whole_run();
        let header = events.remove(0);
        let mut number = 0;
        events.retain(|_| { number += 1; keep[number % keep.len()] });
        for (number, event) in events.iter_mut().enumerate() {
            if number % 3 == 0 {
                event.at = at(shift[number % shift.len()]);
            }
        }
        events.truncate(cut);
        events.insert(0, header);
        run.judge_events(events);
    }
}
