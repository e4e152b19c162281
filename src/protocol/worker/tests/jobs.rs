use super::*;

#[test]
fn everything_durable_comes_before_the_queue_forgets_the_job() {
    let mut lab = lab();
    lab.at(secs(0), Step::Start).at(secs(0), Step::Enqueue(job("job-1", 2, secs(1)))).run_until(secs(5));
    let names = lab.commands.iter().map(|(.., command)| format!("{command:?}"));
    let names: Vec<String> = names
        .map(|text| text.split([' ', '{']).next().unwrap_or_default().to_owned())
        .filter(|name| !matches!(name.as_str(), "AwaitReady" | "CheckStalled" | "Claim"))
        .collect();
    let order = ["SetStatus", "LoadSteps", "SaveStep", "SaveStep", "RecordEffect", "SetStatus", "Complete"];
    assert_eq!(names, order);
    assert_eq!(lab.store.regular().completed, ["job-1".into()]);
    assert_eq!(lab.store.statuses["job-1"], JobStatus::Completed);
    assert_eq!(lab.store.effects, [("job-1".into(), 1)]);
    let done = lab.events(0).into_iter().filter(|event| !matches!(event, FleetEvent::Ready { .. }));
    let job = || "job-1".into();
    assert_eq!(
        done.collect::<Vec<_>>(),
        [
            FleetEvent::Claimed { job: job(), attempt: 1, stalls: 0 },
            FleetEvent::StepDone { job: job(), step: 1, fresh: true },
            FleetEvent::StepDone { job: job(), step: 2, fresh: true },
            FleetEvent::EffectDone { job: job() },
            FleetEvent::Completed { job: job() },
        ]
    );
}

#[test]
fn a_job_longer_than_its_lock_keeps_it_by_renewals() {
    let mut lab = lab();
    lab.at(secs(0), Step::Enqueue(job("job-1", 1, secs(300))));
    lab.at(secs(0), Step::Start).at(secs(7), Step::Start).run_until(secs(310));
    assert_eq!(lab.count(is_stalled) + lab.count(is_lock_lost), 0);
    assert_eq!(lab.store.effects, [("job-1".into(), 1)]);
}

#[test]
fn a_retry_works_only_on_the_steps_that_are_missing() {
    let mut lab = lab();
    lab.at(secs(0), Step::Enqueue(job("job-1", 4, secs(10))));
    lab.at(secs(0), Step::Start).at(secs(1), Step::Start).at(secs(25), Step::Kill(0)).run_until(secs(130));
    assert_eq!(lab.acknowledged_steps(&"job-1".into()), [1, 2, 3, 4]);
    assert_eq!(lab.events(1).iter().filter(|event| is_claimed(event)).count(), 1);
    assert_eq!(lab.store.regular().completed, ["job-1".into()]);
}

#[test]
fn failing_attempts_wait_by_the_backoff_and_the_last_one_is_final() {
    let mut lab = lab();
    let spec = JobSpec { failing_attempts: 9, ..job("job-1", 3, secs(1)) };
    lab.at(secs(0), Step::Start).at(secs(0), Step::Enqueue(spec)).run_until(secs(20));
    let waits = lab.events(0).into_iter().filter_map(|event| match event {
        FleetEvent::AttemptFailed { attempt, error, retry_in, .. } => {
            assert_eq!(error, PLANNED_FAILURE);
            Some((attempt, retry_in))
        }
        _ => None,
    });
    let waits: Vec<_> = waits.collect();
    assert_eq!(waits, [(1, Some(secs(1))), (2, Some(secs(2))), (3, None)]);
    let failed = JobStatus::Failed { error: PLANNED_FAILURE.to_owned(), attempts: 3 };
    assert_eq!(lab.store.statuses["job-1"], failed);
    assert_eq!(lab.store.regular().failed["job-1"], PLANNED_FAILURE);
    assert!(lab.store.effects.is_empty());
}

#[test]
fn the_status_stays_processing_through_retries() {
    let mut lab = lab();
    let spec = JobSpec { failing_attempts: 2, ..job("job-1", 1, secs(1)) };
    lab.at(secs(0), Step::Start).at(secs(0), Step::Enqueue(spec)).run_until(secs(20));
    let statuses = lab.commands.iter().filter_map(|(.., command)| match command {
        Command::SetStatus { status, .. } => Some(status.clone()),
        _ => None,
    });
    let statuses: Vec<_> = statuses.collect();
    let processing = JobStatus::Processing;
    assert_eq!(statuses, [processing.clone(), processing.clone(), processing, JobStatus::Completed]);
}

#[test]
fn an_attempt_over_its_timeout_is_ended_and_retried() {
    let mut lab = lab();
    let spec = JobSpec { timeout: Some(secs(3)), attempts: 2, ..job("job-1", 1, secs(10)) };
    lab.at(secs(0), Step::Start).at(secs(0), Step::Enqueue(spec)).run_until(secs(30));
    let expected = JobStatus::Failed { error: "timed out after 3s".to_owned(), attempts: 2 };
    assert_eq!(lab.store.statuses["job-1"], expected);
    assert!(lab.store.steps.is_empty(), "the work of an ended attempt is not saved");
}

#[test]
fn a_handler_that_never_returns_keeps_its_lock_until_the_timeout_ends_it() {
    let mut lab = lab();
    let spec = JobSpec { timeout: Some(secs(200)), hanging_attempts: 1, ..job("job-1", 1, secs(10)) };
    lab.at(secs(0), Step::Start).at(secs(0), Step::Start).at(secs(0), Step::Enqueue(spec));
    lab.run_until(secs(190));
    assert_eq!(lab.count(is_stalled) + lab.count(is_lock_lost), 0, "nobody finds it");
    assert!(lab.store.steps.is_empty());
    lab.run_until(secs(230));
    assert_eq!(lab.store.effects, [("job-1".into(), 2)]);
}

#[test]
fn a_timeout_does_not_fail_a_job_whose_effect_is_durable() {
    let mut lab = lab();
    let spec = JobSpec { timeout: Some(secs(3)), ..job("job-1", 1, secs(2)) };
    lab.at(secs(0), Step::Start).at(secs(0), Step::Enqueue(spec));
    lab.run_to(secs(10), |event| matches!(event, FleetEvent::EffectDone { .. }));
    lab.at(secs(0), Step::Outage(Store::Postgres, secs(10))).run_until(secs(60));
    assert_eq!(lab.store.effects, [("job-1".into(), 1)]);
    assert_eq!(lab.store.regular().completed, ["job-1".into()]);
}

#[test]
fn queues_are_asked_in_turn() {
    let mut lab = lab_with(|settings| settings.queue.queues.push("large".to_owned()));
    for n in 1..=3 {
        lab.at(secs(0), Step::Enqueue(job(&format!("job-{n}"), 1, secs(1))));
    }
    lab.at(secs(0), Step::Start).run_until(secs(0));
    lab.store.enqueue(at(secs(0)), "large", job("big", 1, secs(1)));
    lab.run_until(secs(10));
    let order = lab.events(0).into_iter().filter_map(|event| match event {
        FleetEvent::Claimed { job, .. } => Some(job.as_str().to_owned()),
        _ => None,
    });
    let order: Vec<_> = order.collect();
    assert_eq!(order, ["job-1", "big", "job-2", "job-3"]);
}

#[test]
fn every_free_slot_is_filled_and_a_freed_one_does_not_wait_for_the_poll() {
    let mut lab = lab_with(|settings| {
        settings.queue.concurrency = 3;
        settings.queue.claim_poll = secs(60);
    });
    for n in 1..=4 {
        lab.at(secs(0), Step::Enqueue(job(&format!("job-{n}"), 1, secs(5))));
    }
    lab.at(secs(0), Step::Start).run_until(secs(2));
    assert_eq!(lab.count(is_claimed), 3);
    lab.run_until(secs(6));
    assert_eq!(lab.count(is_claimed), 4);
}
