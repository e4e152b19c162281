use std::sync::Arc;
use std::sync::mpsc::channel;

use syncope::live::clock;
use syncope::live::inject::Firer;
use syncope::time::Span;

use crate::fake::PATIENCE;

#[test]
fn jobs_are_fired_in_order_and_never_early_and_their_lateness_is_told() {
    let firer = Firer::start().unwrap();
    let (sender, fired) = channel();
    let start = clock::monotonic();
    // In another order than they are due; one is overdue.
    let delays_micros = [9_000, 100, 30_000, 0, 5_000, 5_010, 12_345];
    for delay in delays_micros {
        let (due, sender) = (start + Span::from_micros(delay), sender.clone());
        firer.schedule(due, Box::new(move |at| sender.send((due, at)).unwrap()));
    }
    let mut dues = Vec::new();
    for _ in delays_micros {
        let (due, fired) = fired.recv_timeout(PATIENCE).unwrap();
        assert!(fired.at >= due);
        assert_eq!(fired.lateness, fired.at.since(due));
        dues.push(due);
    }
    // The first may have been fired before those that are due earlier were scheduled.
    assert!(dues.iter().skip(1).is_sorted() || dues.is_sorted(), "{dues:?}");
}

#[test]
fn jobs_due_at_once_run_in_the_order_of_their_scheduling() {
    let firer = Firer::start().unwrap();
    let (sender, fired) = channel();
    let due = clock::monotonic() + Span::from_millis(50);
    for number in 0..20 {
        let sender = sender.clone();
        firer.schedule(due, Box::new(move |_| sender.send(number).unwrap()));
    }
    let order: Vec<i32> = (0..20).map(|_| fired.recv_timeout(PATIENCE).unwrap()).collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn an_earlier_job_wakes_a_firer_that_waits_for_a_later_one() {
    let firer = Firer::start().unwrap();
    let (sender, fired) = channel();
    firer.schedule(clock::monotonic() + Span::from_secs(3_600), Box::new(|_| panic!("not in this test")));
    firer.schedule(clock::monotonic(), Box::new(move |at| sender.send(at).unwrap()));
    assert!(fired.recv_timeout(PATIENCE).is_ok());
}

#[test]
fn a_job_that_panics_does_not_keep_the_next_from_being_fired() {
    let firer = Firer::start().unwrap();
    let (sender, fired) = channel();
    firer.schedule(clock::monotonic(), Box::new(|_| panic!("a planted panic")));
    firer.schedule(clock::monotonic(), Box::new(move |at| sender.send(at).unwrap()));
    assert!(fired.recv_timeout(PATIENCE).is_ok());
}

#[test]
fn jobs_that_wait_when_the_firer_is_dropped_are_dropped() {
    let firer = Firer::start().unwrap();
    let held = Arc::new(());
    let in_job = Arc::clone(&held);
    firer.schedule(clock::monotonic() + Span::from_secs(3_600), Box::new(move |_| drop(in_job)));
    drop(firer);
    assert_eq!(Arc::strong_count(&held), 1);
}
