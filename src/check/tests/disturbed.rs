//! Bounds while something stands in the way of those who look for the dead.

use super::support::{Run, at, expect, ms};
use crate::check::Verdict::{Fail, Pass};
use crate::history::EnqueueOutcome;
use crate::names::{ProcessName, Store};
use crate::protocol::FleetEvent;
use crate::timing::{Age, Beat, Checker, Clock, Expiry};

const DETECTION: &str = "detection_time";
const RECOVERY: &str = "recovery_time";
const MISTAKES: &str = "mistakes";

/// Beats each 15 s that are good for 30 s, by the store's clock, and a look each 30 s: a crash is seen
/// within 15 s to 60 s. A beat that comes late counts again.
fn revivable(end: u64) -> Run {
    let mut run = Run::s3(end);
    let pipeline = run.scenario.fleet.pipeline.as_mut().expect("there is one");
    pipeline.beat = Beat::every(ms(15_000));
    pipeline.expiry = Expiry::Age(Age { threshold: ms(30_000), stamp: Clock::Redis, read: Clock::Redis });
    pipeline.checker = Checker::sweep(ms(30_000));
    run
}

/// Such a fleet with a sweeper. `worker-1` is killed at 40 s with a job, which is taken at `taken`.
fn swept(taken: u64) -> Run {
    let mut run = revivable(400_000);
    let mut sweeper = run.scenario.fleet.processes[1].clone();
    (sweeper.name, sweeper.role) = (ProcessName::new("sweeper"), "sweeper".to_owned());
    run.scenario.fleet.processes.push(sweeper);
    run.start(0, "sweeper");
    run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged).claim(39_000, "worker-1", "job-1");
    run.kill(40_000, "worker-1").stalls(0, 400_000, &[(taken, "job-1")]).state("job-1", 0, true, &[]);
    run
}

#[test]
fn nobody_is_found_dead_while_the_sweeper_is_away() {
    expect("in time", &swept(99_000), DETECTION, Pass);
    expect("too late", &swept(125_000), DETECTION, Fail);
    let mut run = swept(125_000);
    run.kill(60_000, "sweeper").start(90_000, "sweeper");
    expect("the sweeper was away for 30 s", &run, DETECTION, Pass);
    let mut run = swept(125_000);
    run.kill(60_000, "worker-2").start(90_000, "worker-2");
    expect("the other worker was, who does not look", &run, DETECTION, Fail);
}

#[test]
fn a_look_that_fails_costs_a_whole_interval() {
    for (what, taken, verdict) in [("a second and an interval", 130_000, Pass), ("more", 136_000, Fail)] {
        let mut run = revivable(400_000);
        run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged).claim(39_000, "worker-1", "job-1");
        run.kill(40_000, "worker-1").outage(80_000, 81_000, Store::Redis);
        run.stalls(0, 400_000, &[(taken, "job-1")]).state("job-1", 0, true, &[]);
        expect(what, &run, DETECTION, verdict);
    }
}

#[test]
fn one_who_is_killed_as_he_claims_is_not_found_by_the_look_that_freed_the_job() {
    let mut run = Run::s3(300_000);
    run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged).claim(39_000, "worker-1", "job-1");
    run.kill(40_000, "worker-1").start(60_000, "worker-1").stalls(0, 300_000, &[]);
    let stalled = |sent: u64| FleetEvent::Stalled {
        requeued: vec!["job-1".into()],
        failed: Vec::new(),
        sent: at(sent),
    };
    run.says(80_000, "worker-2", stalled(79_999)).claim(80_000, "worker-2", "job-1");
    // In effect at 80 s.
    run.kill(79_999, "worker-2").says(150_000, "worker-1", stalled(149_999));
    run.claim(150_001, "worker-1", "job-1").complete(152_000, "worker-1", "job-1");
    run.state("job-1", 1, false, &[]);
    expect("70 s later", &run, DETECTION, Pass);
}

#[test]
fn a_claim_whose_reply_was_lost_is_found_as_a_dead_holder_is() {
    for (what, taken, verdict) in
        [("the job lay under a lost claim", Some(100_000), Pass), ("it just lay", None, Fail)]
    {
        let mut run = Run::s3(300_000);
        run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged).claim(39_000, "worker-1", "job-1");
        run.outage(40_000, 42_000, Store::Postgres);
        let failed = FleetEvent::AttemptFailed {
            job: "job-1".into(),
            attempt: 1,
            error: "no connection".to_owned(),
            retry_in: Some(ms(1_000)),
        };
        run.says(41_000, "worker-1", failed);
        let taken: Vec<(u64, &str)> = taken.into_iter().map(|taken| (taken, "job-1")).collect();
        run.stalls(0, 300_000, &taken).claim(101_000, "worker-2", "job-1");
        run.complete(104_000, "worker-2", "job-1").state("job-1", 1, false, &[]);
        expect(what, &run, RECOVERY, verdict);
    }
}

/// A job's holder, and whoever else is given, is paused for 70 s, and nobody takes the job.
fn paused(mut run: Run, processes: &[&str]) -> Run {
    run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged).claim(39_000, "worker-1", "job-1");
    run.pause(40_000, 110_000, processes).stalls(0, 300_000, &[]);
    run.complete(120_000, "worker-1", "job-1").state("job-1", 1, false, &[]);
    run
}

#[test]
fn a_pause_of_all_who_look_need_not_be_seen_where_a_late_beat_counts() {
    let all = ["worker-1", "worker-2"];
    expect("another looked", &paused(revivable(300_000), &all[..1]), MISTAKES, Fail);
    expect("nobody looked", &paused(revivable(300_000), &all), MISTAKES, Pass);
    expect("a lock has ended all the same", &paused(Run::s3(300_000), &all), MISTAKES, Fail);
}

#[test]
fn a_reader_finds_its_store_again_only_after_the_outage() {
    for (what, lasting, verdict) in [("within the wait", 2_000, Fail), ("nearly as long", 2_900, Pass)] {
        let mut run = Run::s0(100_000);
        run.scenario.fleet.pipeline.as_mut().expect("there is one").beat = Beat::every(ms(9_000));
        run.beats("worker-1", 0, 100_000, 9_000).beats("worker-2", 3_000, 100_000, 9_000);
        run.outage(40_000, 40_000 + lasting, Store::Redis);
        run.probes(0, 100_000, |time| Some(!(43_000..43_100).contains(&time)));
        expect(what, &run, MISTAKES, verdict);
    }
}
