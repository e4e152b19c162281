//! What a fault does, and how it is undone.

use super::fake::{Answer, Script};
use super::scene::{Given, ONE_JOB, Scene, ms, victim};
use crate::fault::{Injection, Signal, Stage};
use crate::history::{Phase, What};

const CLOCK_STEP: &str = "clock_step: {target: {process: worker-1}, by: +30s}\n    when: {at: 1s}";

fn processes(given: &[Given]) -> Vec<&str> {
    given.iter().map(victim).collect()
}

#[test]
fn each_kind_has_its_onset_and_its_undoing() {
    // The fault, its onset, what undoes it and how long after the effect (`None`: when the run heals).
    let on = "target: {process: worker-1}";
    let table = [
        (format!("kill: {{{on}, signal: TERM, restart_after: 700ms}}"), "Signal", Some(("Start", Some(700)))),
        (format!("kill: {{{on}}}"), "Signal", None),
        (format!("stop: {{{on}, restart_after: 2s}}"), "Stop", Some(("Start", Some(2_000)))),
        (format!("restart: {{{on}}}"), "Stop", Some(("Start", Some(0)))),
        (format!("pause: {{{on}, for: 1500ms}}"), "Pause", Some(("Resume", Some(1_500)))),
        (
            "outage: {store: redis, how: kill, for: 3s}".to_owned(),
            "StoreDown",
            Some(("StoreUp", Some(3_000))),
        ),
        (format!("clock_step: {{{on}, by: -5s, for: 2s}}"), "ClockStep", Some(("ClockReset", Some(2_000)))),
        (format!("clock_step: {{{on}, by: -5s}}"), "ClockStep", Some(("ClockReset", None))),
        (format!("clock_drift: {{{on}, ppm: 500}}"), "ClockDrift", Some(("ClockReset", None))),
        (
            "network: {to: redis, toxic: {timeout: {}}, for: 2s}".to_owned(),
            "Toxic",
            Some(("ClearToxic", Some(2_000))),
        ),
        ("delete_keys: {keys: [lock]}".to_owned(), "DeleteKeys", None),
        ("redis_wipe: {}".to_owned(), "Trouble", None),
        (
            "redis_maxmemory: {limit: {share: 0.5}, for: 2s}".to_owned(),
            "Trouble",
            Some(("TroubleOver", Some(2_000))),
        ),
    ];
    let kind = |given: &Given| {
        let text = format!("{:?}", given.order.injection);
        text.split(' ').next().map(str::to_owned)
    };
    for (fault, onset, undoing) in table {
        let ran = Scene::with(&format!("{fault}\n    when: {{at: 1s}}")).run();
        assert_eq!(ran.aborted(), None, "{fault}");
        let (onsets, heals) = (ran.onsets(), ran.heals());
        assert_eq!(onsets.iter().map(kind).collect::<Vec<_>>(), [Some(onset.to_owned())], "{fault}");
        assert_eq!(onsets[0].due, 1_000, "{fault}");
        let healed = heals.first().map(|given| (kind(given).unwrap_or_default(), given.due));
        let expected = undoing.map(|(kind, after)| {
            (kind.to_owned(), after.map_or_else(|| ran.began(Phase::Heal), |after| 1_000 + after))
        });
        assert_eq!(healed, expected, "{fault}");
        assert!(heals.iter().all(|heal| heal.order.part == onsets[0].order.part));
    }
}

#[test]
fn a_heal_is_ordered_ahead_as_soon_as_the_onset_is_answered() {
    let ran = Scene::with("pause: {target: {process: worker-1}, for: 1s}\n    when: {at: 1s}").run();
    assert_eq!(ran.heals().iter().map(|g| (g.given, g.due)).collect::<Vec<_>>(), [(1_001, 2_000)]);
}

#[test]
fn a_killed_process_starts_again_so_long_after_the_effect() {
    let fault = "kill: {target: {process: worker-1}, restart_after: 2s}\n    when: {at: 300ms}";
    let ran = Scene::with(fault).run();
    assert_eq!(ran.said(|what| matches!(what, What::Exited { .. }))[0], (300, "worker-1".into()));
    assert_eq!(
        ran.said(|what| matches!(what, What::Started { generation: 2, .. }))[0],
        (2_300, "worker-1".into())
    );
}

#[test]
fn the_effect_counts_where_its_proof_comes_late() {
    let script = Script { answer: |_| Answer::After(ms(400)), ..Script::default() };
    let fault = "pause: {target: {process: worker-1}, for: 1s}\n    when: {at: 1s}";
    let ran = Scene { script, ..Scene::with(fault) }.run();
    assert_eq!(ran.heals()[0].due, 2_000);
}

#[test]
fn a_series_has_its_count_of_pauses_with_gaps_between() {
    let fault = "pauses: {target: {role: worker}, lasting: {constant: 200ms}, gap: {constant: 1s}, count: 4}\n    when: {at: 500ms}";
    let ran = Scene::with(fault).run();
    for worker in ["worker-1", "worker-2", "worker-3"] {
        let of_worker = |given: Vec<Given>| -> Vec<u64> {
            given.iter().filter(|given| victim(given) == worker).map(|given| given.due).collect()
        };
        // Each gap is counted from the proof of the heal before it, a millisecond after the effect.
        assert_eq!(of_worker(ran.onsets()), [500, 1_701, 2_902, 4_103]);
        assert_eq!(of_worker(ran.heals()), [700, 1_901, 3_102, 4_303]);
    }
}

#[test]
fn a_series_outlives_the_work_and_the_settle_time() {
    let fault = "pauses: {target: {process: worker-1}, lasting: {constant: 200ms}, gap: {constant: 5s}, count: 4}\n    when: {at: 500ms}";
    let ran = Scene { workload: ONE_JOB, settle: "1s", ..Scene::with(fault) }.run();
    assert_eq!((ran.onsets().len(), ran.heals().len()), (4, 4));
    assert_eq!(ran.aborted(), None);
}

#[test]
fn a_crash_loop_kills_again_each_time_the_process_has_run_for_so_long() {
    let fault = "crash_loop: {target: {process: worker-1}, runs_for: 2s, restart_after: 300ms, count: 3}\n    when: {at: 500ms}";
    let ran = Scene::with(fault).run();
    let dues = |given: Vec<Given>| given.iter().map(|given| given.due).collect::<Vec<_>>();
    // Each run is counted from the proof of the start before it, a millisecond after the effect.
    assert_eq!(dues(ran.onsets()), [500, 2_801, 5_102]);
    assert_eq!(dues(ran.heals()), [800, 3_101, 5_402]);
}

#[test]
fn a_strobe_sets_the_clock_there_and_back_in_whole_rounds() {
    let fault =
        "clock_strobe: {target: {process: worker-1}, by: +30s, every: 400ms, for: 2s}\n    when: {at: 500ms}";
    let ran = Scene::with(fault).run();
    let dues = |given: Vec<Given>| given.iter().map(|given| given.due).collect::<Vec<_>>();
    assert_eq!(dues(ran.onsets()), [500, 1_301]);
    assert_eq!(dues(ran.heals()), [900, 1_701]);
    assert!(ran.onsets().iter().all(|given| matches!(given.order.injection, Injection::ClockStep { .. })));
}

#[test]
fn a_clock_step_without_an_end_is_healed_when_the_run_heals() {
    let ran = Scene::with(CLOCK_STEP).run();
    let heal = &ran.heals()[0];
    assert_eq!((heal.given, heal.due), (ran.began(Phase::Heal), ran.began(Phase::Heal)));
    assert_eq!(heal.order.injection, Injection::ClockReset { process: "worker-1".into() });
    assert!(ran.began(Phase::Settle) > ran.began(Phase::Heal));
}

#[test]
fn an_unproved_onset_is_still_undone() {
    let faults = [CLOCK_STEP, "pause: {target: {process: worker-1}, for: 1s}\n    when: {at: 1s}"];
    for fault in faults {
        let answer = |order: &crate::fault::Order| match order.stage {
            Stage::Onset => Answer::Unproved,
            Stage::Heal => Answer::Proved,
        };
        let ran = Scene { script: Script { answer, ..Script::default() }, ..Scene::with(fault) }.run();
        assert_eq!(ran.heals().len(), 1, "{fault}");
        assert_eq!(ran.aborted(), None);
    }
}

#[test]
fn a_heal_that_is_never_answered_aborts_the_run() {
    let answer = |order: &crate::fault::Order| match order.stage {
        Stage::Onset => Answer::Proved,
        Stage::Heal => Answer::Never,
    };
    for fault in [CLOCK_STEP, "pause: {target: {process: worker-1}, for: 1s}\n    when: {at: 1s}"] {
        // Whether the stores answer meanwhile or not.
        for answered in [u32::MAX, 0] {
            let script = Script { answer, reading: (ms(1), answered), ..Script::default() };
            let ran = Scene { script, ..Scene::with(fault) }.run();
            assert_eq!(ran.aborted(), Some("a fault's undoing was not answered"), "{fault}");
            assert!(ran.took() < 60_000, "{fault}: {} ms", ran.took());
        }
    }
}

#[test]
fn an_onset_that_is_never_answered_aborts_the_run() {
    let script = Script { answer: |_| Answer::Never, ..Script::default() };
    let ran = Scene { script, ..Scene::with(CLOCK_STEP) }.run();
    assert_eq!(ran.aborted(), Some("a fault's undoing was not answered"));
    assert!(ran.took() < 60_000, "{} ms", ran.took());
}

#[test]
fn an_onset_that_is_answered_after_the_run_began_to_heal_is_undone_at_once() {
    let answer = |order: &crate::fault::Order| match order.stage {
        Stage::Onset => Answer::After(ms(15_000)),
        Stage::Heal => Answer::Proved,
    };
    let script = Script { answer, ..Script::default() };
    let ran = Scene { script, workload: ONE_JOB, settle: "2s", ..Scene::with(CLOCK_STEP) }.run();
    assert_eq!(ran.heals().iter().map(|heal| heal.given).collect::<Vec<_>>(), [16_000]);
    assert_eq!(ran.aborted(), None);
}

#[test]
fn a_fault_long_after_the_last_job_has_its_whole_length() {
    for (fault, heal) in [
        ("pause: {target: {process: worker-1}, for: 60s}\n    when: {at: 1s}", 61_000),
        ("pause: {target: {process: worker-1}, for: 1s}\n    when: {at: 40s}", 41_000),
    ] {
        let ran = Scene { workload: ONE_JOB, settle: "2s", ..Scene::with(fault) }.run();
        assert_eq!(ran.heals().iter().map(|heal| heal.due).collect::<Vec<_>>(), [heal], "{fault}");
        assert_eq!(ran.aborted(), None, "{fault}");
        assert!(ran.began(Phase::Settle) >= heal);
    }
}

#[test]
fn scale_to_zero_kills_everyone_of_the_role_and_starts_everyone_again() {
    let ran = Scene::with("scale_to_zero: {role: worker, for: 3s}\n    when: {at: 1s}").run();
    let all = ["worker-1", "worker-2", "worker-3"];
    let (onsets, heals) = (ran.onsets(), ran.heals());
    assert_eq!(processes(&onsets), all);
    assert_eq!(processes(&heals), all);
    assert!(onsets.iter().all(|given| {
        given.due == 1_000 && matches!(given.order.injection, Injection::Signal { signal: Signal::Kill, .. })
    }));
    assert!(heals.iter().all(|given| given.due == 4_000));
    assert_eq!(ran.aborted(), None);
}

#[test]
fn a_network_fault_takes_the_same_toxic_off_the_same_links() {
    let table = [
        ("from: {process: worker-1}, to: redis,", vec!["worker-1 -> redis"]),
        ("from: {role: api},", vec!["api -> redis"]),
        ("from: {role: worker},", vec!["worker-1 -> redis", "worker-2 -> redis", "worker-3 -> redis"]),
    ];
    for (selector, expected) in table {
        let fault = format!(
            "network: {{{selector} toxic: {{latency: {{latency: 50ms, jitter: 10ms}}}}, for: 2s}}\n    when: {{at: 1s}}"
        );
        let ran = Scene::with(&fault).run();
        let Injection::Toxic { links, toxic } = ran.onsets()[0].order.injection.clone() else {
            panic!("{selector}: no toxic")
        };
        assert_eq!(links.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
        assert_eq!(ran.heals()[0].order.injection, Injection::ClearToxic { links, toxic });
    }
}

#[test]
fn what_is_ordered_stands_in_the_history() {
    let ran = Scene::with("scale_to_zero: {role: worker, for: 3s}\n    when: {at: 1s}").run();
    let noted = ran.events.iter().filter_map(|event| match &event.ev {
        What::FaultOrdered { order } => Some((**order).clone()),
        _ => None,
    });
    let given: Vec<_> = ran.orders().into_iter().map(|given| given.order).collect();
    assert_eq!(noted.collect::<Vec<_>>(), given);
}
