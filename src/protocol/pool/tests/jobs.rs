use super::*;

#[test]
fn a_pool_is_ready_once_and_when_all_its_workers_are() {
    let mut lab = lab();
    lab.at(secs(0), Step::Start).run_until(secs(5));
    let own: Vec<_> = lab.events(0).into_iter().filter(|e| !matches!(e, FleetEvent::Pool(_))).collect();
    assert_eq!(own, [FleetEvent::Ready { pid: 1 }]);
    let first = said(&lab).into_iter().map(|(_, event)| event);
    let first: Vec<_> = first.filter(|event| !matches!(event, PoolEvent::HealthUpdate(_))).collect();
    let ready = |worker| PoolEvent::WorkerReady { worker, start: 1 };
    assert_eq!(first, [ready(1), ready(2), PoolEvent::Started { workers: 2, concurrency: 2 }]);
}

#[test]
fn every_worker_takes_its_jobs_at_a_time() {
    let mut lab = lab();
    enqueue(&mut lab, 1..=5, 1, secs(10));
    lab.at(secs(0), Step::Start).run_until(secs(5));
    assert_eq!(lab.count(is_claimed), 4);
    lab.run_until(secs(30));
    assert_eq!(lab.store.regular().completed.len(), 5);
}

#[test]
fn a_result_tells_pages_kind_and_duration() {
    let mut lab = lab();
    lab.at(secs(0), Step::Enqueue(job("job-1", 3, secs(2))));
    lab.at(secs(0), Step::Enqueue(job("job-2", 1, secs(2))));
    lab.at(secs(0), Step::Start).run_until(secs(20));
    let mut results = results(&lab);
    results.sort_by(|a, b| a.job.cmp(&b.job));
    let told: Vec<_> = results.iter().map(|r| (r.kind, r.status, r.pages_scraped, r.total_pages)).collect();
    assert_eq!(
        told,
        [(JobKind::FullCrawl, JobEnd::Completed, 3, 3), (JobKind::SinglePage, JobEnd::Completed, 1, 1),]
    );
    assert!(results[0].duration >= secs(6) && results[0].duration < secs(7), "{}", results[0].duration);
    assert!(results[0].errors.is_empty());
}

#[test]
fn a_page_that_cannot_be_fetched_fails_the_attempt_and_is_tried_again() {
    let mut lab = lab();
    lab.work_fails_until = at(secs(2));
    lab.at(secs(0), Step::Enqueue(job("job-1", 2, secs(1)))).at(secs(0), Step::Start).run_until(secs(30));
    let told: Vec<_> = results(&lab).into_iter().map(|r| (r.status, r.errors.len())).collect();
    assert_eq!(told, [(JobEnd::Retried, 1), (JobEnd::Retried, 1), (JobEnd::Completed, 0)]);
    assert_eq!(lab.store.effects, [("job-1".into(), 3)], "by the third attempt");
}

#[test]
fn a_job_over_the_maximum_is_ended_and_its_slot_taken_by_another() {
    let mut lab = lab_with(|pool| {
        pool.workers = 1;
        pool.max_job_duration = secs(20);
    });
    enqueue(&mut lab, 1..=2, 1, secs(100));
    lab.at(secs(0), Step::Enqueue(job("short", 1, secs(1))));
    lab.at(secs(0), Step::Start).run_until(secs(25));
    let ended = lab.log.iter().find(|(_, _, event)| matches!(event, FleetEvent::AttemptFailed { .. }));
    let (when, _, event) = ended.expect("the first attempt has ended");
    assert!(*when >= at(secs(20)) && *when < at(secs(21)), "{when:?}");
    assert!(matches!(event, FleetEvent::AttemptFailed { error, .. } if error == "timed out after 20s"));
    assert_eq!(lab.store.regular().completed, ["short".into()]);
}

#[test]
fn a_job_s_own_limit_counts_if_it_is_shorter() {
    let mut lab = lab_with(|pool| pool.max_job_duration = secs(20));
    let mut spec = job("job-1", 1, secs(100));
    spec.timeout = Some(secs(3));
    lab.at(secs(0), Step::Enqueue(spec)).at(secs(0), Step::Start).run_until(secs(5));
    assert_eq!(
        results(&lab).first().map(|result| result.errors.clone()),
        Some(vec!["timed out after 3s".to_owned()])
    );
}

#[test]
fn a_worker_that_panics_is_replaced_and_its_jobs_come_back_by_their_locks() {
    let mut lab = lab();
    enqueue(&mut lab, 1..=3, 2, secs(10));
    lab.at(secs(0), Step::Start).at(secs(3), Step::Panic(0)).run_until(secs(4) + millis(100));
    let jobs = said(&lab).into_iter().find_map(|(_, event)| match event {
        PoolEvent::WorkerError { worker: 1, jobs, .. } => Some(jobs),
        _ => None,
    });
    let jobs = jobs.expect("the first of the two had two jobs");
    assert_eq!(jobs.len(), 2);
    let restarted = said(&lab)
        .into_iter()
        .find(|(_, event)| matches!(event, PoolEvent::WorkerReady { worker: 1, start: 2 }));
    let (when, _) = restarted.expect("it is started again");
    assert!(when >= at(secs(4)) && when < at(secs(4) + millis(50)), "{when:?}");
    let health = updates(&lab);
    let lowest = health.iter().map(|(_, health)| health.active_workers).skip(2).min();
    assert_eq!((lowest, health.last().map(|(_, health)| health.healthy)), (Some(1), Some(true)));

    assert_eq!(health.last().map(|(_, health)| health.restarts), Some(1));
    lab.run_until(secs(130));
    assert_eq!(lab.store.regular().completed.len(), 3);
    assert_eq!(lab.store.effects.len(), 3, "the panicked worker does nothing more");
    let taken: Vec<JobId> =
        results(&lab).into_iter().filter(|r| r.status == JobEnd::Taken).map(|r| r.job).collect();
    assert_eq!(taken, jobs);
}

#[test]
fn replies_to_a_worker_that_is_gone_do_not_reach_the_next() {
    let mut lab = lab_with(|pool| pool.restart_after = Span::ZERO);
    lab.latency = millis(400);
    enqueue(&mut lab, 1..=4, 1, secs(1));
    lab.at(secs(0), Step::Start);
    for tenths in 9..=25 {
        lab.at(millis(tenths * 100), Step::Panic(0));
    }
    lab.run_until(secs(300));
    let outcome = lab.store.regular();
    assert_eq!(outcome.completed.len() + outcome.failed.len(), 4);
}
