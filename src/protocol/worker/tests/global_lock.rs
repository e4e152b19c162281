use super::*;

fn two() -> Lab {
    let mut lab = lab_with(|settings| settings.heartbeat = Some(new_heartbeat()));
    lab.at(secs(0), Step::Start).at(secs(3), Step::Start);
    lab
}

fn changes(lab: &Lab) -> Vec<(u64, usize, bool)> {
    let changes = lab.log.iter().filter_map(|(at, process, event)| match event {
        FleetEvent::Operational { holding } => {
            Some((at.since(Instant::ZERO).as_millis() / 1_000, *process, *holding))
        }
        _ => None,
    });
    changes.collect()
}

#[test]
fn one_worker_is_operational_and_only_it_takes_jobs_while_both_beat() {
    let mut lab = two();
    lab.at(secs(5), Step::Enqueue(job("job-1", 1, secs(1))));
    lab.at(secs(5), Step::Enqueue(job("job-2", 1, secs(1)))).run_until(secs(300));
    assert_eq!(changes(&lab), [(0, 0, true)]);
    assert!(lab.log.iter().all(|(_, process, event)| *process == 0 || !is_claimed(event)));
    assert!(lab.events(1).iter().any(|event| matches!(event, FleetEvent::Beat { .. })));
}

#[test]
fn after_a_kill_the_lock_is_stale_until_its_ttl_ends() {
    // Claim S0-7: up to 60 s in which the fleet looks alive and does nothing.
    let mut lab = two();
    lab.at(secs(100), Step::Kill(0)).run_until(secs(300));
    let [_, (when, 1, true)] = changes(&lab)[..] else { panic!("{:?}", changes(&lab)) };
    assert!((150..=170).contains(&when), "{when}");
}

#[test]
fn a_graceful_stop_releases_the_lock() {
    let mut lab = two();
    lab.at(secs(100), Step::Shutdown(0)).run_until(secs(300));
    assert_eq!(changes(&lab)[..2], [(0, 0, true), (100, 0, false)]);
    let (when, process, holding) = changes(&lab)[2];
    assert!(process == 1 && holding && when <= 110, "{when}");
}

#[test]
fn a_holder_that_cannot_renew_stops_before_its_lock_ends() {
    let mut lab = two();
    lab.at(secs(100), Step::Outage(Store::Redis, secs(100))).run_until(secs(300));
    let changes = changes(&lab);
    let (when, process, holding) = changes[1];
    assert!(process == 0 && !holding && (150..=160).contains(&when), "{changes:?}");
    assert_eq!(changes.len(), 3, "one of them gets it when redis is back: {changes:?}");
}

#[test]
fn a_paused_holder_gives_way_when_it_comes_back() {
    let mut lab = two();
    lab.at(secs(100), Step::Pause(0, secs(100))).run_until(secs(300));
    let changes = changes(&lab);
    assert_eq!((changes[1].1, changes[1].2), (1, true), "{changes:?}");
    assert_eq!(changes[2], (200, 0, false), "{changes:?}");
    assert_eq!(changes.len(), 3, "{changes:?}");
}
