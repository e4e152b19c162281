use super::support::{Run, at, check_of, expect};
use crate::check::Verdict::{self, Fail, Inconclusive, Pass};
use crate::check::{JobCounts, StepCounts};
use crate::history::{EnqueueOutcome, FinalState, What};
use crate::names::HARNESS;
use crate::scenario::{CountExpect, EffectQuery};

fn base() -> Run {
    let mut run = Run::s3(60_000);
    run.stalls(0, 60_000, &[]).whole_job(1_000, "worker-1", "job-1", 3_000);
    run
}

#[test]
fn a_job_is_counted_by_what_was_said_and_what_is_there() {
    let unknown = || EnqueueOutcome::Unknown("timeout".to_owned());
    let declined = || EnqueueOutcome::Declined("workers_offline".to_owned());
    type Build = fn(&mut Run, EnqueueOutcome);
    let state: [Build; 4] = [
        |run, outcome| _ = run.enqueue(1, "job-2", outcome),
        |run, outcome| _ = run.enqueue(1, "job-2", outcome).state("job-2", 1, false, &[]),
        |run, outcome| _ = run.enqueue(1, "job-2", outcome).state("job-2", 2, false, &[]),
        |run, outcome| _ = run.enqueue(1, "job-2", outcome).state("job-2", 0, true, &[]),
    ];
    let [gone, done, twice, failed] = state;
    let one = JobCounts { acknowledged: 1, completed: 1, ..JobCounts::default() };
    let two = JobCounts { acknowledged: 2, completed: 1, ..JobCounts::default() };
    for (what, build, outcome, counts, check, verdict) in [
        ("done", done, EnqueueOutcome::Acknowledged, JobCounts { completed: 2, ..two }, "lost", Pass),
        ("lost", gone, EnqueueOutcome::Acknowledged, JobCounts { lost: 1, ..two }, "lost", Fail),
        (
            "twice",
            twice,
            EnqueueOutcome::Acknowledged,
            JobCounts { completed: 2, duplicated: 1, ..two },
            "duplicated",
            Fail,
        ),
        ("failed", failed, EnqueueOutcome::Acknowledged, JobCounts { failed: 1, ..two }, "failed", Fail),
        ("recovered", done, unknown(), JobCounts { recovered: 1, ..one }, "lost", Pass),
        ("unknown", gone, unknown(), JobCounts { indeterminate: 1, ..one }, "lost", Pass),
        ("declined", gone, declined(), JobCounts { declined: 1, ..one }, "declined", Pass),
        (
            "declined and done",
            done,
            declined(),
            JobCounts { declined: 1, unexpected: 1, ..one },
            "unexpected",
            Fail,
        ),
    ] {
        let mut run = base();
        build(&mut run, outcome);
        assert_eq!(run.judge().jobs, counts, "{what}");
        expect(what, &run, check, verdict);
    }
}

#[test]
fn work_that_nobody_asked_for_is_unexpected() {
    let mut run = base();
    run.state("job-9", 1, false, &[]);
    expect("a stranger", &run, "unexpected", Fail);
}

#[test]
fn an_enqueue_without_any_answer_is_indeterminate() {
    let mut run = base();
    run.push(5, HARNESS, What::EnqueueAsked { job: "job-2".into() });
    assert_eq!(run.judge().jobs.indeterminate, 1);
}

#[test]
fn a_scenario_may_expect_losses() {
    let mut run = base();
    run.enqueue(1, "job-2", EnqueueOutcome::Acknowledged);
    run.scenario.expect.lost = CountExpect { min: 1, max: Some(3) };
    expect("as stated", &run, "lost", Pass);
    run.scenario.expect.lost = CountExpect { min: 2, max: Some(3) };
    expect("fewer than stated", &run, "lost", Fail);
}

#[test]
fn acknowledged_steps_must_be_there_at_the_end() {
    let with = |saved: &[u32], again: bool| {
        let mut run = base();
        run.enqueue(1, "job-2", EnqueueOutcome::Acknowledged).claim(10, "worker-1", "job-2");
        for step in 1..=3 {
            run.step(u64::from(step) * 100, "worker-1", "job-2", step);
        }
        if again {
            run.step(400, "worker-2", "job-2", 2);
        }
        run.complete(500, "worker-1", "job-2").state("job-2", 1, false, saved);
        run
    };
    for (what, run, counts, lost) in [
        ("all there", with(&[1, 2, 3], false), (3, 0, 0), Pass),
        ("one gone", with(&[1, 3], false), (3, 1, 0), Fail),
        ("one done twice", with(&[1, 2, 3], true), (3, 0, 1), Pass),
    ] {
        let (acknowledged, gone, repeated) = counts;
        assert_eq!(run.judge().steps, StepCounts { acknowledged, lost: gone, repeated }, "{what}");
        expect(what, &run, "steps_lost", lost);
    }
    let mut run = with(&[1, 2, 3], true);
    run.scenario.expect.steps_repeated = CountExpect::ZERO;
    expect("and that is not wanted", &run, "steps_repeated", Fail);
}

#[test]
fn states_that_were_not_read_prove_nothing() {
    let run = base();
    let events = |collected: Option<What>| {
        let mut events = run.events_of_a_whole_run();
        events.retain(|event| !matches!(event.ev, What::Collected { .. }));
        events.extend(collected.map(|ev| crate::history::Event { at: at(60_000), by: HARNESS.into(), ev }));
        run.judge_events(events)
    };
    let error = || Some(What::Collected { error: Some("connection refused".to_owned()) });
    for (what, judged, verdict) in [
        ("read", events(Some(What::Collected { error: None })), Pass),
        ("not readable", events(error()), Inconclusive),
        ("never read", events(None), Inconclusive),
    ] {
        for check in ["lost", "duplicated", "unexpected", "failed", "steps_lost"] {
            assert_eq!(check_of(&judged, check).verdict, verdict, "{what}: {check}");
        }
        assert_eq!(judged.verdict, verdict, "{what}");
    }
    let mut run = base();
    run.scenario.fleet.effects.sql = None;
    expect("no way to read", &run, "lost", Verdict::Inconclusive);
}

#[test]
fn who_did_it_is_named_where_it_was_done_twice() {
    let mut run = base();
    run.enqueue(1, "job-2", EnqueueOutcome::Acknowledged);
    let by = vec!["worker-1".into(), "worker-2".into()];
    let state = FinalState { effects: 2, by, ..FinalState::default() };
    run.push(run.end, HARNESS, What::JobState { job: "job-2".into(), state });
    let note = check_of(&run.judge(), "duplicated").note.clone();
    assert!(note.contains("(job-2 by worker-1 and worker-2)"), "{note}");
}

#[test]
fn a_loss_by_lines_says_what_it_rests_on() {
    let mut run = base();
    run.enqueue(1, "job-2", EnqueueOutcome::Acknowledged);
    let asked = |run: &Run| check_of(&run.judge(), "lost").note.contains("by lines of output");
    assert!(!asked(&run));
    run.scenario.fleet.effects =
        EffectQuery { lines: Some("(?<job>.+)".to_owned()), ..EffectQuery::default() };
    expect("by lines", &run, "lost", Fail);
    assert!(asked(&run));
}
