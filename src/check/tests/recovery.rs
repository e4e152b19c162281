use super::support::{Run, check_of, expect, ms};
use crate::check::Verdict::{Fail, Inconclusive, Pass};
use crate::history::EnqueueOutcome;
use crate::names::Store;
use crate::protocol::FleetEvent;
use crate::scenario::TimeExpect;
use crate::time::Interval;

const NAME: &str = "recovery_time";

/// `worker-1` is killed at 40 s after two of four steps; the job is taken at 70 s and done at `done`.
fn killed(done: Option<u64>) -> Run {
    let mut run = Run::s3(300_000);
    run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged).claim(38_000, "worker-1", "job-1");
    run.step(38_600, "worker-1", "job-1", 1).step(39_500, "worker-1", "job-1", 2);
    run.kill(40_000, "worker-1").stalls(0, 300_000, &[(70_000, "job-1")]).claim(71_000, "worker-2", "job-1");
    if let Some(done) = done {
        run.complete(done, "worker-2", "job-1").state("job-1", 1, false, &[1, 2]);
    }
    run
}

#[test]
fn a_job_is_done_again_within_the_model() {
    // Detection ≤ 90 s, claim ≤ 5 s, the rest of the job ≤ 4 s.
    for (what, done, verdict) in [
        ("soon", Some(73_000), Pass),
        ("at the end", Some(138_000), Pass),
        ("too late", Some(150_000), Fail),
        ("never", None, Fail),
    ] {
        expect(what, &killed(done), NAME, verdict);
    }
}

#[test]
fn the_parts_add_up_to_the_whole() {
    let judged = killed(Some(73_000)).judge();
    let part = &judged.recovery_parts_ms[0];
    let names: Vec<&str> = part.parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["to_sweep", "to_claim", "to_done"]);
    let sum: f64 = part.parts.iter().map(|(_, ms)| ms).sum();
    assert!((sum - part.total_ms).abs() < 1e-6, "{part:?}");
    assert_eq!((part.job.as_str(), part.fault), ("job-1", 0));
    assert_eq!(judged.recovery_ms.expect("measured").n, 1);
}

#[test]
fn without_an_affected_job_there_is_nothing_to_recover() {
    let mut run = Run::s3(60_000);
    run.stalls(0, 60_000, &[]).kill(40_000, "worker-1");
    expect("by the model", &run, NAME, Pass);
    run.scenario.expect.recovery_time = TimeExpect::Within(Interval::new(ms(0), ms(9_000)));
    expect("but the scenario wants a figure", &run, NAME, Inconclusive);
}

#[test]
fn what_the_scenario_states_decides() {
    for (max, verdict) in [(40_000, Pass), (20_000, Fail)] {
        let mut run = killed(Some(73_000));
        run.scenario.expect.recovery_time = TimeExpect::Within(Interval::new(ms(0), ms(max)));
        expect("a maximum", &run, NAME, verdict);
    }
    let mut run = killed(Some(73_000));
    run.scenario.expect.recovery_time = TimeExpect::Never;
    expect("never", &run, NAME, Fail);
}

/// Postgres is out from 40 to 42 s; an attempt fails and is retried after 1 s, done at `done`.
fn failed_attempt(done: u64) -> Run {
    let mut run = Run::s3(200_000);
    run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged).claim(39_000, "worker-1", "job-1");
    run.outage(40_000, 42_000, Store::Postgres).stalls(0, 200_000, &[]);
    let failed = FleetEvent::AttemptFailed {
        job: "job-1".into(),
        attempt: 1,
        error: "no connection".to_owned(),
        retry_in: Some(ms(1_000)),
    };
    run.says(41_000, "worker-1", failed).claim(42_500, "worker-2", "job-1");
    run.complete(done, "worker-2", "job-1").state("job-1", 1, false, &[]);
    run
}

#[test]
fn a_failed_attempt_is_made_good_after_its_delay() {
    // Outage 2 s, delay 1 s, claim 5 s, the job twice 4 s: 16 s at most.
    for (done, verdict) in [(45_000, Pass), (55_000, Pass), (70_000, Fail)] {
        expect(&format!("done at {done} ms"), &failed_attempt(done), NAME, verdict);
    }
    let judged = failed_attempt(45_000).judge();
    let names: Vec<&str> = judged.recovery_parts_ms[0].parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["to_failure", "to_claim", "to_done"]);
}

#[test]
fn an_attempt_that_the_workload_makes_fail_is_no_recovery() {
    let mut run = failed_attempt(45_000);
    run.scenario.workload.failing.insert(1, 1);
    let judged = run.judge();
    assert_eq!((judged.recovery_ms, check_of(&judged, NAME).verdict), (None, Pass));
}

#[test]
fn a_second_crash_of_the_same_job_is_a_second_detection() {
    for (what, kills_again, verdict) in [("struck once", false, Fail), ("struck twice", true, Pass)] {
        let mut run = Run::s3(400_000);
        run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged).claim(39_000, "worker-1", "job-1");
        run.kill(40_000, "worker-1").claim(101_000, "worker-2", "job-1");
        if kills_again {
            run.kill(110_000, "worker-2");
        }
        run.start(111_000, "worker-1");
        run.stalls(0, 400_000, &[(100_000, "job-1"), (180_000, "job-1")]);
        run.claim(181_000, "worker-1", "job-1").complete(184_000, "worker-1", "job-1");
        run.state("job-1", 1, false, &[]);
        expect(what, &run, NAME, verdict);
    }
}
