//! The three figures side by side, in every format.

use syncope::check::{Simulated, Spread, Verdict};
use syncope::report::{Summary, html, json, junit, markdown};

use crate::made_up;

/// As `summary.json` holds it.
pub fn without_values(mut summary: Summary) -> Summary {
    for sim in summary.scenarios.iter_mut().filter_map(|judged| judged.sim.as_mut()) {
        for spread in [&mut sim.detection_ms, &mut sim.recovery_ms].into_iter().flatten() {
            spread.values.clear();
        }
    }
    summary
}

fn page(summary: &Summary) -> String {
    String::from_utf8(html::render(summary, &[])).unwrap()
}

#[test]
fn the_repeats_of_a_scenario_share_one_picture_and_one_table() {
    let page = page(&made_up::repeats(20));
    assert_eq!(page.matches("<svg class=\"density\"").count(), 2, "detection and recovery, once");
    assert_eq!(page.matches("<table class=\"figures\"").count(), 1);
    assert_eq!(
        page.matches("All repeats of this scenario together: see <a href=\"#s1-figures\">").count(),
        19
    );
    assert!(page.contains("measured: n = 20, min 38.1 s, median 46.2 s, max 55.2 s"), "pooled");
    assert!(page.contains("Measured: 20 runs with real processes"));
    let report = String::from_utf8(markdown::render(&made_up::repeats(20))).unwrap();
    assert_eq!(report.matches("| Quantity |").count(), 1);
    assert!(report.contains("in none of 20 runs (at 95 %, in fewer than 14 %)"), "{report}");
}

#[test]
fn values_of_inconclusive_runs_are_shown_and_said_to_be() {
    let mut summary = made_up::repeats(3);
    assert!(!page(&summary).contains("inconclusive: what was measured in them"));
    summary.scenarios[1].verdict = Verdict::Inconclusive;
    assert!(page(&summary).contains("Of 3 measured runs 1 is inconclusive: what was measured in them"));
}

#[test]
fn a_gap_is_a_finding_in_every_format_and_no_failure() {
    let summary = made_up::repeats(3);
    let page = page(&summary);
    let report = String::from_utf8(markdown::render(&summary)).unwrap();
    let xml = String::from_utf8(junit::render(&summary)).unwrap();
    let json = String::from_utf8(json::render(&summary)).unwrap();
    let words = "recovery time: within the simulated range, distributed otherwise (p = 0.0030). Reality is elsewhere.";
    assert!(page.contains("<h2>Findings</h2>") && page.contains("p = 0.0030"));
    assert!(
        report.contains(&format!("- **model-reality gap** in kill -9 in mid-job \\#1, {words}")),
        "{report}"
    );
    assert!(xml.contains(&format!("finding: model-reality gap: {words}")), "{xml}");
    assert!(xml.contains("<property name=\"model-reality gap\""));
    assert!(!xml.contains("<failure") && !xml.contains("<error"));
    assert!(json.contains("\"beyond_ms\""));
    let none = String::from_utf8(html::render(&made_up::dense(10).0, &[])).unwrap();
    assert_eq!(none.matches("model-reality gap</span>").count(), 1, "the made-up kill has one of its own");
}

#[test]
fn a_run_in_virtual_time_claims_no_measurement() {
    let mut summary = made_up::repeats(1);
    summary.scenarios[0].backend = "sim".into();
    let page = page(&summary);
    assert!(page.contains("nothing was measured on real processes"));
    assert!(page.contains("recorded run (itself simulated): 38.1 s"));
    let head = "<th rowspan=\"2\">recorded run (simulated)</th>";
    assert!(page.contains(head), "the column does not say that it was measured");
}

#[test]
fn many_scenarios_with_many_values_stay_small() {
    let summary = made_up::wide(31);
    let page = html::render(&summary, &[]);
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
    let json = json::render(&summary);
    assert!(json.len() < 3_000_000, "{} bytes", json.len());
}

#[test]
fn simulated_figures_survive_their_own_file_with_all_values() {
    // Whole nanoseconds, as a history has them.
    let values: Vec<f64> = (0..200).map(|n| f64::from(n) * 250.25 + 0.000_001).collect();
    let simulated = made_up::simulated(200, &values, &[]);
    let bytes = serde_json::to_vec(&simulated).unwrap();
    let read: Simulated = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(read, simulated);
    assert_eq!(read.detection_ms.as_ref().map(|spread: &Spread| spread.values.len()), Some(200));
}
