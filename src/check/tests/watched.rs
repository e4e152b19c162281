//! Watches: when an answer changed, and what it never was.

use super::support::{Run, at, check_of, expect, ms};
use crate::check::Verdict::{Fail, Inconclusive, Pass};
use crate::fault::FaultId;
use crate::history::{EnqueueOutcome, Event, Heard, What};
use crate::names::{HARNESS, Store};
use crate::scenario::{Since, TimeExpect, WatchExpect, Watched};
use crate::time::{Interval, Span};

const REDIS: &str = "redis-connected";

fn watched(expect: WatchExpect) -> Watched {
    Watched { watch: REDIS.to_owned(), expect }
}

fn becomes(answer: &str, since: Since, max: u64) -> Watched {
    let within = Interval::new(Span::ZERO, ms(max));
    watched(WatchExpect::Becomes { answer: answer.to_owned(), since, within })
}

/// Redis is away from 20 s to 40 s; the health says so from 22 s to 41 s, asked every 100 ms.
fn outage() -> Run {
    let mut run = Run::s0(60_000);
    run.outage(20_000, 40_000, Store::Redis);
    answers(&mut run, |time| Some(!(22_000..41_000).contains(&time)));
    run
}

fn answers(run: &mut Run, connected: impl Fn(u64) -> Option<bool>) {
    for time in (0..60_000).step_by(100) {
        let answer = match connected(time) {
            Some(connected) => Heard::Said(connected.to_string()),
            None => Heard::Unknown { error: "no answer".to_owned() },
        };
        run.push(time + 10, HARNESS, What::Watched { watch: REDIS.to_owned(), asked: at(time), answer });
    }
}

#[test]
fn a_change_lies_between_the_last_other_answer_and_the_first_such() {
    let mut run = outage();
    run.scenario.expect.watched = vec![becomes("false", Since::Fault(FaultId(0)), 5_000)];
    let judged = run.judge();
    let name = "watched redis-connected becomes false";
    let check = check_of(&judged, name);
    assert_eq!(check.verdict, Pass, "{check:#?}");
    // Effect at 20,001 to 20,002; asked with the old answer at 21,900, answered with the new at 22,010.
    let figure = judged.figures.iter().find(|figure| figure.name == name).unwrap();
    assert_eq!((figure.values[0].min, figure.values[0].max), (1_898.0, Some(2_009.0)));
}

#[test]
fn what_was_asked_before_is_no_answer_to_what_came_after() {
    let mut run = outage();
    // On its way when the outage begins.
    let answer = Heard::Said("false".to_owned());
    let asked = at(19_995);
    run.push(20_005, HARNESS, What::Watched { watch: REDIS.to_owned(), asked, answer });
    run.scenario.expect.watched = vec![becomes("false", Since::Fault(FaultId(0)), 5_000)];
    let judged = run.judge();
    let name = "watched redis-connected becomes false";
    let figure = judged.figures.iter().find(|figure| figure.name == name).unwrap();
    assert_eq!((figure.values[0].min, figure.values[0].max), (1_898.0, Some(2_009.0)));
}

#[test]
fn what_comes_too_late_or_never_fails() {
    let (fault, heal) = (Since::Fault(FaultId(0)), Since::Heal(FaultId(0)));
    for (what, expected, name, verdict) in [
        ("late", becomes("false", fault, 1_000), "watched redis-connected becomes false", Fail),
        ("back in time", becomes("true", heal, 5_000), "watched redis-connected becomes true", Pass),
        ("never", becomes("maybe", heal, 5_000), "watched redis-connected becomes maybe", Fail),
        (
            "not due yet",
            becomes("maybe", heal, 50_000),
            "watched redis-connected becomes maybe",
            Inconclusive,
        ),
        (
            "of a fault that was not",
            becomes("true", Since::Heal(FaultId(1)), 1),
            "watched redis-connected becomes true",
            Inconclusive,
        ),
        ("so all along", becomes("true", Since::Start, 100), "watched redis-connected becomes true", Pass),
        (
            "throughout",
            watched(WatchExpect::Never { answer: "false".into() }),
            "watched redis-connected never false",
            Fail,
        ),
        (
            "at no time",
            watched(WatchExpect::Never { answer: "maybe".into() }),
            "watched redis-connected never maybe",
            Pass,
        ),
    ] {
        let mut run = outage();
        run.scenario.expect.watched = vec![expected];
        expect(what, &run, name, verdict);
    }
}

#[test]
fn what_was_said_before_the_workload_s_start_is_no_matter_of_never() {
    let mut run = Run::s0(60_000);
    let before = at(0) - Span::from_millis(500);
    let answer = Heard::Said("false".to_owned());
    let ev = What::Watched { watch: REDIS.to_owned(), asked: before, answer };
    run.events.push(Event { at: before, by: HARNESS.into(), ev });
    answers(&mut run, |_| Some(true));
    run.scenario.expect.watched = vec![watched(WatchExpect::Never { answer: "false".into() })];
    expect("still starting", &run, "watched redis-connected never false", Pass);
}

#[test]
fn nothing_is_known_without_an_answer_or_with_a_host_that_stalled() {
    let mut run = Run::s0(60_000);
    answers(&mut run, |_| None);
    let never = watched(WatchExpect::Never { answer: "false".into() });
    run.scenario.expect.watched = vec![never, becomes("true", Since::Start, 1_000)];
    expect("no answer", &run, "watched redis-connected never false", Inconclusive);
    expect("no answer", &run, "watched redis-connected becomes true", Inconclusive);
    let mut run = outage();
    run.scenario.expect.watched = vec![becomes("false", Since::Fault(FaultId(0)), 5_000)];
    run.hiccup(21_500, 900);
    expect("a stall", &run, "watched redis-connected becomes false", Inconclusive);
}

#[test]
fn several_expectations_of_one_answer_are_told_apart() {
    let mut run = outage();
    run.scenario.expect.watched =
        vec![becomes("true", Since::Start, 1_000), becomes("true", Since::Heal(FaultId(0)), 5_000)];
    let judged = run.judge();
    assert_eq!(check_of(&judged, "watched redis-connected becomes true after the start").verdict, Pass);
    assert_eq!(check_of(&judged, "watched redis-connected becomes true after heal 1").verdict, Pass);
}

#[test]
fn the_slowest_answer_counts_whatever_the_answer_was() {
    let mut run = Run::s0(60_000);
    run.enqueue(1_000, "job-1", EnqueueOutcome::Acknowledged);
    let outcome = EnqueueOutcome::Declined("workers_offline".to_owned());
    run.push(9_000, HARNESS, What::EnqueueAnswered { job: "job-2".into(), asked: at(2_000), outcome });
    for (max, verdict) in [(7_000, Pass), (6_000, Fail)] {
        run.scenario.expect.slowest_answer = TimeExpect::Within(Interval::new(Span::ZERO, ms(max)));
        expect("7 s", &run, "slowest_answer", verdict);
    }
}
