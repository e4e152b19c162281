//! The modelled Prometheus against the real one: random series, and what `promtool test rules` says of
//! the values and the alerts that the model gives.

mod expressions;
mod promtool;
mod series;

use syncope::dist::Random;
use syncope::sim::prometheus::{Expression, Query};

use expressions::{ALERTS, EXPRESSIONS, scaled};
use promtool::{Case, Verdict, alerts_of, judge};
use series::Recording;

const RECORDINGS: u64 = 24;

/// So many ms stand for a second in an expression, and the samples are 15 of them apart.
const UNITS: [i64; 4] = [1_000, 100, 20, 333];

fn recordings(name: &str, count: u64) -> impl Iterator<Item = (i64, Random, Recording)> {
    (0..count).map(move |number| {
        let mut random = Random::stream(number, name);
        let unit = UNITS[(number % 4) as usize];
        let recording = Recording::random(&mut random, 15 * unit);
        (unit, random, recording)
    })
}

/// Times on the samples, beside them, and after their end.
fn times(random: &mut Random, recording: &Recording) -> Vec<i64> {
    let mut times: Vec<i64> = (0..3).map(|_| random.below(recording.end() as u64) as i64).collect();
    times.extend((0..3).map(|_| random.below(60) as i64 * recording.interval));
    times.push(recording.end());
    times.sort_unstable();
    times.dedup();
    times
}

#[test]
fn expressions_have_the_values_that_prometheus_gives_them() {
    let (mut compared, mut without) = (0, 0);
    let mut cases = Vec::new();
    for (unit, mut random, recording) in recordings("expressions", RECORDINGS) {
        let storage = recording.storage();
        let mut case = Case::new(recording.clone());
        for at in times(&mut random, &recording) {
            for expression in EXPRESSIONS {
                let text = scaled(expression, unit);
                let read = Expression::read(&text).unwrap_or_else(|why| panic!("{text}: {why}"));
                let query = Query { storage: &storage, step: recording.interval };
                match query.vector(&read, at) {
                    // YAML's comparison of a NaN with itself is false.
                    Ok(vector) if vector.iter().all(|point| !point.value.is_nan()) => {
                        compared += vector.len().max(1);
                        case.expect(at, &text, vector);
                    }
                    _ => without += 1,
                }
            }
        }
        cases.push(case);
    }
    match judge(&cases) {
        Verdict::Same => {}
        Verdict::Differs(words) => panic!("{words}"),
    }
    assert!(compared > 8_000, "{compared} values were compared");
    assert!(without * 10 < compared, "{without} expressions had none");
}

#[test]
fn alerts_fire_and_rules_record_when_prometheus_lets_them() {
    let mut fired = 0;
    for (unit, mut random, recording) in recordings("alerts", 8) {
        let rules = scaled(ALERTS, unit);
        let mut case = Case::new(recording.clone());
        fired += alerts_of(&mut case, &rules, times(&mut random, &recording));
        match judge(&[case]) {
            Verdict::Same => {}
            Verdict::Differs(words) => panic!("{words}"),
        }
    }
    assert!(fired > 40, "{fired} alerts fired");
}

/// Each is what a wrong model would say; the comparison has to find it.
#[test]
fn a_wrong_value_is_found() {
    for (right, wrong) in [
        // No extrapolation to the window's ends.
        (
            "increase(steady_total[<60>])",
            "max_over_time(steady_total[<60>]) - min_over_time(steady_total[<60>])",
        ),
        // A counter that began again is not seen.
        (
            "increase(kube_pod_container_status_restarts_total[<300>])",
            "delta(kube_pod_container_status_restarts_total[<300>])",
        ),
        // The rate is by another time than the window's.
        ("rate(steady_total[<60>])", "increase(steady_total[<60>]) / 59"),
        // The window's begin is not part of it.
        ("count_over_time(steady_total[<60>])", "count_over_time(steady_total[<59>])"),
        // The subquery's steps follow the time of the question.
        ("sum_over_time(sum(queue_jobs)[<180>:<45>])", "sum_over_time(sum(queue_jobs)[<180>:<44>])"),
        // What ended goes on.
        ("count(queue_jobs)", "count(last_over_time(queue_jobs[<120>]))"),
        // A comparison leaves the number.
        ("2 < workers_active", "workers_active * 0 + 2 and 2 < workers_active"),
    ] {
        let mut cases = Vec::new();
        for (unit, mut random, recording) in recordings("mistakes", 4) {
            let storage = recording.storage();
            let mut case = Case::new(recording.clone());
            for at in times(&mut random, &recording) {
                let mistaken = Expression::read(&scaled(wrong, unit)).unwrap();
                let query = Query { storage: &storage, step: recording.interval };
                case.expect(at, &scaled(right, unit), query.vector(&mistaken, at).unwrap());
            }
            cases.push(case);
        }
        assert!(matches!(judge(&cases), Verdict::Differs(_)), "not found: {wrong} in place of {right}");
    }
}

/// What the scenarios ask is in the list of what is compared, as they have it.
#[test]
fn every_rule_of_a_scenario_is_compared() {
    let known: Vec<String> = EXPRESSIONS.iter().map(|expression| scaled(expression, 1_000)).collect();
    let asked = expressions::of_scenarios();
    for (scenario, expression) in &asked {
        assert!(known.contains(expression), "{scenario}: `{expression}` is not among the expressions");
    }
    assert!(asked.len() >= 8, "{} rules of scenarios", asked.len());
}
