//! Faults that hang on a command on the wire: the tap's word is part of the receipt.

use super::support::{Run, ms};
use crate::check::{Judged, Verdict};
use crate::fault::wire::{CommandPattern, Side, Wire};
use crate::fault::{FaultId, FaultKind, Injection, Signal, Stage, Target, Trigger};
use crate::history::What;
use crate::history::wire::{Fate, Wiretap};
use crate::names::{Endpoint, HARNESS, Link, Store};

fn link() -> Link {
    Link { from: "worker-1".into(), to: Endpoint::Store(Store::Redis) }
}

/// A run with a kill that waits for a command.
fn waiting(side: Side) -> (Run, FaultId) {
    let mut run = Run::s3(60_000);
    let target = Target::Process("worker-1".into());
    let id = run.fault(FaultKind::Kill { target, signal: Signal::Kill, restart_after: None });
    let command = CommandPattern { name: Some("DONE".into()), ..CommandPattern::default() };
    run.scenario.faults[usize::from(id.0)].when =
        Trigger::Wire(Wire { links: vec![link()], command, nth: 3, side });
    (run, id)
}

fn killed(side: Side, held: u64, fate: Fate) -> Judged {
    let (mut run, fault) = waiting(side);
    let caught = Wiretap::Caught { fault, link: link(), side, nth: 3, command: "DONE job-7".into() };
    run.push(5_000, HARNESS, What::Wire(caught));
    let released = Wiretap::Released { fault, link: link(), held: ms(held), bytes: 31, fate };
    let onset = Injection::Signal { process: "worker-1".into(), signal: Signal::Kill };
    if fate == Fate::Expired {
        run.push(5_000 + held, HARNESS, What::Wire(released.clone()));
    }
    run.injected(fault, Stage::Onset, 5_020, onset);
    if fate != Fate::Expired {
        run.push(5_000 + held, HARNESS, What::Wire(released));
    }
    run.judge()
}

#[test]
fn the_receipt_begins_with_what_the_tap_saw() {
    let before = killed(Side::Before, 23, Fate::Lost);
    assert_eq!(
        before.faults[0].proof,
        "DONE job-7, command 3 of its kind, stood in the proxy on worker-1 -> redis unsent for 23ms; \
         its 31 bytes were lost with the connection; seen in /proc"
    );
    assert!(before.faults[0].confirmed);
    let after = killed(Side::After, 23, Fate::Passed);
    assert_eq!(
        after.faults[0].proof,
        "DONE job-7, command 3 of its kind, was carried out; its reply stood in the proxy on \
         worker-1 -> redis for 23ms, then it was passed on; seen in /proc"
    );
}

#[track_caller]
fn assert_unconfirmed(judged: &Judged, note: &str) {
    let check = judged.checks.iter().find(|check| check.name == "faults_confirmed").unwrap();
    assert_eq!((check.verdict, check.note.as_str()), (Verdict::Inconclusive, note));
}

#[test]
fn a_fault_that_came_after_its_command_had_gone_is_not_confirmed() {
    let late = killed(Side::Before, 15, Fate::Expired);
    assert!(!late.faults[0].confirmed);
    assert_unconfirmed(
        &late,
        "fault 0.0 (kill of worker-1): its command could be held for 15ms only, and it was not carried out by \
         then.",
    );
}

#[test]
fn a_tap_that_stepped_aside_is_why_a_fault_never_fired() {
    let (mut run, _) = waiting(Side::Before);
    assert_unconfirmed(&run.judge(), "fault 0 (kill) never fired: its trigger did not come.");
    let aside = Wiretap::Aside { link: link(), reason: "the traffic is encrypted".into() };
    run.push(1_000, HARNESS, What::Wire(aside));
    let judged = run.judge();
    let why = "the tap on worker-1 -> redis stepped aside: the traffic is encrypted";
    assert_unconfirmed(&judged, &format!("fault 0 (kill) never fired: {why}."));
    assert_eq!(judged.faults[0].proof, format!("none: it never fired; {why}"));
}
