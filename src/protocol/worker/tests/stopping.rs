use super::*;

#[test]
fn a_graceful_stop_finishes_the_job_in_work_and_takes_no_other() {
    let mut lab = lab();
    lab.at(secs(0), Step::Enqueue(job("job-1", 2, secs(5))));
    lab.at(secs(0), Step::Enqueue(job("job-2", 2, secs(5))));
    lab.at(secs(0), Step::Start).at(secs(3), Step::Shutdown(0)).run_until(secs(60));
    assert_eq!(lab.store.regular().completed, ["job-1".into()]);
    assert_eq!(lab.store.regular().waiting, ["job-2".into()]);
    let (when, forced) = lab.exits[&0];
    assert!(!forced && when < at(secs(11)));
    let last = lab.events(0).pop();
    assert_eq!(last, Some(FleetEvent::Stopped { forced: false }));
    assert!(lab.events(0).contains(&FleetEvent::ShuttingDown { active: 1 }));
}

#[test]
fn past_the_grace_the_job_is_handed_back_without_counting_the_attempt() {
    let mut lab = lab();
    lab.at(secs(0), Step::Enqueue(job("job-1", 1, secs(40))));
    lab.at(secs(0), Step::Start).at(secs(2), Step::Start).at(secs(3), Step::Shutdown(0));
    lab.run_until(secs(24));
    assert!(lab.exits[&0].1, "forced");
    lab.run_until(secs(100));
    assert!(lab.events(1).contains(&FleetEvent::Claimed { job: "job-1".into(), attempt: 1, stalls: 0 }));
    assert_eq!(lab.store.effects.len(), 1);
}

#[test]
fn a_stop_during_an_outage_ends_in_bounded_time() {
    for store in Store::ALL {
        let mut lab = lab_with(|settings| settings.heartbeat = Some(new_heartbeat()));
        lab.at(secs(0), Step::Enqueue(job("job-1", 2, secs(5)))).at(secs(0), Step::Start);
        lab.at(secs(3), Step::Outage(store, secs(500))).at(secs(4), Step::Shutdown(0));
        lab.run_until(secs(100));
        let (when, _) = lab.exits[&0];
        assert!(when <= at(secs(4 + 20 + 8) + millis(10)), "{store}: {when:?}");
    }
}

#[test]
fn a_worker_that_never_got_ready_stops_at_once() {
    let mut lab = lab();
    lab.at(secs(0), Step::Outage(Store::Postgres, secs(500)));
    lab.at(secs(0), Step::Start).at(secs(5), Step::Shutdown(0)).run_until(secs(6));
    assert_eq!(lab.exits[&0], (at(secs(5)), false));
}
