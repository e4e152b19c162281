//! Fleets that say nothing: who held what is what the queue said, between one ask and the next.

use super::support::{Run, at, check_of, expect};
use crate::check::Verdict::{Fail, Pass};
use crate::check::{Judged, Range};
use crate::history::queue::QueueState::{self, Active, Delayed, Done, Failed, Waiting};
use crate::history::queue::{Queued, Standing};
use crate::history::{EnqueueOutcome, What};
use crate::names::HARNESS;
use crate::scenario::{LineRule, QueueAsk, QueueProbe, Says};
use crate::time::Span;

/// The queue is asked every 200 ms, and what it says is found 200 ms after it was asked before.
fn by_state(end: u64) -> Run {
    let mut run = Run::s3(end);
    let ask = QueueAsk::Sql { query: String::new() };
    run.scenario.fleet.state =
        Some(QueueProbe { every: Span::from_millis(200), timeout: Span::from_secs(1), ask });
    run
}

fn stands(run: &mut Run, time: u64, job: &str, state: QueueState, holder: Option<&str>) {
    let standing = Standing { job: job.into(), state: Some(state), holder: holder.map(Into::into) };
    changed(run, (time - 200, time), vec![standing]);
}

fn changed(run: &mut Run, (since, time): (u64, u64), changed: Vec<Standing>) {
    let (since, asked) = (at(since), at(time - 10));
    run.push(time, HARNESS, What::Queue { since, asked, answer: Queued::Changed(changed) });
}

/// `worker-1` is killed at 40 s with the job, which is taken at 70 s and done at `done` by `worker-2`.
fn killed(done: u64) -> Run {
    let mut run = by_state(300_000);
    run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged);
    stands(&mut run, 1_200, "job-1", Waiting, None);
    stands(&mut run, 38_000, "job-1", Active, Some("worker-1"));
    run.kill(40_000, "worker-1").stalls(0, 300_000, &[(70_000, "job-1")]);
    stands(&mut run, 70_100, "job-1", Waiting, None);
    stands(&mut run, 71_000, "job-1", Active, Some("worker-2"));
    stands(&mut run, done, "job-1", Done, None);
    run.state("job-1", 1, false, &[]);
    run
}

#[test]
fn a_crash_s_detection_and_recovery_are_measured_by_the_queue_s_state() {
    let judged = killed(73_000).judge();
    let measured = |name: &str| check_of(&judged, name).measured.clone();
    assert_eq!(judged.detection_ms.expect("measured").n, 1, "{}", measured("detection_time"));
    let names: Vec<&str> = judged.recovery_parts_ms[0].parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["to_sweep", "to_claim", "to_done"]);
    for (done, verdict) in [(73_000, Pass), (150_000, Fail)] {
        expect("by state", &killed(done), "recovery_time", verdict);
    }
}

#[test]
fn what_was_seen_between_two_asks_is_known_to_that_and_no_better() {
    // The kill takes effect at 40.001 s to 40.002 s; done after 72.8 s, and seen at 73 s.
    let measured = check_of(&killed(73_000).judge(), "recovery_time").measured.clone();
    assert_eq!(measured, "32.798s to 32.999s");
}

#[test]
fn a_process_s_own_word_is_taken_before_the_queue_s() {
    let mut run = killed(73_000);
    let says = LineRule { says: Says::Claimed, pattern: String::new() };
    run.scenario.fleet.processes[1].lines.push(says);
    assert_eq!(run.judge().recovery_ms, None, "and no process has said that it claimed anything");
}

#[test]
fn a_job_that_left_a_worker_that_lives_is_no_crash_unless_it_was_taken() {
    for (taken, mistakes) in [(None, 0), (Some((20_100, "job-1")), 1)] {
        let mut run = by_state(60_000);
        run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged);
        stands(&mut run, 1_200, "job-1", Active, Some("worker-1"));
        run.stalls(0, 60_000, taken.as_slice());
        stands(&mut run, 20_200, "job-1", Delayed, None);
        stands(&mut run, 30_000, "job-1", Active, Some("worker-2"));
        stands(&mut run, 32_000, "job-1", Done, None);
        let judged = run.state("job-1", 1, false, &[]).judge();
        assert_eq!(judged.mistakes.count, mistakes, "{taken:?}");
        assert_eq!(judged.detection_ms, None, "{taken:?}");
    }
}

#[test]
fn a_claim_of_which_of_two_lives_nobody_knows_is_nobody_s() {
    let mut run = by_state(120_000);
    run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged).stalls(0, 120_000, &[]);
    run.kill(40_000, "worker-1").start(40_500, "worker-1");
    let standing = Standing { job: "job-1".into(), state: Some(Active), holder: Some("worker-1".into()) };
    // The queue had not answered for two seconds.
    changed(&mut run, (39_000, 41_000), vec![standing]);
    stands(&mut run, 45_000, "job-1", Done, None);
    let judged = run.state("job-1", 1, false, &[]).judge();
    assert_eq!((judged.detection_ms, judged.recovery_ms), (None, None));
    assert_eq!(check_of(&judged, "detection_time").verdict, Pass);
}

fn figure(judged: &Judged, name: &str) -> Option<Range> {
    judged.figures.iter().find(|figure| figure.name == name).map(|figure| figure.values[0])
}

#[test]
fn how_full_the_queue_was_is_a_figure() {
    let mut run = by_state(60_000);
    run.pause(10_000, 20_000, &["worker-1"]).stalls(0, 60_000, &[]);
    for (time, job) in [(5_000, "job-1"), (6_000, "job-2"), (7_000, "job-3")] {
        run.enqueue(time, job, EnqueueOutcome::Acknowledged);
        stands(&mut run, time + 200, job, Waiting, None);
    }
    stands(&mut run, 8_000, "job-1", Active, Some("worker-1"));
    stands(&mut run, 9_000, "job-2", Active, Some("worker-2"));
    stands(&mut run, 12_000, "job-2", Failed, None);
    stands(&mut run, 22_000, "job-1", Done, None);
    let unfinished = run.judge();
    stands(&mut run, 25_000, "job-3", Done, None);
    let judged = run.judge();
    assert_eq!(figure(&judged, "queue.waiting"), Some(Range::exactly(3.0)));
    assert_eq!(figure(&judged, "queue.active"), Some(Range::exactly(2.0)));
    // The pause's end took effect at 20.002 s.
    let drained = Range { min: 4_798.0, max: Some(4_998.0) };
    assert_eq!(figure(&judged, "queue.drained"), Some(drained));
    assert_eq!(figure(&unfinished, "queue.drained").map(|range| range.max), Some(None));
    assert_eq!(figure(&Run::s3(1_000).judge(), "queue.waiting"), None, "nobody asked");
}
