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
    assert!(old.store.beat_gaps.len() >= 10, "{:?}", old.store.beat_gaps);
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
