//! Fleets that say nothing: the queue says who holds what.

use super::scene::{Scene, ms};
use crate::dist::Random;
use crate::fault::{Fault, FaultId, FaultKind, JobRef, Signal, Target, Trigger};
use crate::history::queue::{QueueState, Queued, Standing};
use crate::history::{Event, What};
use crate::names::{HARNESS, ProcessName};
use crate::run::conductor::Conductor;
use crate::run::faults::FaultRun;
use crate::run::targets::{Cause, Targets};
use crate::time::Instant;

const STATE: &str = "state: {redis: [EVAL, script, '0']}";

fn told(answer: Queued) -> Event {
    let (since, asked) = (Instant::ZERO, Instant::ZERO);
    Event { at: Instant::ZERO + ms(100), by: HARNESS.into(), ev: What::Queue { since, asked, answer } }
}

fn stands(job: &str, state: Option<QueueState>, holder: Option<&str>) -> Event {
    told(Queued::Changed(vec![Standing { job: job.into(), state, holder: holder.map(Into::into) }]))
}

fn of(by: &str, ev: What) -> Event {
    Event { at: Instant::ZERO, by: by.into(), ev }
}

#[test]
fn the_holder_is_who_the_queue_says_as_long_as_that_one_runs() {
    use QueueState::{Active, Done, Waiting};
    let scenario = Scene { fleet: STATE, ..Scene::default() }.scenario();
    let mut targets = Targets::of(&scenario.fleet);
    for worker in ["worker-1", "worker-2"] {
        targets.observe(&of(worker, What::Started { generation: 1, pid: 1 }));
    }
    let mut after = |event: &Event| -> Option<ProcessName> {
        targets.observe(event);
        let target = Target::HolderOf(JobRef::Job("job-1".into()));
        let all = targets.resolve(&target, &Cause::default(), &mut Random::stream(1, "x"))?;
        all.into_iter().next()
    };
    let gone = of("worker-2", What::Exited { generation: 1, code: None, signal: Some(9) });
    for (event, holder) in [
        (stands("job-1", Some(Waiting), None), None),
        (stands("job-1", Some(Active), Some("worker-1")), Some("worker-1")),
        (stands("job-2", Some(Active), Some("worker-2")), Some("worker-1")),
        (told(Queued::Unknown { error: "late".into() }), Some("worker-1")),
        (stands("job-1", Some(Active), Some("worker-2")), Some("worker-2")),
        (gone, None),
        // An answer that was under way when the holder ended.
        (stands("job-1", Some(Active), Some("worker-2")), None),
        (stands("job-1", Some(Active), Some("worker-1")), Some("worker-1")),
        (stands("job-1", Some(Done), None), None),
    ] {
        assert_eq!(after(&event), holder.map(Into::into), "{event:?}");
    }
}

#[test]
fn a_job_that_came_to_be_held_is_a_claim() {
    let when = Trigger::Claimed { job: JobRef::Any, nth: 2, after: ms(5) };
    let target = Target::HolderOf(JobRef::Any);
    let kind = FaultKind::Kill { target, signal: Signal::Kill, restart_after: None };
    let mut fault = FaultRun::arm(&Fault { id: FaultId(0), kind, when }, Instant::ZERO, 1);
    let mut hear = |event: &Event| {
        fault.handle(event, Instant::ZERO, &mut Vec::new());
        fault.next_timeout()
    };
    for event in [
        stands("job-1", Some(QueueState::Waiting), None),
        stands("job-1", Some(QueueState::Active), Some("worker-1")),
        stands("job-2", Some(QueueState::Active), None),
        stands("job-1", Some(QueueState::Done), None),
    ] {
        assert_eq!(hear(&event), None, "{event:?}");
    }
    let second = stands("job-2", Some(QueueState::Active), Some("worker-2"));
    assert_eq!(hear(&second), Some(Instant::ZERO + ms(105)));
}

/// What the conductor says once the event has come and nothing else does.
fn reason(event: Option<Event>) -> Option<String> {
    let scenario = Scene { fleet: STATE, ..Scene::default() }.scenario();
    let mut conductor = Conductor::new(&scenario, 1, Instant::ZERO);
    for spec in &scenario.fleet.processes {
        conductor.handle(&of(spec.name.as_str(), What::Started { generation: 1, pid: 1 }));
    }
    if let Some(event) = event {
        conductor.handle(&event);
    }
    conductor.timeout(conductor.next_timeout());
    std::iter::from_fn(|| conductor.poll_note()).find_map(|note| match note {
        What::Aborted { reason } => Some(reason),
        _ => None,
    })
}

#[test]
fn a_run_begins_when_the_queue_has_told_how_its_jobs_stand() {
    assert_eq!(reason(Some(told(Queued::Changed(Vec::new())))), None);
    let missing = |why: &str| Some(format!("no steady state: the queue's `state` was not told: {why}"));
    assert_eq!(reason(None), missing("no answer"));
    assert_eq!(
        reason(Some(told(Queued::Unknown { error: "no such table".into() }))),
        missing("no such table")
    );
}

#[test]
fn what_cannot_be_understood_ends_the_run() {
    let why = reason(Some(told(Queued::Misshapen { error: "job-1 is `odd`".into() })));
    assert_eq!(why.as_deref(), Some("the queue's `state` is told in another shape: job-1 is `odd`"));
}
