use proptest::prelude::*;

use super::*;
use crate::protocol::command::JobStatus;
use crate::protocol::testing::{Lab, Step, at, job, millis, new_heartbeat, old_heartbeat, secs, settings};
use crate::protocol::{HeartbeatSettings, JobSpec, PLANNED_FAILURE, STALLED_TOO_OFTEN};

fn lab() -> Lab {
    Lab::new(settings())
}

fn lab_with(change: impl FnOnce(&mut FleetSettings)) -> Lab {
    let mut settings = settings();
    change(&mut settings);
    Lab::new(settings)
}

fn is_claimed(event: &FleetEvent) -> bool {
    matches!(event, FleetEvent::Claimed { .. })
}

fn is_stalled(event: &FleetEvent) -> bool {
    matches!(event, FleetEvent::Stalled { .. })
}

fn is_lock_lost(event: &FleetEvent) -> bool {
    matches!(event, FleetEvent::LockLost { .. })
}

mod jobs {
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
        let order =
            ["SetStatus", "LoadSteps", "SaveStep", "SaveStep", "RecordEffect", "SetStatus", "Complete"];
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
        lab.at(secs(0), Step::Start)
            .at(secs(1), Step::Start)
            .at(secs(25), Step::Kill(0))
            .run_until(secs(130));
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
}

mod stores {
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
}

mod takeover {
    use super::*;

    /// From the kill of the holder to the stalled check that returns its job. The survivor starts
    /// first, or second by `gap`; the holder is killed at `kill` after the job's claim.
    fn detection(survivor_first: bool, gap: Span, kill: Span) -> Span {
        let mut lab = lab_with(|settings| settings.queue.claim_poll = secs(1));
        let (holder, survivor) = if survivor_first { (1, 0) } else { (0, 1) };
        lab.at(secs(0), Step::Start).at(gap, Step::Start);
        // Both slots are filled, so that each worker holds one job.
        lab.at(gap + secs(40), Step::Enqueue(job("job-1", 1, secs(500))));
        lab.at(gap + secs(40), Step::Enqueue(job("job-2", 1, secs(500))));
        lab.run_until(gap + secs(45));
        assert_eq!(lab.count(is_claimed), 2);
        let killed = gap + secs(45) + kill;
        lab.at(killed, Step::Kill(holder));
        let found = lab.run_to(killed + secs(200), is_stalled).expect("the job is found");
        assert!(lab.log.iter().any(|(_, process, event)| *process == survivor && is_stalled(event)));
        found.since(at(killed))
    }

    #[test]
    fn with_a_living_sweeper_detection_spans_exactly_the_model_s_bounds() {
        // E − h = 15 s to E + S = 60 s, over every phase of the kill.
        let found: Vec<Span> = (0..120).map(|n| detection(true, secs(11), millis(n * 250))).collect();
        let (min, max) = (found.iter().min().unwrap(), found.iter().max().unwrap());
        assert!(*min >= secs(15) && *max <= secs(60) + millis(10), "{min} to {max}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_killed_worker_s_job_comes_back_in_time(
            survivor_first: bool, gap in 1_u64..29_000, kill in 0_u64..60_000,
        ) {
            let found = detection(survivor_first, millis(gap), millis(kill));
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
        let lost: Vec<usize> = lab
            .log
            .iter()
            .filter(|(.., event)| is_lock_lost(event))
            .map(|(_, process, _)| *process)
            .collect();
        assert_eq!(lost, [0]);
        assert_eq!(lab.store.regular().completed, ["job-1".into()]);
        assert_eq!(lab.store.effects.len(), 1);
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
}

mod stopping {
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
}

mod heartbeats {
    use super::*;

    fn beats(heartbeat: HeartbeatSettings, pause: Option<(Span, Span)>) -> Lab {
        let mut lab = lab_with(|settings| settings.heartbeat = Some(heartbeat));
        lab.jitter = millis(2);
        lab.at(secs(0), Step::Start);
        if let Some((when, span)) = pause {
            lab.at(when, Step::Pause(0, span));
        }
        lab.run_until(secs(600));
        lab
    }

    fn sent(lab: &Lab) -> Vec<u64> {
        let sent = lab.log.iter().filter_map(|(.., event)| match event {
            FleetEvent::Beat { sent } => Some(sent.since(Instant::ZERO).as_millis()),
            _ => None,
        });
        sent.collect()
    }

    #[test]
    fn the_old_settings_leave_gaps_without_any_fault_and_the_new_ones_do_not() {
        // Claims S0-1 and S0-2: two milliseconds of jitter are enough.
        let old = beats(old_heartbeat(), None);
        assert!(old.store.beat_gaps.len() >= 15, "{:?}", old.store.beat_gaps);
        let new = beats(new_heartbeat(), None);
        assert_eq!(new.store.beat_gaps, []);
    }

    #[test]
    fn the_new_settings_bear_a_pause_below_ttl_minus_interval() {
        let tolerated = beats(new_heartbeat(), Some((secs(100), secs(14))));
        assert_eq!(tolerated.store.beat_gaps, []);
        let seen = beats(new_heartbeat(), Some((secs(100), secs(40))));
        assert_eq!(seen.store.beat_gaps.len(), 1);
    }

    #[test]
    fn beats_keep_their_phase_and_missed_ones_are_not_made_up_for() {
        let lab = beats(new_heartbeat(), Some((secs(50), secs(40))));
        let sent = sent(&lab);
        let first = sent[0];
        let around: Vec<u64> = sent.iter().map(|sent| (sent - first) / 1_000).filter(|s| *s < 125).collect();
        assert_eq!(around, [0, 15, 30, 45, 89, 90, 105, 120]);
    }

    #[test]
    fn beats_fail_during_an_outage_and_go_on_after_it() {
        let mut lab = lab_with(|settings| settings.heartbeat = Some(new_heartbeat()));
        lab.at(secs(0), Step::Start).at(secs(20), Step::Outage(Store::Redis, secs(30))).run_until(secs(100));
        assert_eq!(lab.count(|event| matches!(event, FleetEvent::BeatFailed { .. })), 2);
        assert_eq!(sent(&lab).len(), 5);
    }
}

mod global_lock {
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
}

mod planted_bugs {
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
}

mod any_schedule {
    use super::*;

    fn fault() -> impl Strategy<Value = Step> {
        let span = (1_u64..90_000).prop_map(millis);
        prop_oneof![
            (0_usize..2).prop_map(Step::Kill),
            (0_usize..2, span.clone()).prop_map(|(process, span)| Step::Pause(process, span)),
            (0_usize..2).prop_map(Step::Shutdown),
            (prop_oneof![Just(Store::Redis), Just(Store::Postgres)], span)
                .prop_map(|(store, span)| Step::Outage(store, span)),
        ]
    }

    fn spec() -> impl Strategy<Value = JobSpec> {
        (0_usize..5, 1_u64..20_000, 0_u32..4, prop::option::of(5_u64..40)).prop_map(
            |(steps, step, failing_attempts, timeout)| JobSpec {
                failing_attempts,
                timeout: timeout.map(secs),
                ..job("", steps, millis(step))
            },
        )
    }

    fn run(faults: &[(u64, Step)], specs: &[JobSpec], heartbeat: bool, slots: u32) -> Lab {
        let mut lab = lab_with(|settings| {
            settings.heartbeat = heartbeat.then(new_heartbeat);
            settings.queue.concurrency = slots;
            settings.queue.max_stalled_count = 3;
        });
        lab.jitter = millis(4);
        lab.at(secs(0), Step::Start).at(secs(2), Step::Start);
        for (n, spec) in (1_u64..).zip(specs) {
            let id = format!("job-{n}").into();
            lab.at(millis(700 * n), Step::Enqueue(JobSpec { id, ..spec.clone() }));
        }
        for (when, fault) in faults {
            lab.at(secs(2) + millis(*when), fault.clone());
        }
        // Heal: all outages and pauses have ended by now, and a fresh worker comes.
        lab.at(secs(240), Step::Start).run_until(secs(1500));
        lab
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

        /// The lab itself asserts that no input leaves anything due, and that nothing spins.
        #[test]
        fn nothing_is_lost_and_every_job_ends(
            faults in prop::collection::vec((0_u64..120_000, fault()), 0..6),
            specs in prop::collection::vec(spec(), 1..6),
            heartbeat: bool,
            slots in 1_u32..4,
        ) {
            let lab = run(&faults, &specs, heartbeat, slots);
            let queue = lab.store.regular();
            prop_assert!(queue.waiting.is_empty() && queue.active.is_empty() && queue.delayed.is_empty());
            for n in 1..=specs.len() {
                let id = format!("job-{n}").into();
                let completed = queue.completed.iter().filter(|job| **job == id).count();
                let failed = usize::from(queue.failed.contains_key(&id));
                prop_assert_eq!(completed + failed, 1, "{} ends once", id);
                let effects = lab.store.effects.iter().filter(|(job, _)| *job == id).count();
                prop_assert!(completed == 0 || effects >= 1, "{} is complete without its effect", id);
                for step in lab.acknowledged_steps(&id) {
                    let saved = lab.store.steps.get(&id).is_some_and(|steps| steps.contains(&step));
                    prop_assert!(saved, "step {} of {} was acknowledged", step, id);
                }
            }
        }

        #[test]
        fn the_same_inputs_give_the_same_outputs(
            faults in prop::collection::vec((0_u64..120_000, fault()), 0..4),
            specs in prop::collection::vec(spec(), 1..4),
        ) {
            let [one, two] = [(); 2].map(|()| run(&faults, &specs, true, 2));
            prop_assert_eq!(one.log, two.log);
            prop_assert_eq!(one.commands, two.commands);
        }
    }
}
