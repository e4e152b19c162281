use super::support::{Run, at, check_of, expect, ms};
use crate::check::Verdict::{self, Fail, Inconclusive, Pass};
use crate::fault::{FaultKind, Injection, OutageKind, Stage, Target};
use crate::history::{EnqueueOutcome, Sample, What};
use crate::names::{HARNESS, Store};
use crate::protocol::FleetEvent;
use crate::scenario::{Ask, RedisDurability, TimeExpect, WorkersAsk};
use crate::time::Interval;

const NAME: &str = "detection_time";

/// Both workers are killed at 40 s, the last beat came at 30 s; the fleet is called dead from `dead` on.
fn fleet_killed(end: u64, dead: u64) -> Run {
    let mut run = Run::s0(end);
    run.beats("worker-1", 0, 40_000, 15_000).beats("worker-2", 5_000, 40_000, 15_000);
    run.kill(40_000, "worker-1").kill(40_000, "worker-2");
    run.probes(0, end, |time| Some(time < dead));
    run
}

#[test]
fn a_dead_fleet_is_detected_within_the_model() {
    for (what, dead, verdict) in [
        ("right after the last beat's expiry", 65_000, Pass),
        ("at the end", 70_900, Pass),
        ("too late", 72_000, Fail),
        ("before a beat could expire", 50_000, Fail),
    ] {
        expect(what, &fleet_killed(100_000, dead), NAME, verdict);
    }
}

#[test]
fn the_measured_time_is_an_interval_between_two_answers() {
    let judged = fleet_killed(100_000, 65_000).judge();
    let found = judged.detection_ms.expect("measured");
    // Alive as asked at 64.9 s, dead as answered at 65.01 s, killed from 40.001 to 40.002 s.
    assert_eq!((found.n, found.resolution), (1, 55.5), "{found:?}");
}

#[test]
fn a_fleet_that_is_never_called_dead_fails_once_it_was_due() {
    expect("asked for long enough", &fleet_killed(100_000, 999_000), NAME, Fail);
    expect("ended too early", &fleet_killed(60_000, 999_000), NAME, Inconclusive);
}

#[test]
fn a_fleet_that_is_back_in_time_needs_no_detection() {
    let mut run = Run::s0(100_000);
    run.beats("worker-1", 0, 40_000, 15_000);
    run.kill(40_000, "worker-1").kill(40_000, "worker-2");
    run.start(45_000, "worker-1").beats("worker-1", 45_010, 100_000, 15_000);
    run.probes(0, 100_000, |_| Some(true));
    expect("back after 5 s", &run, NAME, Pass);
    run.scenario.expect.detection_time = TimeExpect::Within(Interval::new(ms(0), ms(45_000)));
    expect("and the scenario wanted one", &run, NAME, Inconclusive);
}

#[test]
fn of_a_fleet_the_crash_of_one_is_not_seen() {
    let mut run = Run::s0(100_000);
    run.beats("worker-2", 0, 100_000, 15_000).kill(40_000, "worker-1").probes(0, 100_000, |_| Some(true));
    expect("another runs", &run, NAME, Pass);
    assert!(check_of(&run.judge(), NAME).note.contains("cannot see"));
}

#[test]
fn a_graceful_stop_is_no_crash() {
    let mut run = Run::s0(100_000);
    for worker in ["worker-1", "worker-2"] {
        run.beats(worker, 0, 40_000, 15_000);
        run.says(40_000, worker, FleetEvent::ShuttingDown { active: 0 });
        run.exited(40_100, worker, Some(0), None);
    }
    run.probes(0, 100_000, |time| Some(time < 60_000));
    let judged = run.judge();
    assert_eq!(check_of(&judged, NAME).verdict, Pass);
    assert_eq!(judged.detection_ms, None);
    assert_eq!(judged.mistakes.count, 0, "the suspicion that follows is true");
}

#[test]
fn a_stall_of_the_host_in_the_window_leaves_it_open() {
    for (what, dead, time, stall, verdict) in [
        ("long, in the window", 65_000, 50_000, 3_200, Inconclusive),
        ("long, and the time is wrong", 90_000, 50_000, 3_200, Inconclusive),
        ("short, in the window", 65_000, 50_000, 300, Pass),
    ] {
        let mut run = fleet_killed(100_000, dead);
        run.hiccup(time, stall);
        expect(what, &run, NAME, verdict);
    }
}

#[test]
fn late_beats_lower_the_lower_end_by_what_they_were_late() {
    let mut run = Run::s0(100_000);
    run.beats("worker-1", 0, 18_000, 15_000).kill(40_000, "worker-1").kill(40_000, "worker-2");
    run.probes(0, 100_000, |time| Some(time < 46_500));
    expect("the last beat was 25 s old", &run, NAME, Pass);
}

/// `worker-1` is killed at 40 s while it holds a job, which the queue takes at `taken`.
fn holder_killed(taken: Option<u64>) -> Run {
    holder_killed_in(150_000, taken)
}

fn holder_killed_in(end: u64, taken: Option<u64>) -> Run {
    let mut run = Run::s3(end);
    run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged).claim(39_000, "worker-1", "job-1");
    run.kill(40_000, "worker-1");
    match taken {
        Some(taken) => {
            run.stalls(0, end, &[(taken, "job-1")]);
            run.claim(taken + 200, "worker-2", "job-1").complete(taken + 3_000, "worker-2", "job-1");
            run.state("job-1", 1, false, &[]);
        }
        None => {
            run.stalls(0, end, &[]);
        }
    }
    run
}

#[test]
fn a_dead_holders_job_is_taken_within_the_model() {
    for (what, taken, verdict) in [
        ("as the lock ends", Some(55_000), Pass),
        ("after a sweep", Some(99_000), Pass),
        ("after a sweeper's death", Some(129_000), Pass),
        ("later than that", Some(131_000), Fail),
        ("before the lock can end", Some(50_000), Fail),
        ("never", None, Fail),
    ] {
        expect(what, &holder_killed(taken), NAME, verdict);
    }
}

#[test]
fn a_stalled_check_that_says_so_narrows_the_interval() {
    let resolution = |run: &Run| run.judge().detection_ms.expect("measured").resolution;
    let mut run = holder_killed(Some(60_000));
    let coarse = resolution(&run);
    run.says(
        59_960,
        "worker-2",
        FleetEvent::Stalled {
            requeued: vec!["job-1".into()],
            failed: Vec::new(),
            sent: super::support::at(59_955),
        },
    );
    assert!(resolution(&run) < coarse / 10.0);
}

#[test]
fn a_job_that_was_done_before_the_crash_counts_not() {
    let mut run = holder_killed(None);
    run.state("job-1", 1, false, &[]);
    expect("effect done, worker dead before it could say so", &run, NAME, Pass);
}

#[test]
fn without_a_living_sweeper_the_bound_waits_for_one() {
    let mut run = Run::s3(250_000);
    run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged).claim(39_000, "worker-1", "job-1");
    run.kill(40_000, "worker-1").kill(40_000, "worker-2").start(140_000, "worker-2");
    run.stalls(0, 250_000, &[(200_000, "job-1")]);
    run.claim(200_200, "worker-2", "job-1").complete(203_000, "worker-2", "job-1").state(
        "job-1",
        1,
        false,
        &[],
    );
    expect("nobody for 100 s", &run, NAME, Pass);
}

#[test]
fn what_the_scenario_states_decides() {
    let within = |min, max| TimeExpect::Within(Interval::new(ms(min), ms(max)));
    for (expected, verdict) in [
        (within(0, 45_000), Pass),
        (within(0, 20_000), Fail),
        (TimeExpect::Any, Pass),
        (TimeExpect::Never, Fail),
    ] {
        let mut run = fleet_killed(100_000, 65_000);
        run.scenario.expect.detection_time = expected;
        expect(&format!("{expected:?}"), &run, NAME, verdict);
    }
    let mut run = Run::s0(10_000);
    run.scenario.expect.detection_time = TimeExpect::Never;
    expect("and nothing was seen", &run, NAME, Pass);
}

#[test]
fn without_a_probe_nothing_is_measured() {
    let mut run = fleet_killed(100_000, 65_000);
    run.scenario.fleet.liveness = None;
    expect("the model judges nothing", &run, NAME, Pass);
    run.scenario.expect.detection_time = TimeExpect::Within(Interval::new(ms(0), ms(45_000)));
    expect("the scenario asked", &run, NAME, Inconclusive);
}

#[test]
fn a_fault_without_its_receipt_leaves_the_scenario_open() {
    let mut run = fleet_killed(100_000, 65_000);
    expect("all proved", &run, "faults_confirmed", Pass);
    run.fault(FaultKind::Kill {
        target: Target::Role("worker".to_owned()),
        signal: crate::fault::Signal::Kill,
        restart_after: None,
    });
    expect("one never fired", &run, "faults_confirmed", Inconclusive);
    assert_eq!(run.judge().verdict, Verdict::Inconclusive);
}

#[test]
fn a_worker_that_takes_its_own_job_back_after_a_restart_had_crashed_all_the_same() {
    let mut run = Run::s3(150_000);
    run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged).claim(39_000, "worker-1", "job-1");
    run.kill(40_000, "worker-1").start(45_000, "worker-1");
    run.stalls(0, 150_000, &[(90_000, "job-1")]);
    run.claim(90_200, "worker-1", "job-1").complete(93_000, "worker-1", "job-1");
    run.state("job-1", 1, false, &[]);
    let measured = run.judge().detection_ms.expect("the stalled check is the detection");
    assert!((49_000.0..51_000.0).contains(&measured.p50), "{measured:?}");
}

#[test]
fn a_worker_that_leaves_beats_to_its_end() {
    let mut run = Run::s0(150_000);
    run.beats("worker-1", 0, 50_000, 15_000).beats("worker-2", 0, 30_000, 15_000);
    run.says(38_000, "worker-1", FleetEvent::ShuttingDown { active: 1 }).kill(40_000, "worker-2");
    run.exited(52_000, "worker-1", Some(0), None).probes(0, 150_000, |time| Some(time < 75_500));
    run.events.sort_by_key(|event| event.at);
    expect("its last beat came after the other's crash", &run, NAME, Pass);
}

#[test]
fn a_job_that_the_store_may_have_lost_is_not_owed_a_detection() {
    for (durability, verdict) in [(RedisDurability::None, Pass), (RedisDurability::Aof, Fail)] {
        // An outage costs a second and a sweep.
        let mut run = holder_killed_in(200_000, None);
        run.scenario.stack.redis.as_mut().expect("it has one").durability = durability;
        let (store, how) = (Store::Redis, OutageKind::Kill);
        let id = run.fault(FaultKind::Outage { store, how, lasting: ms(1_000) });
        run.injected(id, Stage::Onset, 45_000, Injection::StoreDown { store, how });
        run.injected(id, Stage::Heal, 46_000, Injection::StoreUp { store, how });
        expect(&format!("{durability:?}"), &run, NAME, verdict);
    }
}

/// `worker-1` is killed at 40 s, ten seconds after its last beat, and `worker-2` lives on; of the first it
/// is said from `dead` on that it does not live.
fn one_killed(dead: u64) -> Run {
    let mut run = Run::s0(100_000);
    let ask = Ask::Workers(WorkersAsk::Redis { command: Vec::new() });
    run.scenario.fleet.liveness.as_mut().expect("a probe").ask = ask;
    run.beats("worker-1", 0, 40_000, 15_000).beats("worker-2", 5_000, 100_000, 15_000);
    run.kill(40_000, "worker-1");
    for time in (0..100_000).step_by(100) {
        for (worker, alive) in [("worker-1", time < dead), ("worker-2", true)] {
            let sample = Sample::Alive { subject: Some(worker.into()), alive };
            run.push(time + 10, HARNESS, What::Probe { asked: at(time), sample });
        }
    }
    run
}

#[test]
fn where_each_worker_is_asked_for_the_crash_of_one_is_seen() {
    for (what, dead, verdict) in
        [("within the model", 65_000, Pass), ("too late", 72_000, Fail), ("never", 999_000, Fail)]
    {
        expect(what, &one_killed(dead), NAME, verdict);
    }
    let judged = one_killed(65_000).judge();
    assert_eq!(judged.detection_ms.expect("measured").n, 1);
    assert_eq!((judged.mistakes.count, check_of(&judged, "mistakes").verdict), (0, Pass));
}

#[test]
fn another_s_beat_does_not_cover_a_pause_where_each_worker_is_asked_for() {
    let note = |one_by_one: bool| {
        let mut run = Run::s0(200_000);
        if one_by_one {
            let ask = Ask::Workers(WorkersAsk::Redis { command: Vec::new() });
            run.scenario.fleet.liveness.as_mut().expect("a probe").ask = ask;
        }
        run.beats("worker-1", 0, 40_000, 15_000).beats("worker-2", 5_000, 200_000, 15_000);
        run.pause(40_000, 140_000, &["worker-1"]);
        check_of(&run.judge(), "mistakes").bound
    };
    let (of_fleet, of_each) = (note(false), note(true));
    assert_eq!((of_fleet.min, of_fleet.max), (Some(0.0), Some(0.0)), "the other's beats cover it");
    assert_ne!((of_each.min, of_each.max), (Some(0.0), Some(0.0)));
}
