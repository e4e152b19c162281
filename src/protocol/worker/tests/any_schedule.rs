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
        settings.queue.claim_poll = secs(4);
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
    lab.at(secs(240), Step::Start);
    for end in 3..16 {
        lab.run_until(secs(100 * end));
        let queue = lab.store.regular();
        if queue.completed.len() + queue.failed.len() == specs.len() {
            break;
        }
    }
    lab
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

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
