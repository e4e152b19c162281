use super::*;

#[test]
fn a_graceful_stop_finishes_the_jobs_of_every_worker() {
    let mut lab = lab();
    enqueue(&mut lab, 1..=6, 1, secs(10));
    lab.at(secs(0), Step::Start).at(secs(3), Step::Shutdown(0)).run_until(secs(60));
    assert_eq!(lab.store.regular().completed.len(), 4);
    assert_eq!(lab.store.regular().waiting.len(), 2);
    let (when, forced) = lab.exits[&0];
    assert!(!forced && when < at(secs(11)), "{when:?}");
    assert!(lab.events(0).contains(&FleetEvent::ShuttingDown { active: 4 }));
    assert_eq!(lab.events(0).pop(), Some(FleetEvent::Stopped { forced: false }));
    let closed = said(&lab).into_iter().filter(|(_, e)| matches!(e, PoolEvent::WorkerClosed { .. })).count();
    assert_eq!(closed, 2);
}

#[test]
fn a_hung_job_makes_it_a_forced_one_and_goes_back_to_the_queue() {
    let mut lab = lab();
    lab.at(secs(0), Step::Enqueue(job("hung", 1, secs(500))));
    lab.at(secs(0), Step::Enqueue(job("job-1", 1, secs(10))));
    lab.at(secs(0), Step::Start).at(secs(3), Step::Shutdown(0)).run_until(secs(24));
    let (when, forced) = lab.exits[&0];
    assert!(forced && when >= at(secs(23)) && when < at(secs(24)), "{when:?}");
    let queue = lab.store.regular();
    assert_eq!(
        (queue.waiting.clone(), queue.completed.clone()),
        (["hung".into()].into(), vec!["job-1".into()])
    );
    lab.at(secs(0), Step::Start).run_until(secs(26));
    assert!(lab.events(1).contains(&FleetEvent::Claimed { job: "hung".into(), attempt: 1, stalls: 0 }));
}

#[test]
fn a_worker_that_panics_while_the_pool_stops_is_not_replaced() {
    let mut lab = lab();
    enqueue(&mut lab, 1..=4, 1, secs(10));
    lab.at(secs(0), Step::Start).at(secs(3), Step::Shutdown(0)).at(secs(4), Step::Panic(0));
    lab.run_until(secs(60));
    assert!(!lab.exits[&0].1 && lab.exits[&0].0 < at(secs(11)));
    assert!(!said(&lab).iter().any(|(_, event)| matches!(event, PoolEvent::WorkerReady { start: 2, .. })));
}

#[test]
fn a_pool_that_waits_to_start_a_worker_again_stops_without_it() {
    let mut lab = lab_with(|pool| pool.restart_after = secs(100));
    lab.at(secs(0), Step::Start).at(secs(3), Step::Panic(0)).at(secs(4), Step::Shutdown(0));
    lab.run_until(secs(5));
    assert_eq!(lab.exits[&0], (at(secs(4)), false));
}
