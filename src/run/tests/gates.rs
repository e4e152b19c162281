//! Faults that hang on a command on the wire.

use super::fake::{Answer, Script};
use super::scene::{Ran, Scene, ms, victim};
use crate::backend::Action;
use crate::fault::Stage;
use crate::history::Phase;

fn scene(fault: &str, link: &str, side: &str) -> Scene {
    let when = format!("{{wire: {{link: \"{link} -> redis\", command: DONE, side: {side}}}}}");
    let script = Script { caught: vec![(0, "worker-2", ms(700))], ..Script::default() };
    Scene { script, ..Scene::with(&format!("{fault}\n    when: {when}")) }
}

/// When the gate was opened, and whether what it held was lost.
fn opened(ran: &Ran) -> Vec<(u64, bool)> {
    let open = ran.performed.iter().filter_map(|(at, action)| match action {
        Action::OpenGate { lost, .. } => Some((ran.after_start(*at), *lost)),
        _ => None,
    });
    open.collect()
}

fn armed(ran: &Ran) -> Vec<u64> {
    let arm = ran.performed.iter().filter(|(_, action)| matches!(action, Action::ArmGate { .. }));
    arm.map(|(at, _)| ran.after_start(*at)).collect()
}

#[test]
fn the_gate_is_armed_with_the_workload_and_opened_when_the_fault_was_carried_out() {
    let ran = scene("kill: {target: {process: worker-2}}", "worker-2", "before").run();
    assert_eq!(armed(&ran), [0]);
    assert_eq!(ran.onsets()[0].due, 700);
    assert_eq!(opened(&ran), [(701, true)], "its process has ended");
}

#[test]
fn it_stays_closed_for_as_long_as_the_proof_takes() {
    let mut scene = scene("kill: {target: {process: worker-2}}", "worker-2", "after");
    scene.script.answer = |order| match order.stage {
        Stage::Onset => Answer::After(ms(900)),
        Stage::Heal => Answer::Proved,
    };
    assert_eq!(opened(&scene.run()), [(1_600, true)]);
    scene.script.answer = |_| Answer::Unproved;
    let unproved = opened(&scene.run());
    assert_eq!(unproved.len(), 1);
    assert!(unproved[0].0 < 710, "{unproved:?}");
}

#[test]
fn one_of_a_role_is_the_one_whose_command_is_held() {
    for target in ["{any: worker}", "{process: worker-2}"] {
        for seed in 0..5 {
            let fault = format!("kill: {{target: {target}}}");
            let ran = Scene { seed, ..scene(&fault, "worker", "before") }.run();
            assert_eq!(victim(&ran.onsets()[0]), "worker-2");
        }
    }
}

#[test]
fn what_a_paused_process_was_to_send_is_sent_when_it_goes_on() {
    let pause = "pause: {target: {process: worker-2}, for: 300ms}";
    let before = scene(pause, "worker-2", "before").run();
    let resumed = before.heals()[0].due;
    assert!(resumed >= 1_000);
    let (at, lost) = opened(&before)[0];
    assert!(at >= resumed && !lost, "opened at {at}, resumed at {resumed}");
    let other = scene("pause: {target: {process: worker-1}, for: 300ms}", "worker-2", "before").run();
    assert!(opened(&other)[0].0 < 710);
    assert!(opened(&scene(pause, "worker-2", "after").run())[0].0 < 710);
}

#[test]
fn a_gate_that_has_caught_nothing_is_opened_when_the_run_heals() {
    let mut scene = scene("kill: {target: {process: worker-2}}", "worker-2", "before");
    scene.script.caught.clear();
    let ran = scene.run();
    assert_eq!(ran.onsets(), []);
    assert_eq!(opened(&ran), [(ran.began(Phase::Heal), false)]);
}
