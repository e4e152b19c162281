//! Worker processes through crashes, stops and outages.

use rustix::process::Signal;
use syncope::protocol::{FleetEvent, FleetSettings, QueueSettings};
use syncope::time::Span;

use crate::fleet::{Process, Stack, heartbeat, job, settings};

#[tokio::test]
async fn a_job_of_a_killed_worker_is_taken_over_from_its_last_step() {
    let stack = Stack::start(settings()).await;
    let mut first = stack.worker("worker-1");
    first.ready().await;
    stack.enqueue(job("a", &[10, 400, 10])).await;
    assert_eq!(first.claims("a").await, (1, 0));
    let saved = first.until("a step", step_done).await;
    let mut second = stack.worker("worker-2");
    second.ready().await;
    first.signal(Signal::KILL);

    let requeued = second.until("stalled", |ev| match ev {
        FleetEvent::Stalled { requeued, .. } => Some(requeued.clone()),
        _ => None,
    });
    assert_eq!(requeued.await, ["a".into()]);
    assert_eq!(second.claims("a").await, (1, 1), "a stall costs no attempt");
    let next = second.until("a step", step_done).await;
    assert_eq!(next, (saved.0 + 1, true), "saved steps are not done again");
    second.completes("a").await;
    assert_eq!(stack.outcome("a").await, (1, "completed".into()));
}

#[tokio::test]
async fn sigterm_lets_the_job_in_work_finish() {
    let stack = Stack::start(settings()).await;
    let mut worker = stack.worker("worker-1");
    stack.enqueue(job("a", &[100, 100])).await;
    worker.claims("a").await;
    worker.signal(Signal::TERM);
    let active = worker.until("shutting down", |ev| match ev {
        FleetEvent::ShuttingDown { active } => Some(*active),
        _ => None,
    });
    assert_eq!(active.await, 1);
    worker.completes("a").await;
    assert!(!worker.until("stopped", stopped).await);
    assert_eq!(worker.ended().await.code(), Some(0));
    assert_eq!(stack.outcome("a").await, (1, "completed".into()));
}

#[tokio::test]
async fn past_its_grace_a_worker_hands_its_job_back() {
    let queue = QueueSettings { shutdown_grace: Span::from_millis(50), ..settings().queue };
    let stack = Stack::start(FleetSettings { queue, ..settings() }).await;
    let mut first = stack.worker("worker-1");
    stack.enqueue(job("a", &[2_000])).await;
    first.claims("a").await;
    first.signal(Signal::TERM);
    assert!(first.until("stopped", stopped).await);
    assert_eq!(first.ended().await.code(), Some(1));
    let mut second = stack.worker("worker-2");
    assert_eq!(second.claims("a").await, (1, 0), "neither an attempt nor a stall");
}

#[tokio::test]
async fn a_job_outlives_a_restart_of_redis() {
    let mut stack = Stack::start(settings()).await;
    let mut worker = stack.worker("worker-1");
    stack.enqueue(job("a", &[10, 800, 10])).await;
    worker.until("a step", step_done).await;
    stack.redis.kill();
    worker.until("store failed", |ev| matches!(ev, FleetEvent::StoreFailed { .. }).then_some(())).await;
    stack.redis.resume();
    worker.completes("a").await;
}

#[tokio::test]
async fn a_failing_job_is_retried_until_its_attempts_end() {
    let stack = Stack::start(settings()).await;
    let mut worker = stack.worker("worker-1");
    let mut failing = job("a", &[10]);
    failing.failing_attempts = 3;
    stack.enqueue(failing).await;
    for attempt in 1..=3 {
        assert_eq!(worker.claims("a").await, (attempt, 0));
    }
    let last = worker.until("the last failure", |ev| match ev {
        FleetEvent::AttemptFailed { attempt: 3, retry_in, .. } => Some(*retry_in),
        _ => None,
    });
    assert_eq!(last.await, None);
    worker.signal(Signal::TERM);
    worker.ended().await;
    assert_eq!(stack.outcome("a").await, (0, "failed".into()));
}

#[tokio::test]
async fn a_worker_whose_events_nobody_reads_ends() {
    let stack = Stack::start(FleetSettings { heartbeat: Some(heartbeat()), ..settings() }).await;
    let mut worker = stack.worker("worker-1");
    worker.ready().await;
    assert_eq!(worker.ended_after_its_output_was_closed().await.code(), Some(3));
}

#[tokio::test]
async fn a_missing_variable_is_named() {
    let cases: [(&[&str], &str); 5] = [
        (&["worker"], "SYNCOPE_FLEET"),
        (&["api"], "SYNCOPE_FLEET"),
        (&["catalogue"], "PORT"),
        (&["pool"], "SITE_URL"),
        (&["pool", "2"], "usage"),
    ];
    for (arguments, named) in cases {
        let output = std::process::Command::new(crate::fleet::PROGRAM).args(arguments).env_clear().output();
        let output = output.expect("the program");
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(message.contains(named), "{message}");
    }
}

/// Each beat, timer and stamp of the process, while its wall clock is an hour off.
#[tokio::test]
async fn a_faked_clock_moves_the_stamps_and_not_the_timers() {
    let stack = Stack::start(FleetSettings { heartbeat: Some(heartbeat()), ..settings() }).await;
    let offset = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(offset.path(), "+0\n").expect("the offset");
    let mut environment = stack.environment("worker-1");
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    assert!(std::path::Path::new(library).exists(), "libfaketime is missing: apt-get install libfaketime");
    for (name, value) in [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", offset.path().to_str().expect("a UTF-8 path")),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ] {
        environment.insert(name.into(), value.into());
    }
    let mut worker = Process::start("worker", environment);
    worker.ready().await;
    let before = clock_of(&mut worker).await;
    std::fs::write(offset.path(), "+3600\n").expect("the offset");
    let after = clock_of(&mut worker).await;
    assert!((3_590_000..3_630_000).contains(&(after - before)), "{before} -> {after}");

    // A wall clock that runs a thousand times too fast. `sent` is the host's monotonic clock.
    std::fs::write(offset.path(), "+0 x1000\n").expect("the rate");
    let start = clock_of(&mut worker).await;
    let mut sent = vec![];
    while sent.len() <= 20 {
        sent.push(
            worker
                .until("a beat", |ev| match ev {
                    FleetEvent::Beat { sent } => Some(*sent),
                    _ => None,
                })
                .await,
        );
    }
    let raced = clock_of(&mut worker).await - start;
    assert!(raced > 100_000, "its clock went {raced} ms in some 1,000");
    // Twenty intervals of 50 ms. Beats keep to their times, so a late first one takes from the sum.
    let lasted = sent[20].since(sent[0]);
    assert!((Span::from_millis(500)..Span::from_secs(10)).contains(&lasted), "{lasted}");
}

async fn clock_of(worker: &mut Process) -> i64 {
    worker.signal(Signal::USR1);
    worker
        .until("its clock", |ev| match ev {
            FleetEvent::Clock { wall, .. } => Some(wall.0),
            _ => None,
        })
        .await
}

fn step_done(ev: &FleetEvent) -> Option<(u32, bool)> {
    match ev {
        FleetEvent::StepDone { step, fresh, .. } => Some((*step, *fresh)),
        _ => None,
    }
}

fn stopped(ev: &FleetEvent) -> Option<bool> {
    match ev {
        FleetEvent::Stopped { forced } => Some(*forced),
        _ => None,
    }
}
