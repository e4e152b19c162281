use super::*;

fn planted(bug: PlantedBug) -> Lab {
    let mut lab = lab_with(|settings| settings.planted_bug = Some(bug));
    lab.at(secs(0), Step::Start).at(secs(1), Step::Start);
    lab.at(secs(0), Step::Enqueue(job("job-1", 10, secs(8))));
    lab
}

#[test]
fn who_acknowledges_early_loses_the_job_with_its_worker() {
    let mut lab = planted(PlantedBug::AcknowledgesEarly);
    lab.at(secs(20), Step::Kill(0)).run_until(secs(300));
    assert_eq!(lab.store.regular().completed, ["job-1".into()]);
    assert_eq!(lab.store.effects, [], "lost");
}

#[test]
fn who_acknowledges_early_is_not_found_out_without_a_fault() {
    let mut lab = planted(PlantedBug::AcknowledgesEarly);
    lab.run_until(secs(300));
    assert_eq!(lab.store.effects.len(), 1);
    assert_eq!(lab.count(|event| matches!(event, FleetEvent::Completed { .. })), 1);
}

#[test]
fn who_never_renews_is_overtaken_while_it_works() {
    let mut lab = planted(PlantedBug::NeverRenewsLock);
    lab.run_until(secs(300));
    assert!(lab.count(is_stalled) >= 1);
    assert!(lab.count(is_lock_lost) >= 1);
    assert!(lab.store.effects.len() >= 2, "duplicated: {:?}", lab.store.effects);
}

#[test]
fn who_drops_saved_steps_loses_acknowledged_ones() {
    let mut lab = planted(PlantedBug::DropsSavedSteps);
    lab.at(secs(30), Step::Kill(0)).run_until(secs(300));
    let saved: Vec<u32> = lab.store.steps["job-1"].iter().copied().collect();
    assert_eq!(saved, [4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(lab.acknowledged_steps(&"job-1".into()), (1..=10).collect::<Vec<_>>());
    assert_eq!(lab.store.effects.len(), 1);
}
