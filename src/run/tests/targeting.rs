//! Whom a fault is on when it fires.

use std::collections::BTreeSet;

use super::fake::Script;
use super::scene::{ONE_JOB, Ran, Scene, victim};
use crate::history::What;
use crate::protocol::FleetEvent;

fn kill(target: &str, when: &str) -> Scene {
    Scene::with(&format!("kill: {{target: {target}, restart_after: 500ms}}\n    when: {when}"))
}

fn victims(ran: &Ran) -> Vec<String> {
    ran.onsets().iter().map(|given| victim(given).to_owned()).collect()
}

#[test]
fn the_holder_of_any_is_who_holds_the_triggers_job() {
    for nth in 1..=6 {
        let ran = kill("{holder_of: any}", &format!("{{step_done: {{step: 3, nth: {nth}}}}}")).run();
        let steps = ran.said(|what| matches!(what, What::Fleet(FleetEvent::StepDone { step: 3, .. })));
        assert_eq!(victims(&ran), [steps[nth - 1].1.as_str()]);
    }
}

#[test]
fn the_holder_of_a_job_is_who_claimed_it() {
    let ran = kill("{holder_of: job-2}", "{at: 700ms}").run();
    let claims = ran
        .said(|what| matches!(what, What::Fleet(FleetEvent::Claimed { job, .. }) if job.as_str() == "job-2"));
    assert_eq!(victims(&ran), [claims[0].1.as_str()]);
}

#[test]
fn a_holder_is_waited_for_while_nobody_holds() {
    // One job of a second, then nothing until the next comes at 5 s.
    let workload = "{jobs: 2, arrival: {every: 5s}, steps: 10, step_time: {constant: 100ms}}";
    for target in ["{holder_of: any}", "{holder_of: job-2}"] {
        let ran = Scene { workload, ..kill(target, "{at: 2s}") }.run();
        let onset = &ran.onsets()[0];
        assert_eq!((onset.given, victim(onset)), (5_000, "worker-1"), "{target}");
    }
}

#[test]
fn a_holder_that_never_comes_does_not_keep_the_run() {
    let ran = Scene { workload: ONE_JOB, ..kill("{holder_of: any}", "{at: 2s}") }.run();
    assert_eq!(ran.orders(), []);
    assert_eq!(ran.aborted(), None);
}

#[test]
fn any_of_a_role_is_one_that_runs_by_the_seed() {
    let script = Script { ends: vec![("worker-2", super::scene::ms(500))], ..Script::default() };
    let chosen = |seed| {
        let ran = Scene { seed, script: script.clone(), ..kill("{any: worker}", "{at: 1s}") }.run();
        victims(&ran)
    };
    let of_seeds: BTreeSet<_> = (0..20).map(chosen).collect();
    let running = ["worker-1", "worker-3"].map(|name| vec![name.to_owned()]);
    assert_eq!(of_seeds, BTreeSet::from(running));
    assert_eq!(chosen(3), chosen(3));
}

#[test]
fn what_is_chosen_does_not_hang_on_how_long_it_was_waited_for() {
    let pauses = "pauses: {target: {holder_of: any}, lasting: {uniform: [1ms, 400ms]}, gap: {constant: 100ms}, count: 4}\n    when: {at: 2s}";
    let lengths = |second_job: &'static str| {
        let ran = Scene { workload: second_job, ..Scene::with(pauses) }.run();
        let (onsets, heals) = (ran.onsets(), ran.heals());
        onsets.iter().zip(&heals).map(|(onset, heal)| heal.due - onset.due).collect::<Vec<_>>()
    };
    let soon = lengths("{jobs: 2, arrival: {every: 5s}, steps: 10, step_time: {constant: 100ms}}");
    let late = lengths("{jobs: 2, arrival: {every: 8s}, steps: 10, step_time: {constant: 100ms}}");
    // The first pause is ordered while it is due already, so its length is from its late firing.
    assert_eq!(soon.len(), 4);
    assert_eq!(soon[1..], late[1..]);
}

#[test]
fn a_role_is_everyone_in_it() {
    let ran = kill("{role: worker}", "{at: 1s}").run();
    assert_eq!(victims(&ran), ["worker-1", "worker-2", "worker-3"]);
    let parts: Vec<u16> = ran.onsets().iter().map(|given| given.order.part).collect();
    assert_eq!(parts, [0, 1, 2]);
}
