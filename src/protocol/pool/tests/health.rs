use super::*;

#[test]
fn an_idle_pool_knows_of_an_outage_by_its_next_claim_and_of_its_end_likewise() {
    let mut lab = lab();
    lab.at(secs(0), Step::Start).at(secs(40), Step::Outage(Store::Redis, secs(20))).run_until(secs(80));
    let changes: Vec<_> = updates(&lab)
        .into_iter()
        .map(|(at, health)| (at, health.redis_connected, health.healthy))
        .filter(|(when, ..)| *when >= at(secs(40)))
        .collect();
    let (off, connected, healthy) = changes[0];
    assert!(!connected && !healthy && off <= at(secs(41) + millis(10)), "{changes:?}");
    let back = changes.iter().find(|(_, connected, _)| *connected).expect("it is connected again");
    assert!(back.2 && back.0 >= at(secs(60)) && back.0 <= at(secs(61) + millis(10)), "{changes:?}");
}

#[test]
fn a_busy_pool_knows_of_an_outage_by_its_health_check() {
    let mut lab = lab();
    enqueue(&mut lab, 1..=4, 1, secs(100));
    lab.at(secs(0), Step::Start).at(secs(17), Step::Outage(Store::Redis, secs(12))).run_until(secs(31));
    assert!(updates(&lab).iter().all(|(when, health)| *when < at(millis(10)) || health.redis_connected));
    lab.at(secs(31), Step::Outage(Store::Redis, secs(60))).run_until(secs(70));
    let off =
        updates(&lab).into_iter().find(|(when, health)| *when > at(secs(31)) && !health.redis_connected);
    // The locks are renewed each 15 s, after 30 s the next time at 45 s.
    let (off, _) = off.expect("it is told");
    assert!(off <= at(secs(46)), "{off:?}");
}

#[test]
fn over_the_threshold_each_worker_takes_half_of_its_jobs_for_a_while() {
    let mut lab = lab();
    lab.memory = (900 * MIB, Some(1_000 * MIB));
    enqueue(&mut lab, 1..=60, 1, secs(10));
    lab.at(secs(0), Step::Start).run_until(secs(15));
    let claims = |lab: &Lab| lab.count(is_claimed);
    assert_eq!(claims(&lab), 4, "two at once, and the next two");
    lab.memory = (100 * MIB, Some(1_000 * MIB));
    lab.run_until(secs(59));
    let lowered = claims(&lab);
    lab.run_until(secs(79));
    assert_eq!(claims(&lab) - lowered, 8, "two more slots than before, twice");
    let limits = said(&lab).into_iter().filter_map(|(at, event)| match event {
        PoolEvent::Concurrency { per_worker } => Some((at, per_worker)),
        _ => None,
    });
    assert_eq!(limits.collect::<Vec<_>>(), [(Instant::ZERO, 1), (at(secs(60)), 2)]);
    let health = updates(&lab);
    assert!(health.iter().any(|(_, health)| !health.healthy && health.memory.used == 900 * MIB));
    assert!(health.last().is_some_and(|(_, health)| health.healthy));
}

#[test]
fn without_a_limit_each_worker_may_use_512_mib() {
    let mut lab = lab();
    lab.memory = (256 * MIB, None);
    lab.at(secs(0), Step::Start).run_until(secs(31));
    let memory = updates(&lab).last().map(|(_, health)| health.memory);
    assert_eq!(memory, Some(Memory { used: 256 * MIB, total: 1_024 * MIB }));
}

#[test]
fn without_monitoring_nothing_is_measured_and_the_connection_is_known_all_the_same() {
    let mut lab = lab_with(|pool| pool.health_interval = None);
    lab.memory = (1, None);
    lab.at(secs(0), Step::Start).at(secs(10), Step::Outage(Store::Redis, secs(20))).run_until(secs(20));
    let last = updates(&lab).pop().map(|(_, health)| health);
    assert!(last.is_some_and(|health| !health.redis_connected && health.memory == Memory::default()));
}
