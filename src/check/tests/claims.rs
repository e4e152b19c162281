//! Claims against runs.

use super::support::Run;
use crate::check::{
    Bound, ClaimVerdict, Figure, Judged, JudgedClaim, Range, Standing, Verdict, judge_claims, share_interval,
};
use crate::scenario::Source;
use crate::scenario::claims::{Claims, read};

/// Claims of one statement each, with these conditions.
fn claims(conditions: &[&str]) -> Claims {
    let mut yaml = "claims:\n  - id: A-1\n    text: It is so.\n    measured: []\n".to_owned();
    if !conditions.is_empty() {
        yaml = yaml.replace(" []", "");
    }
    for condition in conditions {
        yaml.push_str(&format!("      - {condition}\n"));
    }
    read(&Source::new("claims.yaml", yaml), None).expect("good claims")
}

/// A run of the scenario `one` in which the detection time was measured so.
fn run(repeat: u32, values: &[(f64, f64)]) -> Judged {
    let values = values.iter().map(|(min, max)| Range { min: *min, max: Some(*max) }).collect();
    let mut judged = Run::s0(1_000).judge();
    judged.verdict = Verdict::Pass;
    judged.repeat = repeat;
    judged.figures = vec![Figure { name: "detection_time".to_owned(), values }];
    judged
}

fn judge(conditions: &[&str], runs: &[Judged]) -> JudgedClaim {
    judge_claims(&claims(conditions), runs, &[]).remove(0)
}

const ABOUT_30_S: &str = "{scenario: one, figure: detection_time, holds: {min: 20s, max: 40s}}";

#[test]
fn the_measurement_decides_and_a_coarse_one_does_not() {
    for (what, values, verdict) in [
        ("within", &[(25_000.0, 26_000.0)][..], ClaimVerdict::Confirmed),
        ("on the ends", &[(20_000.0, 40_000.0)], ClaimVerdict::Confirmed),
        ("beyond", &[(40_001.0, 41_000.0)], ClaimVerdict::Refuted),
        ("one of two beyond", &[(25_000.0, 26_000.0), (15_000.0, 16_000.0)], ClaimVerdict::Refuted),
        ("across an end", &[(39_900.0, 40_100.0)], ClaimVerdict::Untested),
        ("nothing measured", &[], ClaimVerdict::Untested),
    ] {
        let judged = judge(&[ABOUT_30_S], &[run(1, values)]);
        assert_eq!(judged.verdict, verdict, "{what}: {judged:#?}");
        assert_eq!(judged.conditions[0].why.is_some(), verdict == ClaimVerdict::Untested, "{what}");
    }
}

#[test]
fn all_conditions_must_hold_and_one_that_does_not_refutes() {
    let other = "{scenario: other, figure: lost, holds: 0}";
    let judged = judge(&[ABOUT_30_S, other], &[run(1, &[(25_000.0, 26_000.0)])]);
    assert_eq!(judged.verdict, ClaimVerdict::Untested);
    assert_eq!(judged.conditions[1].why.as_deref(), Some("other was not run"));
    let judged = judge(&[other, ABOUT_30_S], &[run(1, &[(90_000.0, 91_000.0)])]);
    assert_eq!(judged.verdict, ClaimVerdict::Refuted, "whatever is not known");
    assert_eq!(judge(&[], &[]).verdict, ClaimVerdict::Untested);
}

#[test]
fn a_failed_scenario_has_measured_and_an_inconclusive_one_has_not() {
    let mut failed = run(1, &[(25_000.0, 26_000.0)]);
    failed.verdict = Verdict::Fail;
    assert_eq!(judge(&[ABOUT_30_S], &[failed.clone()]).verdict, ClaimVerdict::Confirmed);
    failed.verdict = Verdict::Inconclusive;
    let judged = judge(&[ABOUT_30_S], &[failed]);
    assert_eq!(judged.verdict, ClaimVerdict::Untested);
    assert_eq!(judged.conditions[0].why.as_deref(), Some("one was inconclusive"));
    let not_run = [("one", "no libfaketime")];
    let judged = judge_claims(&claims(&[ABOUT_30_S]), &[], &not_run).remove(0);
    assert_eq!(judged.conditions[0].why.as_deref(), Some("one could not be run: no libfaketime"));
}

#[test]
fn what_did_not_come_at_all_breaks_an_upper_end_and_confirms_none() {
    let mut late = run(1, &[]);
    let name = "watched up becomes true".to_owned();
    late.figures = vec![Figure { name, values: vec![Range { min: 8_000.0, max: None }] }];
    let of = |max: &str| format!("{{scenario: one, figure: watched up becomes true, holds: {{max: {max}}}}}");
    assert_eq!(judge(&[&of("5s")], &[late.clone()]).verdict, ClaimVerdict::Refuted);
    assert_eq!(judge(&[&of("10s")], &[late.clone()]).verdict, ClaimVerdict::Untested);
    let open = "{scenario: one, figure: watched up becomes true, holds: {min: 1s}}";
    assert_eq!(judge(&[open], &[late]).verdict, ClaimVerdict::Untested, "it may still come");
}

#[test]
fn a_check_s_verdict_can_be_asked_for() {
    let mut passed = Run::s0(1_000).judge();
    passed.verdict = Verdict::Pass;
    let check = |holds: &str| format!("{{scenario: one, figure: lost, holds: {holds}}}");
    assert_eq!(judge(&[&check("pass")], &[passed.clone()]).verdict, ClaimVerdict::Confirmed);
    assert_eq!(judge(&[&check("fail")], &[passed]).verdict, ClaimVerdict::Refuted);
}

#[test]
fn what_is_shown_decides_nothing() {
    let shown = "{scenario: one, figure: detection_time, holds: any}";
    let late = run(1, &[(90_000.0, 91_000.0)]);
    let lost = "{scenario: one, figure: lost, holds: pass}";
    let judged = judge(&[shown, lost], std::slice::from_ref(&late));
    assert_eq!(judged.verdict, ClaimVerdict::Confirmed, "{judged:#?}");
    assert_eq!(judged.conditions[0].measured, Some(Range { min: 90_000.0, max: Some(91_000.0) }));
    assert_eq!(judge(&[shown], &[late]).verdict, ClaimVerdict::Untested);
}

#[test]
fn several_runs_make_a_rate_with_its_interval() {
    let runs: Vec<Judged> = (1..=40)
        .map(|n| run(n, &[if n <= 12 { (30_000.0, 30_100.0) } else { (50_000.0, 50_100.0) }]))
        .collect();
    let judged = judge(&[ABOUT_30_S], &runs);
    let condition = &judged.conditions[0];
    assert_eq!((condition.runs, condition.held, condition.broken), (40, 12, 28));
    assert_eq!((condition.values, condition.standing), (40, Standing::Broken));
    assert_eq!(condition.measured, Some(Range { min: 30_000.0, max: Some(50_100.0) }));
    assert!(condition.share_held.is_some() && !condition.simulated);
    let mut simulated = runs;
    for run in &mut simulated {
        run.backend = "sim".to_owned();
    }
    let judged = judge(&[ABOUT_30_S], &simulated);
    assert!(judged.conditions[0].simulated);
    assert_eq!(judged.conditions[0].runs, 1, "the other seeds are shown because they did not pass");
}

#[test]
fn rates_have_the_intervals_of_clopper_and_pearson() {
    for (held, runs, min, max) in [
        (12, 40, 0.165_6, 0.465_3),
        (1, 10, 0.002_5, 0.445_0),
        (0, 40, 0.0, 0.072_2),
        (10, 10, 0.741_1, 1.0),
        (500, 1_000, 0.468_5, 0.531_5),
    ] {
        let Bound { min: Some(low), max: Some(high) } = share_interval(held, runs) else {
            panic!("both ends are known");
        };
        assert!((low - min).abs() < 1e-4 && (high - max).abs() < 1e-4, "{held} of {runs}: {low} to {high}");
    }
}
