//! The made-up run: what was judged, and the histories.

use syncope::check::{
    Bound, BoundFrom, CheckResult, FaultReceipt, Gap, HostFigures, JobCounts, Judged, Mistakes, ModelFigures,
    Quantiles, RecoveryPart, Samples, Simulated, Spread, StepCounts, Verdict,
};
use syncope::fault::{FaultId, Injection, OutageKind, Signal, Stage};
use syncope::history::log::History;
use syncope::history::{EnqueueOutcome, Phase, What};
use syncope::names::Store;
use syncope::protocol::FleetEvent;
use syncope::report::{NotRun, RunInfo, Summary, merge};
use syncope::time::Span;

use crate::story::{START_NS, Story, job};

const SCALE: f64 = 0.1;
const HOSTILE: &str = "<script>alert(1)</script> <img src=x onerror=alert(2)> | `code` ]]> \x1b[31mred\0 ![x](y) \"q\" 'p' & \u{202e}rtl";

pub fn run() -> (Summary, Vec<History>) {
    let info = RunInfo {
        run_id: "20261122-0930-k3f9".into(),
        backend: "process".into(),
        started_at: "2026-11-22T09:30:00Z".into(),
        interrupted: true,
        command: "syncope run scenarios --backend process --jobs 2".into(),
        not_run: vec![NotRun {
            name: "clock drift of the api".into(),
            path: "scenarios/redis-heartbeat/clock-drift.yaml".into(),
            reason: "libfaketime is not installed".into(),
            hint: Some("apt-get install libfaketime".into()),
        }],
        host_notes: vec!["pauses was run again. <b>The host stalled</b> for 900 ms.".into()],
    };
    let judged = vec![kill_judged(), outage_judged(), pauses_judged(), hostile_judged()];
    (merge(&info, judged), vec![kill_history(), outage_history(), pauses_history(), hostile_history()])
}

/// A scenario that ran so often, each time a little later; its gap is at the first.
pub fn repeats(count: u32) -> Summary {
    let judged = |repeat: u32| Judged {
        repeat,
        seed: u64::from(repeat),
        samples: Samples {
            detection_ms: vec![37_200.0 + f64::from(repeat) * 900.0],
            recovery_ms: vec![43_000.0],
        },
        sim: Some(simulated(200, &even(200, 31_000.0, 62_000.0), &even(200, 33_000.0, 70_000.0))),
        gaps: if repeat == 1 { vec![gap("recovery_time", 0.0, Some(0.003))] } else { Vec::new() },
        ..kill_judged()
    };
    merge(&RunInfo::default(), (1..=count).map(judged).collect())
}

/// As many scenarios, each with as many simulated and measured values as are kept.
pub fn wide(scenarios: u32) -> Summary {
    let judged = |n: u32| {
        let values = even(1_000, 31_000.0, 62_000.0);
        Judged {
            path: format!("scenarios/{n}.yaml"),
            samples: Samples { detection_ms: values.clone(), recovery_ms: values.clone() },
            sim: Some(simulated(1_000, &values, &values)),
            ..kill_judged()
        }
    };
    merge(&RunInfo::default(), (1..=scenarios).map(judged).collect())
}

pub fn even(count: u32, from: f64, to: f64) -> Vec<f64> {
    (0..count).map(|n| from + (to - from) * f64::from(n) / f64::from(count.max(2) - 1)).collect()
}

pub fn simulated(runs: u64, detection_ms: &[f64], recovery_ms: &[f64]) -> Simulated {
    Simulated {
        pipeline_alone: false,
        runs,
        first_seed: 7,
        passed: runs,
        inconclusive: 0,
        failed: 0,
        other_seeds: Vec::new(),
        detection_ms: Spread::of(detection_ms),
        recovery_ms: Spread::of(recovery_ms),
        runs_with_mistakes: 0,
        mistakes: 0,
        runs_with_losses: 0,
        runs_with_duplicates: 0,
    }
}

fn gap(of: &str, beyond_ms: f64, p_value: Option<f64>) -> Gap {
    Gap { of: of.into(), beyond_ms, p_value, note: "Reality is elsewhere.".into() }
}

pub fn dense(events: u32) -> (Summary, Vec<History>) {
    let mut story = Story::new("scenarios/redis-queue/kill-9-mid-job.yaml", SCALE);
    story.phases(&[(0.0, Phase::Inject), (1_000.0, Phase::Judge)]);
    for n in 0..events / 4 {
        let worker = format!("worker-{}", n % 10 + 1);
        let at = f64::from(n) * 4_000.0 / f64::from(events);
        let name = job(n);
        story.claims(at, &worker, &name, 0);
        let sent = story.at(at);
        story.tell(at, &worker, What::Fleet(FleetEvent::Beat { sent }));
        let error = "no".to_owned();
        let failed =
            FleetEvent::AttemptFailed { job: name.as_str().into(), attempt: 1, error, retry_in: None };
        let ended = if n % 3 == 0 { failed } else { FleetEvent::Completed { job: name.as_str().into() } };
        story.tell(at + 0.2 + f64::from(n % 7), &worker, What::Fleet(ended));
        story.tell(at, &worker, What::Line { text: "x".repeat(100) });
    }
    (merge(&RunInfo::default(), vec![kill_judged()]), vec![story.end()])
}

fn kill_history() -> History {
    let mut story = Story::new("scenarios/redis-queue/kill-9-mid-job.yaml", SCALE);
    story.tell(-10.0, "harness", What::Versions(versions()));
    for n in 1..=3 {
        story.started(-8.0, &format!("worker-{n}"), 1);
    }
    story.phases(&[
        (-20.0, Phase::Provision),
        (-6.0, Phase::WarmUp),
        (0.0, Phase::Inject),
        (36.0, Phase::Heal),
        (37.0, Phase::Settle),
        (92.0, Phase::Judge),
        (93.0, Phase::TearDown),
    ]);
    story.enqueues(24, 1.5);
    for n in 0..24 {
        let worker = ["worker-1", "worker-2", "worker-3"][n as usize % 3];
        let from = f64::from(n) * 1.5 + 0.1;
        let dead = worker == "worker-1" && (13.0..19.0).contains(&from);
        match n {
            9 => drop(story.claims(from, worker, &job(n + 1), 0)),
            _ if dead => drop(story.works("worker-2", &job(n + 1), from + 2.0, from + 6.0)),
            _ => drop(story.works(worker, &job(n + 1), from, from + 3.2 + f64::from(n % 4))),
        }
    }
    let kill = Injection::Signal { process: "worker-1".into(), signal: Signal::Kill };
    story.fault(
        15.0,
        (0, 0),
        Stage::Onset,
        kill,
        "pid 4001: gone from /proc, wait status: killed by signal 9",
    );
    story.exited(15.01, "worker-1", 1);
    let start = Injection::Start { process: "worker-1".into() };
    story.fault(20.0, (0, 0), Stage::Heal, start, "pid 4002 is running");
    story.started(20.0, "worker-1", 2);
    story.beats("worker-1", -5.0, 15.0, 1.5).beats("worker-1", 21.0, 92.0, 1.5);
    story.beats("worker-2", -5.2, 92.0, 1.5).beats("worker-3", -4.8, 92.0, 1.5);
    let sent = story.at(52.0);
    let found = FleetEvent::Stalled { requeued: vec!["job-10".into()], failed: vec![], sent };
    story.tell(52.1, "worker-3", What::Fleet(found));
    story.stalls(52.3, &[("job-10", 1)]);
    story.claims(52.6, "worker-2", "job-10", 1).completes(58.0, "worker-2", "job-10");
    story.tell(61.0, "harness", What::Hiccup { stall: Span::from_millis(70) });
    story.end()
}

fn kill_judged() -> Judged {
    Judged {
        about: "A worker is killed while it holds a job; the job must be taken over by another one within the time \
                that the lock's duration and the stalled check's interval allow."
            .into(),
        faults: vec![receipt(0, 0, "kill", "worker-1", 15.0, Some(20.0), "pid 4001: gone from /proc, wait status: killed by signal 9")],
        detection_ms: Some(one(37_200.0)),
        recovery_ms: Some(one(43_000.0)),
        samples: Samples { detection_ms: vec![37_200.0], recovery_ms: vec![43_000.0] },
        sim: Some(simulated(200, &even(200, 38_000.0, 58_000.0), &even(200, 39_000.0, 72_000.0))),
        gaps: vec![gap("detection_time", 600.0, None)],
        recovery_parts_ms: vec![RecoveryPart {
            job: "job-10".into(),
            fault: 0,
            parts: vec![
                ("to_expiry".into(), 28_600.0),
                ("to_sweep".into(), 8_600.0),
                ("to_claim".into(), 400.0),
                ("to_done".into(), 5_400.0),
            ],
            total_ms: 43_000.0,
        }],
        checks: vec![
            check("detection_time", Verdict::Pass, "37.2 s ± 0.2 s", (15_000.0, 60_400.0), BoundFrom::Model, "The lock of a dead worker expires within 15 s to 30 s, and the stalled check runs every 30 s."),
            check("recovery_time", Verdict::Pass, "43 s", (0.0, 75_000.0), BoundFrom::Model, "From the kill until job-10 was done by worker-2."),
            check("lost", Verdict::Pass, "0", (0.0, 0.0), BoundFrom::Scenario, "Every acknowledged job was done."),
            check("duplicated", Verdict::Pass, "0", (0.0, 0.0), BoundFrom::Scenario, "No job's work was done twice."),
            check("steps_repeated", Verdict::Pass, "1", (0.0, 3.0), BoundFrom::Scenario, "Steps that had been saved and were done again."),
        ],
        ..judged("kill -9 in mid-job", "scenarios/redis-queue/kill-9-mid-job.yaml", Verdict::Pass)
    }
}

fn outage_history() -> History {
    let mut story = Story::new("tests/scenarios/redis-without-persistence.yaml", SCALE);
    story.tell(-5.0, "harness", What::Versions(versions()));
    story.phases(&[(-2.0, Phase::WarmUp), (0.0, Phase::Inject), (30.0, Phase::Settle), (45.0, Phase::Judge)]);
    story.started(-4.0, "worker-1", 1).started(-4.0, "worker-2", 1).started(-4.0, "api", 1);
    story.enqueues(10, 1.0);
    for n in 0..6 {
        let worker = format!("worker-{}", n % 2 + 1);
        story.works(
            &worker,
            &job(n + 1),
            f64::from(n) * 2.0 + 0.2,
            f64::from(n) * 2.0 + 4.0 - f64::from(n % 2),
        );
    }
    story.beats("worker-1", -2.0, 12.0, 1.0).beats("worker-1", 22.5, 45.0, 1.0);
    story.beats("worker-2", -1.7, 12.0, 1.0).beats("worker-2", 22.8, 45.0, 1.0);
    for n in 0..10 {
        let error = "connection refused".to_owned();
        story.tell(
            12.5 + f64::from(n),
            "worker-1",
            What::Fleet(FleetEvent::BeatFailed { error: error.clone() }),
        );
        story.tell(12.8 + f64::from(n), "worker-2", What::Fleet(FleetEvent::BeatFailed { error }));
    }
    let down = Injection::StoreDown { store: Store::Redis, how: OutageKind::Kill };
    story.fault(12.0, (0, 0), Stage::Onset, down, "connect to redis: connection refused");
    let up = Injection::StoreUp { store: Store::Redis, how: OutageKind::Kill };
    story.fault(22.0, (0, 0), Stage::Heal, up, "redis answers PING");
    for n in -4..90 {
        let at = f64::from(n) / 2.0;
        story.alive(at, !(14.0..23.5).contains(&at));
    }
    let asked = story.at(14.0);
    let outcome = EnqueueOutcome::Unknown("timeout".into());
    story.tell(14.5, "harness", What::EnqueueAnswered { job: "job-11".into(), asked, outcome });
    story.tell(23.0, "worker-1", What::Line { text: "reconnected to redis after 10 s".into() });
    story.end()
}

fn outage_judged() -> Judged {
    Judged {
        about: "Redis keeps nothing on disk and is killed. What was acknowledged before must not be lost: it is, and this must be seen.".into(),
        reasons: vec!["lost: 4 acknowledged jobs are neither done nor failed: job-7, job-8, job-9, job-10".into()],
        faults: vec![receipt(0, 0, "outage", "redis", 12.0, Some(22.0), "connect to redis: connection refused")],
        jobs: JobCounts { acknowledged: 10, completed: 6, lost: 4, indeterminate: 1, ..JobCounts::default() },
        detection_ms: Some(one(2_000.0)),
        samples: Samples { detection_ms: vec![2_000.0], recovery_ms: Vec::new() },
        checks: vec![
            check("lost", Verdict::Fail, "4", (0.0, 0.0), BoundFrom::Scenario, "Acknowledged jobs that are neither done nor failed at the end."),
            check("detection_time", Verdict::Pass, "2 s", (1_500.0, 4_000.0), BoundFrom::Model, "The api called the fleet dead after its threshold."),
            check("mistakes", Verdict::Pass, "2", (1.0, f64::INFINITY), BoundFrom::Model, "Workers ran and were called dead: they could not beat."),
            check("query_accuracy", Verdict::Pass, "78.9 %", (0.5, 1.0), BoundFrom::Scenario, "The share of time in which running workers were called alive."),
        ],
        mistakes: Mistakes { count: 2, correlated: 2, total_ms: 9_500.0, query_accuracy: Some(0.789), rate_per_hour_upper: None },
        ..judged("redis without persistence", "tests/scenarios/redis-without-persistence.yaml", Verdict::Fail)
    }
}

fn pauses_history() -> History {
    let mut story = Story::new("scenarios/redis-queue/gc-pauses.yaml", SCALE);
    story.tell(-5.0, "harness", What::Versions(versions()));
    story.phases(&[
        (-5.0, Phase::WarmUp),
        (0.0, Phase::Inject),
        (240.0, Phase::Settle),
        (300.0, Phase::Judge),
    ]);
    for n in 1..=8 {
        story.started(-6.0, &format!("worker-{n}"), 1);
        story.beats(&format!("worker-{n}"), -5.0 + f64::from(n) / 9.0, 300.0, 1.0);
    }
    story.enqueues(400, 0.6);
    for n in 0..400 {
        let worker = format!("worker-{}", n % 8 + 1);
        let from = f64::from(n) * 0.6 + 0.2;
        story.works(&worker, &job(n + 1), from, from + 4.0 + f64::from(n % 5));
    }
    for part in 0..9 {
        let process = format!("worker-{}", part % 3 + 1);
        let at = 20.0 + f64::from(part) * 22.0;
        let pause = Injection::Pause { process: process.as_str().into() };
        story.fault(at, (0, part), Stage::Onset, pause, "state T in /proc");
        let resume = Injection::Resume { process: process.as_str().into() };
        story.fault(at + 3.0 + f64::from(part), (0, part), Stage::Heal, resume, "state S in /proc");
    }
    story.tell(150.0, "harness", What::Hiccup { stall: Span::from_millis(900) });
    story.end()
}

fn pauses_judged() -> Judged {
    let faults = (0..9)
        .map(|part| {
            let at = 20.0 + f64::from(part) * 22.0;
            receipt(
                0,
                part,
                "pause",
                &format!("worker-{}", part % 3 + 1),
                at,
                Some(at + 3.0 + f64::from(part)),
                "state T in /proc",
            )
        })
        .collect();
    let job = |n: u32, total: f64| RecoveryPart {
        job: job(n),
        fault: 0,
        parts: vec![
            ("to_expiry".into(), total * 0.5),
            ("to_sweep".into(), total * 0.3),
            ("to_claim".into(), total * 0.05),
            ("to_done".into(), total * 0.15),
        ],
        total_ms: total,
    };
    Judged {
        about: "Workers stop as in a long garbage collection, for less than the model tolerates.".into(),
        reasons: vec![
            "host_quiet: the host stalled for 900 ms of wall time in the window of detection".into(),
        ],
        faults,
        recovery_parts_ms: (1..=6).map(|n| job(n, 9_000.0 + f64::from(n) * 1_500.0)).collect(),
        recovery_ms: Some(Quantiles {
            n: 6,
            min: 10_500.0,
            p50: 14_000.0,
            p99: 18_000.0,
            max: 18_000.0,
            resolution: 20.0,
        }),
        samples: Samples {
            detection_ms: Vec::new(),
            recovery_ms: (1..=6).map(|n| 9_000.0 + f64::from(n) * 1_500.0).collect(),
        },
        sim: Some(Simulated {
            passed: 197,
            failed: 1,
            inconclusive: 2,
            other_seeds: vec![9, 12, 77],
            runs_with_mistakes: 12,
            mistakes: 15,
            ..simulated(200, &[], &[10_000.0])
        }),
        checks: vec![
            check(
                "recovery_time",
                Verdict::Inconclusive,
                "10.5 s to 18 s",
                (0.0, 16_000.0),
                BoundFrom::Model,
                "The stall is longer than what the bound leaves.",
            ),
            check(
                "host_quiet",
                Verdict::Inconclusive,
                "900 ms",
                (f64::NEG_INFINITY, 50.0),
                BoundFrom::Harness,
                "The harness itself was not scheduled.",
            ),
        ],
        jobs: JobCounts { acknowledged: 400, completed: 400, ..JobCounts::default() },
        host: HostFigures { hiccup_p50_wall_ms: 0.1, hiccup_p99_wall_ms: 12.0, hiccup_max_wall_ms: 900.0 },
        ..judged(
            "gc pauses below the tolerance",
            "scenarios/redis-queue/gc-pauses.yaml",
            Verdict::Inconclusive,
        )
    }
}

fn hostile_history() -> History {
    let mut story = Story::new("tests/hostile.yaml", 1.0);
    story.phases(&[(0.0, Phase::Inject), (10.0, Phase::Judge)]);
    story.started(0.0, HOSTILE, 1).works(HOSTILE, HOSTILE, 1.0, 8.0);
    let pause = Injection::Pause { process: HOSTILE.into() };
    story.fault(3.0, (0, 0), Stage::Onset, pause, HOSTILE);
    story.tell(4.0, HOSTILE, What::Line { text: "x".repeat(100_000) });
    story.tell(4.1, HOSTILE, What::Line { text: HOSTILE.into() });
    story.end()
}

fn hostile_judged() -> Judged {
    Judged {
        about: HOSTILE.into(),
        reasons: vec![HOSTILE.into(), "x".repeat(100_000)],
        samples: Samples { detection_ms: vec![f64::MAX, -1.0], recovery_ms: vec![0.0] },
        sim: Some(simulated(0, &[1e300, 0.0], &[])),
        gaps: vec![
            Gap { of: HOSTILE.into(), beyond_ms: f64::MAX, p_value: Some(0.0), note: HOSTILE.into() },
            Gap { of: "x".repeat(100_000), beyond_ms: 0.0, p_value: None, note: "y".repeat(100_000) },
        ],
        faults: vec![receipt(0, 0, HOSTILE, HOSTILE, 3.0, None, HOSTILE)],
        checks: vec![check(
            HOSTILE,
            Verdict::Inconclusive,
            HOSTILE,
            (0.0, f64::NAN),
            BoundFrom::Harness,
            HOSTILE,
        )],
        recovery_parts_ms: vec![RecoveryPart {
            job: HOSTILE.into(),
            fault: 0,
            parts: vec![(HOSTILE.into(), 5.0)],
            total_ms: 5.0,
        }],
        versions: vec![(HOSTILE.into(), HOSTILE.into())],
        replay: HOSTILE.into(),
        time_scale: 1.0,
        ..judged(HOSTILE, "tests/hostile.yaml", Verdict::Inconclusive)
    }
}

fn judged(name: &str, path: &str, verdict: Verdict) -> Judged {
    Judged {
        name: name.into(),
        about: String::new(),
        path: path.into(),
        backend: "process".into(),
        verdict,
        reasons: Vec::new(),
        seed: 7,
        repeat: 1,
        time_scale: SCALE,
        started_at: "2026-11-22T09:30:00Z".into(),
        wall_s: 9.875,
        replay: format!("syncope run {path} --backend process --seed 7"),
        faults: Vec::new(),
        checks: Vec::new(),
        jobs: JobCounts { acknowledged: 24, completed: 24, ..JobCounts::default() },
        steps: StepCounts { acknowledged: 240, lost: 0, repeated: 1 },
        detection_ms: None,
        recovery_ms: None,
        recovery_parts_ms: Vec::new(),
        mistakes: Mistakes {
            query_accuracy: Some(1.0),
            rate_per_hour_upper: Some(119.0),
            ..Mistakes::default()
        },
        model: Some(ModelFigures {
            detection_ms: Bound { min: Some(15_000.0), max: Some(60_400.0) },
            recovery_ms: Bound { min: Some(0.0), max: Some(75_000.0) },
            pause_tolerated_ms: 14_500.0,
            skew_tolerated_ms: None,
        }),
        host: HostFigures { hiccup_p50_wall_ms: 0.08, hiccup_p99_wall_ms: 1.4, hiccup_max_wall_ms: 7.0 },
        versions: versions(),
        samples: Samples::default(),
        figures: Vec::new(),
        sim: None,
        gaps: Vec::new(),
        claims: vec!["S3-1".into()],
    }
}

fn versions() -> Vec<(String, String)> {
    vec![("redis".into(), "7.0.15".into()), ("postgres".into(), "15.13".into())]
}

fn one(ms: f64) -> Quantiles {
    Quantiles { n: 1, min: ms, p50: ms, p99: ms, max: ms, resolution: 200.0 }
}

fn check(
    name: &str,
    verdict: Verdict,
    measured: &str,
    (min, max): (f64, f64),
    bound_from: BoundFrom,
    note: &str,
) -> CheckResult {
    let finite = |value: f64| value.is_finite().then_some(value);
    let bound = Bound { min: finite(min), max: finite(max) };
    CheckResult {
        name: name.into(),
        verdict,
        measured: measured.into(),
        bound,
        bound_from,
        note: note.into(),
        stalled: false,
    }
}

fn receipt(
    fault: u16,
    part: u16,
    kind: &str,
    target: &str,
    at: f64,
    healed: Option<f64>,
    proof: &str,
) -> FaultReceipt {
    let ns = |seconds: f64| (START_NS as f64 + seconds * SCALE * 1e9) as u64;
    FaultReceipt {
        fault: FaultId(fault),
        part,
        kind: kind.into(),
        target: target.into(),
        requested_ns: Some(ns(at)),
        effective_ns: Some(ns(at) + 1_900_000),
        lateness_ns: Some(80_000),
        healed_ns: healed.map(ns),
        confirmed: true,
        proof: proof.into(),
        heal_proof: healed.map(|_| "running again".into()),
    }
}
