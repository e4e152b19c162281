//! How a run waits for its jobs to end, and when it stops waiting.

use super::fake::Script;
use super::scene::{ONE_JOB, Scene, ms};
use crate::backend::Action;
use crate::history::{Phase, What};

#[test]
fn settle_waits_for_every_acknowledged_job() {
    // The workers are away until the last job has arrived and the fault is healed.
    let fault = "scale_to_zero: {role: worker, for: 4s}\n    when: {at: 100ms}";
    let ran = Scene::with(fault).run();
    let completed =
        ran.said(|what| matches!(what, What::Fleet(crate::protocol::FleetEvent::Completed { .. })));
    assert_eq!(completed.len(), 6);
    let last = completed.iter().map(|(at, _)| *at).max().expect("there are six");
    assert!(ran.began(Phase::Settle) < last);
    assert!((last..last + 300).contains(&ran.began(Phase::Judge)), "judged {}", ran.began(Phase::Judge));
}

#[test]
fn one_that_comes_back_when_all_work_is_over_is_listened_to() {
    // All six jobs are done by four seconds: only the zombie has something to say yet.
    let ran = Scene::with("pause: {target: {process: worker-1}, for: 6s}\n    when: {at: 4s}").run();
    let (healed, judged) = (ran.began(Phase::Settle), ran.began(Phase::Judge));
    assert!((500..700).contains(&(judged - healed)), "healed at {healed} ms, judged at {judged} ms");
}

#[test]
fn settle_gives_up_at_its_deadline() {
    let script = Script { stuck: vec!["job-4"], ..Script::default() };
    let ran = Scene { script, ..Scene::default() }.run();
    assert_eq!(ran.aborted(), None);
    let waited = ran.began(Phase::Judge) - ran.began(Phase::Settle);
    assert!((10_000..10_200).contains(&waited), "waited {waited} ms");
}

#[test]
fn a_job_without_an_acknowledgement_is_not_waited_for() {
    let script = Script { stuck: vec!["job-4"], unacknowledged: vec!["job-4"], ..Script::default() };
    let ran = Scene { script, ..Scene::default() }.run();
    assert!(ran.took() < 6_000, "{} ms", ran.took());
}

#[test]
fn what_is_judged_was_read_after_the_run_had_settled() {
    // Readings that take long are still on their way when the jobs have ended.
    for takes in [1, 60, 300] {
        let script = Script { reading: (ms(takes), u32::MAX), ..Script::default() };
        let ran = Scene { script, ..Scene::default() }.run();
        let asked = ran.performed.iter().filter(|(_, action)| *action == Action::Collect).count();
        let read = ran.notes(|what| matches!(what, What::Collected { error: None }));
        assert_eq!(read, asked, "{takes} ms: every reading is in the history");
        let judged = ran.phases().last().expect("it had phases").1;
        let last = ran.performed.iter().rfind(|(_, action)| *action == Action::Collect);
        assert!(last.expect("it read").0 >= judged, "{takes} ms");
    }
}

#[test]
fn stores_that_never_answer_do_not_keep_the_run() {
    let script = Script { reading: (ms(1), 0), ..Script::default() };
    let ran = Scene { script, workload: ONE_JOB, ..Scene::default() }.run();
    assert_eq!(ran.aborted(), None);
    assert_eq!(ran.notes(|what| matches!(what, What::Collected { error: Some(_) })), 1);
    assert!(ran.took() < 70_000, "{} ms", ran.took());
}
