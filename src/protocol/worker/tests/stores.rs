use super::*;

#[test]
fn a_short_postgres_outage_costs_one_attempt_and_its_backoff() {
    let mut lab = lab();
    lab.at(secs(0), Step::Start).at(secs(0), Step::Enqueue(job("job-1", 3, secs(5))));
    lab.at(secs(4), Step::Outage(Store::Postgres, millis(1500))).run_until(secs(30));
    assert_eq!(lab.count(|event| matches!(event, FleetEvent::AttemptFailed { .. })), 1);
    assert_eq!(lab.store.effects, [("job-1".into(), 2)]);
}

#[test]
fn an_outage_longer_than_the_backoffs_fails_the_job_and_the_status_follows_later() {
    let mut lab = lab();
    lab.at(secs(0), Step::Start).at(secs(0), Step::Enqueue(job("job-1", 1, secs(5))));
    lab.at(secs(4), Step::Outage(Store::Postgres, secs(60))).run_until(secs(40));
    assert!(lab.store.regular().failed.contains_key("job-1"));
    assert_eq!(lab.store.statuses["job-1"], JobStatus::Processing);
    lab.run_until(secs(70));
    let JobStatus::Failed { attempts, .. } = &lab.store.statuses["job-1"] else {
        panic!("the status has become final");
    };
    assert_eq!(*attempts, 3);
    assert_eq!(lab.count(|event| matches!(event, FleetEvent::StoreFailed { .. })), 1, "said once");
}

#[test]
fn a_worker_goes_on_while_redis_is_away_and_completes_if_its_lock_lasted() {
    let mut lab = lab();
    lab.at(secs(0), Step::Start).at(secs(0), Step::Enqueue(job("job-1", 2, secs(5))));
    lab.at(secs(4), Step::Outage(Store::Redis, secs(14))).run_until(secs(30));
    assert_eq!(lab.acknowledged_steps(&"job-1".into()), [1, 2]);
    assert_eq!(lab.store.regular().completed, ["job-1".into()]);
    assert_eq!(lab.store.effects.len(), 1);
}

#[test]
fn a_redis_outage_longer_than_the_lock_runs_the_job_twice() {
    // Claim S3-3, the doubtful half: another worker gets the job while the first still works.
    let mut lab = lab();
    lab.at(secs(0), Step::Start).at(secs(1), Step::Start);
    lab.at(secs(0), Step::Enqueue(job("job-1", 1, secs(200))));
    lab.at(secs(4), Step::Outage(Store::Redis, secs(90))).run_until(secs(400));
    assert_eq!(lab.store.regular().completed, ["job-1".into()]);
    assert_eq!(lab.count(is_claimed), 2);
    assert_eq!(lab.count(is_lock_lost), 1);
}

#[test]
fn a_worker_starts_when_its_stores_do() {
    let mut lab = lab();
    lab.at(secs(0), Step::Outage(Store::Postgres, secs(5))).at(secs(1), Step::Start).run_until(secs(10));
    let (when, _, event) = &lab.log[0];
    assert_eq!(*event, FleetEvent::Ready { pid: 1 });
    assert!((5..7).contains(&(when.since(Instant::ZERO).as_millis() / 1_000)), "{when:?}");
}
