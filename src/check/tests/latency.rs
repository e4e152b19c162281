use super::support::{Run, check_of, expect, ms};
use crate::check::Verdict::{Fail, Inconclusive, Pass};
use crate::history::EnqueueOutcome;
use crate::scenario::TimeExpect;
use crate::time::Interval;

#[test]
fn the_job_that_took_longest_is_judged() {
    let mut run = Run::s3(150_000);
    for (time, job, done) in [(1_000, "job-1", 5_000), (10_000, "job-2", 60_000)] {
        run.enqueue(time, job, EnqueueOutcome::Acknowledged).claim(done - 1_000, "worker-1", job);
        run.complete(done, "worker-1", job).state(job, 1, false, &[]);
    }
    for (what, min, max, verdict) in [
        ("within", 40_000, 60_000, Pass),
        ("slower than it may be", 0, 40_000, Fail),
        ("quicker than it can be", 60_000, 90_000, Fail),
    ] {
        run.scenario.expect.slowest_job = TimeExpect::Within(Interval::new(ms(min), ms(max)));
        expect(what, &run, "slowest_job", verdict);
    }
}

#[test]
fn without_a_job_that_was_done_nothing_is_known() {
    let mut run = Run::s3(50_000);
    run.scenario.expect.slowest_job = TimeExpect::Within(Interval::new(ms(0), ms(1_000)));
    expect("nothing done", &run, "slowest_job", Inconclusive);
}

#[test]
fn a_stall_that_the_run_bears_and_the_job_does_not_is_the_hosts() {
    let judged = |stall| {
        let mut run = Run::s3(50_000);
        run.stalls(0, 50_000, &[]).enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged);
        run.claim(1_000, "worker-1", "job-1").complete(5_000, "worker-1", "job-1");
        run.state("job-1", 1, false, &[]).hiccup(3_000, stall);
        run.scenario.expect.slowest_job = TimeExpect::Within(Interval::new(ms(0), ms(5_000)));
        run.judge()
    };
    assert_eq!((judged(300).verdict, judged(300).stalled_host()), (Pass, None));
    let stalled = judged(800);
    assert_eq!(check_of(&stalled, "host_quiet").verdict, Pass);
    assert_eq!(stalled.verdict, Inconclusive);
    assert!(
        stalled.stalled_host().is_some_and(|note| note.contains("job-1: the host stalled")),
        "{stalled:?}"
    );
}
