use super::support::{Run, check_of, expect};
use crate::check::Verdict::{Fail, Inconclusive, Pass};
use crate::fault::{FaultId, Injection, Order, Stage};
use crate::history::{EnqueueOutcome, What};
use crate::names::Store;
use crate::protocol::FleetEvent;
use crate::scenario::{CountExpect, MistakeExpect};
use crate::timing::tests::s0_old;

const NAME: &str = "mistakes";

fn both_beat(end: u64) -> Run {
    let mut run = Run::s0(end);
    run.beats("worker-1", 0, end, 15_000).beats("worker-2", 0, end, 15_000);
    run
}

#[test]
fn a_quiet_fleet_makes_none_and_says_what_that_is_worth() {
    let mut run = both_beat(3_600_000);
    run.probes(0, 3_600_000, |_| Some(true));
    let judged = run.judge();
    assert_eq!(check_of(&judged, NAME).verdict, Pass);
    assert_eq!(judged.mistakes.query_accuracy, Some(1.0));
    let rate = judged.mistakes.rate_per_hour_upper.expect("none was seen");
    assert!((2.99..3.02).contains(&rate), "three an hour: {rate}");
}

#[test]
fn answers_of_one_episode_are_one_mistake() {
    let mut run = both_beat(100_000);
    let wrong = |time| (20_000..25_000).contains(&time) || (50_000..51_000).contains(&time);
    run.probes(0, 100_000, |time| Some(!wrong(time)));
    let judged = run.judge();
    assert_eq!((judged.mistakes.count, judged.mistakes.correlated), (2, 0));
    assert_eq!(judged.mistakes.total_ms, 6_000.0);
    let accuracy = judged.mistakes.query_accuracy.expect("probed");
    assert!((0.939..0.941).contains(&accuracy), "{accuracy}");
    assert_eq!(check_of(&judged, NAME).verdict, Fail);
    run.scenario.expect.mistakes = MistakeExpect::Count(CountExpect { min: 1, max: None });
    expect("expected", &run, NAME, Pass);
    run.scenario.expect.query_accuracy_ppm = Some((930_000, 950_000));
    expect("within", &run, "query_accuracy", Pass);
    run.scenario.expect.query_accuracy_ppm = Some((950_000, 1_000_000));
    expect("below", &run, "query_accuracy", Fail);
}

#[test]
fn a_pause_of_all_is_judged_by_its_length() {
    for (what, pause, dead, verdict) in [
        ("tolerated, not seen", 10_000, None, Pass),
        ("tolerated, seen", 10_000, Some(35_000), Fail),
        ("between, seen", 20_000, Some(48_000), Pass),
        ("between, not seen", 20_000, None, Pass),
        ("certain, seen", 40_000, Some(60_000), Pass),
        ("certain, not seen", 40_000, None, Fail),
    ] {
        let mut run = both_beat(100_000);
        run.pause(30_000, 30_000 + pause, &["worker-1", "worker-2"]);
        let until = 30_000 + pause;
        run.probes(0, 100_000, |time| Some(dead.is_none_or(|dead| time < dead || time > until)));
        expect(what, &run, NAME, verdict);
    }
}

#[test]
fn a_pause_of_one_of_several_hides_behind_the_others() {
    let mut run = both_beat(100_000);
    run.pause(30_000, 80_000, &["worker-1"]).probes(0, 100_000, |time| Some(time < 60_000));
    expect("so a suspicion is wrong", &run, NAME, Fail);
}

#[test]
fn a_beat_that_one_of_several_holds_back_may_never_be_the_last() {
    let mut run = both_beat(150_000);
    run.slow_link(20_000, 90_000, "worker-1", 50_000).probes(0, 150_000, |_| Some(true));
    expect("the other one's is", &run, NAME, Pass);
}

#[test]
fn an_outage_is_one_mistake_for_all() {
    let mut run = both_beat(150_000);
    run.outage(30_000, 60_000, Store::Redis);
    run.probes(0, 150_000, |time| {
        Some(!(40_000..50_000).contains(&time) && !(52_000..62_000).contains(&time))
    });
    let judged = run.judge();
    assert_eq!((judged.mistakes.count, judged.mistakes.correlated), (1, 1));
    assert_eq!(check_of(&judged, NAME).verdict, Pass, "30 s without the store are certainly seen");
}

#[test]
fn an_outage_of_another_store_excuses_nothing() {
    let mut run = both_beat(150_000);
    run.scenario.stack.postgres = Some(crate::scenario::PostgresSpec::default());
    run.outage(30_000, 60_000, Store::Postgres).probes(0, 150_000, |time| Some(time < 40_000));
    expect("the beats are in Redis", &run, NAME, Fail);
}

#[test]
fn settings_that_cannot_work_are_expected_to_fail() {
    let mut run = Run::s0(60_000);
    run.scenario.fleet.pipeline = Some(s0_old());
    run.beats("worker-1", 0, 60_000, 10_000);
    let mut seen = run.clone();
    seen.probes(0, 60_000, |time| Some(time % 10_000 != 0 || time == 0));
    expect("seen", &seen, NAME, Pass);
    assert!(seen.judge().mistakes.query_accuracy.expect("probed") < 1.0);
    run.probes(0, 60_000, |_| Some(true));
    expect("not seen: the gaps are short", &run, NAME, Inconclusive);
}

#[test]
fn a_wrong_clock_is_judged_by_its_direction_and_size() {
    for (what, process, seconds, verdict) in [
        ("api ahead, tolerated", "api", 20, Fail),
        ("api ahead, sawtooth", "api", 35, Pass),
        ("api ahead, certain", "api", 60, Pass),
        ("api behind", "api", -600, Fail),
    ] {
        let mut run = both_beat(100_000);
        run.clock_step(20_000, process, seconds).probes(0, 100_000, |time| Some(time < 30_000));
        expect(what, &run, NAME, verdict);
    }
    let mut run = both_beat(100_000);
    run.clock_step(20_000, "api", 60).probes(0, 100_000, |_| Some(true));
    expect("certain, and not seen", &run, NAME, Fail);
}

#[test]
fn a_slow_link_within_the_margin_is_tolerated() {
    let mut run = Run::s3(100_000);
    run.slow_link(20_000, 60_000, "worker-1", 2_000).stalls(0, 100_000, &[]);
    expect("none", &run, NAME, Pass);
}

/// `worker-1` is paused from 40 s on while it holds a job, which is taken from it at `taken`.
fn paused_holder(pause: u64, taken: Option<u64>) -> Run {
    let mut run = Run::s3(250_000);
    run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged).claim(30_000, "worker-1", "job-1");
    run.pause(40_000, 40_000 + pause, &["worker-1"]);
    let all: Vec<(u64, &str)> = taken.iter().map(|taken| (*taken, "job-1")).collect();
    run.stalls(0, 250_000, &all);
    if let Some(taken) = taken {
        run.claim(taken + 200, "worker-2", "job-1").complete(taken + 3_000, "worker-2", "job-1");
        run.says(40_000 + pause, "worker-1", FleetEvent::LockLost { job: "job-1".into() });
    } else {
        run.complete(40_000 + pause + 100, "worker-1", "job-1");
    }
    run.state("job-1", 1, false, &[]);
    run
}

#[test]
fn a_job_taken_from_a_paused_holder_is_a_mistake() {
    for (what, pause, taken, verdict) in [
        ("tolerated, not taken", 10_000, None, Pass),
        ("tolerated, taken", 10_000, Some(60_000), Fail),
        ("between, taken", 50_000, Some(85_000), Pass),
        ("certain, taken", 95_000, Some(100_000), Pass),
        ("certain, not taken", 95_000, None, Fail),
    ] {
        expect(what, &paused_holder(pause, taken), NAME, verdict);
    }
    let judged = paused_holder(95_000, Some(100_000)).judge();
    assert_eq!((judged.mistakes.count, judged.mistakes.correlated), (1, 0));
    assert!((34_000.0..36_000.0).contains(&judged.mistakes.total_ms), "until the holder learned of it");
}

#[test]
fn jobs_taken_from_all_by_an_outage_are_one_mistake() {
    let mut run = Run::s3(250_000);
    for (job, worker) in [("job-1", "worker-1"), ("job-2", "worker-2")] {
        run.enqueue(1_000, job, EnqueueOutcome::Acknowledged).claim(30_000, worker, job);
        run.says(85_000, worker, FleetEvent::LockLost { job: job.into() });
        run.claim(130_000, worker, job).complete(132_000, worker, job).state(job, 1, false, &[]);
    }
    run.outage(40_000, 80_000, Store::Redis).stalls(0, 250_000, &[(120_000, "job-1"), (120_000, "job-2")]);
    let judged = run.judge();
    assert_eq!((judged.mistakes.count, judged.mistakes.correlated), (1, 1));
    assert_eq!(check_of(&judged, NAME).verdict, Pass);
}

#[test]
fn answers_while_nobody_runs_or_none_is_given_are_no_mistakes() {
    let mut run = Run::s0(150_000);
    run.beats("worker-1", 0, 40_000, 15_000).kill(40_000, "worker-1").kill(40_000, "worker-2");
    run.start(100_000, "worker-1").beats("worker-1", 100_500, 150_000, 15_000);
    run.probes(0, 150_000, |time| match time {
        0..60_000 | 101_000.. => Some(true),
        _ => Some(false),
    });
    let judged = run.judge();
    assert_eq!(judged.mistakes.count, 1, "from the first beat after the restart it is one");
    assert!(judged.mistakes.total_ms < 600.0);

    let mut run = both_beat(50_000);
    run.probes(0, 50_000, |_| None);
    expect("nobody answered", &run, NAME, Inconclusive);
}

#[test]
fn a_foreign_worker_that_was_started_again_is_at_work_when_a_probe_says_so() {
    for (what, dead_again, verdict) in
        [("the old suspicion lasts on", None, Pass), ("a new one", Some(70_000), Fail)]
    {
        let mut run = Run::s0(100_000);
        run.scenario.expect.mistakes = MistakeExpect::Count(CountExpect::ZERO);
        for worker in ["worker-1", "worker-2"] {
            run.kill(20_000, worker).start(45_000, worker);
        }
        run.probes(0, 100_000, |time| {
            let is_dead = (45_500..50_000).contains(&time) || (40_000..45_500).contains(&time);
            Some(!is_dead && dead_again.is_none_or(|at| !(at..at + 2_000).contains(&time)))
        });
        expect(what, &run, NAME, verdict);
    }
}

#[test]
fn nothing_is_certain_of_a_fault_that_another_meets() {
    let paused_and = |more: &dyn Fn(&mut Run)| {
        let mut run = both_beat(200_000);
        run.pause(30_000, 70_000, &["worker-1", "worker-2"]);
        more(&mut run);
        run.probes(0, 200_000, |_| Some(true));
        run
    };
    expect("alone", &paused_and(&|_| ()), NAME, Fail);
    let reader = paused_and(&|run| {
        run.pause(50_000, 80_000, &["api"]);
    });
    expect("the reader stood still", &reader, NAME, Pass);
    let dead = paused_and(&|run| {
        run.kill(35_000, "worker-1").kill(35_000, "worker-2");
    });
    expect("the workers died in it", &dead, NAME, Pass);
}

#[test]
fn a_run_that_ends_before_the_sweeps_owes_no_mistake() {
    for (what, end, verdict) in [("ended with the work", 100_000, Pass), ("went on", 250_000, Fail)] {
        let mut run = Run::s3(end);
        run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged).claim(30_000, "worker-1", "job-1");
        run.outage(40_000, 80_000, Store::Redis).stalls(0, end, &[]);
        run.complete(81_000, "worker-1", "job-1").state("job-1", 1, false, &[]);
        expect(what, &run, NAME, verdict);
    }
}

#[test]
fn a_link_slower_than_its_clients_wait_may_cost_a_claim() {
    let mut run = Run::s3(100_000);
    run.scenario.fleet.liveness.as_mut().expect("it has a probe").timeout = crate::time::Span::from_secs(3);
    run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged).claim(30_000, "worker-1", "job-1");
    run.slow_link(20_000, 60_000, "worker-1", 2_000).stalls(0, 100_000, &[(70_000, "job-1")]);
    run.complete(80_000, "worker-1", "job-1").state("job-1", 1, false, &[]);
    expect("4 s there and back, 3 s of patience", &run, NAME, Pass);
}

#[test]
fn a_clock_that_could_not_be_set_back_may_go_on_to_mislead() {
    let wrong = |time| (60_000..65_000).contains(&time);
    for (what, unproved, verdict) in [("tolerated, and seen", false, Fail), ("who knows", true, Pass)] {
        let mut run = both_beat(100_000);
        run.clock_step(20_000, "api", 10);
        if unproved {
            let injection = Injection::ClockReset { process: "api".into() };
            let order = Order { fault: FaultId(0), part: 0, stage: Stage::Heal, injection };
            run.push(50_000, "harness", What::FaultOrdered { order: Box::new(order.clone()) });
            run.push(
                50_100,
                "harness",
                What::FaultUnproved { order: Box::new(order), reason: "it is gone".to_owned() },
            );
        }
        run.probes(0, 100_000, |time| Some(!wrong(time)));
        expect(what, &run, NAME, verdict);
    }
}
