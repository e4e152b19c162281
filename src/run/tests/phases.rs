//! Warm-up, the order of the phases, and the ways in which a run ends early.

use super::fake::Script;
use super::scene::{ONE_JOB, PROBED, Scene, ms, run_of};
use crate::backend::Action;
use crate::history::{Phase, What};
use crate::protocol::FleetEvent;
use crate::scenario::{Overrides, Source, resolve};

#[test]
fn phases_come_in_order() {
    let ran = Scene::with("pause: {target: {process: worker-1}, for: 1s}\n    when: {at: 1s}").run();
    let phases: Vec<Phase> = ran.phases().into_iter().map(|(phase, _)| phase).collect();
    assert_eq!(phases, [Phase::WarmUp, Phase::Inject, Phase::Heal, Phase::Settle, Phase::Judge]);
    assert_eq!(ran.aborted(), None);
}

#[test]
fn injection_begins_when_the_fleet_was_seen_alive_three_times_in_a_row() {
    for (before, from) in [(true, 0), (false, 1_000)] {
        let script = Script { alive: (before, ms(from), true), ..Script::default() };
        let ran = Scene { fleet: PROBED, script, ..Scene::default() }.run();
        let start = ran.phases()[1].1;
        assert_eq!(start.since(ran.begin), ms(from + 200));
    }
}

#[test]
fn a_fleet_without_a_probe_is_steady_when_it_is_ready() {
    let ran = Scene::default().run();
    assert_eq!(ran.phases()[1].1, ran.begin);
    assert!(!ran.performed.iter().any(|(_, action)| *action == Action::StartProbes));
}

#[test]
fn a_reference_process_is_ready_when_it_says_so_and_not_when_it_is_started() {
    let source = Source::new("reference.yaml", include_str!("reference.yaml"));
    let scenario = resolve(&source, &Overrides::default()).expect("the scenario is sound");
    let ready = FleetEvent::Ready { pid: 1 };
    let says = vec![("worker-1", ms(700), ready.clone()), ("worker-2", ms(1_900), ready)];
    let scene = Scene { script: Script { says, ..Script::default() }, ..Scene::default() };
    let ran = run_of(&scenario, &scene);
    assert_eq!(ran.phases()[1].1.since(ran.begin), ms(1_900));
}

#[test]
fn warm_up_is_given_up_with_its_reason() {
    let absent = Script { absent: vec!["worker-2", "api"], ..Script::default() };
    let ended =
        Script { ends: vec![("worker-3", ms(1_000))], alive: (false, ms(9_000), true), ..Script::default() };
    let offline = Script { alive: (false, ms(999_999), true), ..Script::default() };
    let table = [
        (absent, "no steady state: not ready after 30s: worker-2, api", 30_000),
        (ended, "worker-3 ended while the run warmed up (signal 9)", 1_000),
        (
            offline,
            "no steady state: the liveness probe did not answer `alive` while nothing was wrong",
            30_000,
        ),
    ];
    for (script, reason, after) in table {
        let ran = Scene { fleet: PROBED, script, ..Scene::default() }.run();
        // The order of the fleet's roles is the resolver's affair.
        let sorted = |text: &str| {
            let mut words: Vec<String> = text.split([' ', ',']).map(str::to_owned).collect();
            words.sort();
            words
        };
        assert_eq!(sorted(ran.aborted().expect("it was aborted")), sorted(reason));
        assert_eq!(ran.took(), after);
        assert!(!ran.has_phase(Phase::Inject));
    }
}

#[test]
fn probes_are_stopped_at_the_end() {
    let ran = Scene { fleet: PROBED, workload: ONE_JOB, ..Scene::default() }.run();
    assert_eq!(ran.performed.first().map(|(_, action)| action), Some(&Action::StartProbes));
    assert_eq!(ran.performed.last().map(|(_, action)| action), Some(&Action::StopProbes));
}

#[test]
fn an_interruption_ends_the_run_at_once() {
    let fault = "pause: {target: {process: worker-1}, for: 20s}\n    when: {at: 500ms}";
    let ran = Scene { interrupt_after: Some(ms(1_200)), ..Scene::with(fault) }.run();
    assert_eq!(ran.notes(|what| *what == What::Interrupted), 1);
    assert_eq!(ran.phases().last().map(|(phase, _)| *phase), Some(Phase::Inject));
    assert!(ran.took() <= 1_300, "it took {} ms", ran.took());
    assert_eq!(ran.performed.last().map(|(_, action)| action), Some(&Action::StopProbes));
}
