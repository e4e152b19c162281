use super::*;

/// From the kill of the holder to the stalled check that returns its job. The survivor starts
/// first, or second by `gap`; the jobs come 40 s and `claim` later; `kill` sets the holder's end.
fn detection(survivor_first: bool, gap: Span, claim: Span, kill: Span) -> Span {
    let mut lab = lab();
    let (holder, survivor) = if survivor_first { (1, 0) } else { (0, 1) };
    lab.at(secs(0), Step::Start).at(gap, Step::Start);
    // Both slots are filled, so that each worker holds one job.
    lab.at(gap + claim + secs(40), Step::Enqueue(job("job-1", 1, secs(500))));
    lab.at(gap + claim + secs(40), Step::Enqueue(job("job-2", 1, secs(500))));
    lab.run_until(gap + claim + secs(45));
    assert_eq!(lab.count(is_claimed), 2);
    let killed = gap + claim + secs(45) + kill;
    lab.at(killed, Step::Kill(holder));
    let found = lab.run_to(killed + secs(200), is_stalled).expect("the job is found");
    assert!(lab.log.iter().any(|(_, process, event)| *process == survivor && is_stalled(event)));
    found.since(at(killed))
}

#[test]
fn with_a_living_sweeper_detection_spans_exactly_the_model_s_bounds() {
    // E − h = 15 s to E + S = 60 s, over every phase of the renewals and of the kill.
    let phases = (0..15).flat_map(|claim| (0..30).map(move |kill| (secs(claim), secs(kill))));
    let found: Vec<Span> = phases.map(|(claim, kill)| detection(true, secs(11), claim, kill)).collect();
    let (min, max) = (found.iter().min().unwrap(), found.iter().max().unwrap());
    assert!(*min >= secs(15) && *max <= secs(60) + millis(10), "{min} to {max}");
    assert!(*min < secs(17) && *max > secs(58), "both ends are reached: {min} to {max}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_killed_worker_s_job_comes_back_in_time(
        survivor_first: bool, gap in 1_u64..29_000, claim in 0_u64..30_000, kill in 0_u64..30_000,
    ) {
        let found = detection(survivor_first, millis(gap), millis(claim), millis(kill));
        // If the sweeper died with its victim, its guard of 30 s and the next sweeper's phase are added.
        prop_assert!(found >= secs(15), "{found}");
        prop_assert!(found <= secs(90) + millis(10), "{found}");
    }
}

#[test]
fn a_paused_holder_notices_that_its_lock_is_lost_and_the_job_is_completed_once() {
    let mut lab = lab();
    lab.at(secs(0), Step::Enqueue(job("job-1", 10, secs(8))));
    lab.at(secs(0), Step::Start).at(secs(1), Step::Start);
    lab.at(secs(10), Step::Pause(0, secs(100))).run_until(secs(300));
    let lost: Vec<usize> =
        lab.log.iter().filter(|(.., event)| is_lock_lost(event)).map(|(_, process, _)| *process).collect();
    assert_eq!(lost, [0]);
    assert_eq!(lab.store.regular().completed, ["job-1".into()]);
    assert_eq!(lab.store.effects.len(), 1);
}

#[test]
fn without_fencing_the_late_effect_of_a_paused_holder_lands() {
    let mut lab = lab_with(|settings| settings.queue.fencing = false);
    lab.at(secs(0), Step::Enqueue(job("job-1", 10, secs(8))));
    lab.at(secs(0), Step::Start).at(secs(1), Step::Start);
    lab.at(secs(10), Step::Pause(0, secs(100))).run_until(secs(400));
    assert_eq!(lab.store.effects.len(), 2, "{:?}", lab.store.effects);
    assert_eq!(lab.store.regular().completed, ["job-1".into()]);
}

#[test]
fn without_fencing_a_paused_holder_completes_the_job_under_its_new_one() {
    let mut lab = lab_with(|settings| settings.queue.fencing = false);
    lab.at(secs(0), Step::Enqueue(job("job-1", 2, secs(40))));
    lab.at(secs(0), Step::Start).at(secs(1), Step::Start);
    // Its last step is nearly done; the check at 120 s gives the job to the other, who needs 40 s for it.
    lab.at(secs(79), Step::Pause(0, secs(60))).run_until(secs(145));
    let done = |event: &FleetEvent| matches!(event, FleetEvent::Completed { .. });
    let by: Vec<usize> = lab.log.iter().filter(|(.., event)| done(event)).map(|(_, who, _)| *who).collect();
    assert_eq!(by, [0], "the other still works on it");
}

#[test]
fn a_pause_that_the_lock_outlasts_changes_nothing() {
    let mut lab = lab();
    lab.at(secs(0), Step::Enqueue(job("job-1", 10, secs(8))));
    lab.at(secs(0), Step::Start).at(secs(1), Step::Start);
    lab.at(secs(10), Step::Pause(0, secs(14))).run_until(secs(120));
    assert_eq!(lab.count(is_stalled) + lab.count(is_lock_lost), 0);
    assert_eq!(lab.store.regular().completed, ["job-1".into()]);
}

#[test]
fn a_job_that_stalls_too_often_fails_with_that_reason() {
    // Claim S3-5: the second crash fails the job, whatever its attempts.
    let mut lab = lab();
    lab.at(secs(0), Step::Enqueue(job("job-1", 1, secs(500))));
    lab.at(secs(0), Step::Start).at(secs(10), Step::Kill(0)).at(secs(12), Step::Start);
    assert!(lab.run_to(secs(200), is_stalled).is_some());
    let killed = lab.now.since(Instant::ZERO) + secs(5);
    lab.at(killed, Step::Kill(1)).at(killed + secs(1), Step::Start).run_until(killed + secs(200));
    assert_eq!(lab.store.regular().failed["job-1"], STALLED_TOO_OFTEN);
    let failed = JobStatus::Failed { error: STALLED_TOO_OFTEN.to_owned(), attempts: 0 };
    assert_eq!(lab.store.statuses["job-1"], failed);
}
