//! `junit.xml`: one suite for the run, one test case for each scenario, so that a CI tool lists
//! scenarios by name. Inconclusive is an error and not a failure: nothing was proved either way.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::check::{Judged, Verdict};
use crate::report::figures::gap_in_words;
use crate::report::{NotRun, Summary, text};

/// A finding, not a failure: the verdict rests on the bounds.
const GAP: &str = "model-reality gap";

#[must_use]
pub fn render(summary: &Summary) -> Vec<u8> {
    let mut suite = TestSuite::new(text::line(&summary.run_id));
    suite.add_property(("backend", text::line(&summary.backend).as_str()));
    suite.add_property(("started_at", text::line(&summary.started_at).as_str()));
    suite.add_property(("interrupted", if summary.interrupted { "true" } else { "false" }));
    for judged in &summary.scenarios {
        suite.add_test_case(test_case(summary, judged));
    }
    for not_run in &summary.not_run {
        suite.add_test_case(not_run_case(not_run));
    }
    suite.set_time(seconds(summary.scenarios.iter().map(|judged| judged.wall_s).sum()));
    let mut report = Report::new("syncope");
    report.add_test_suite(suite);
    let mut bytes = Vec::new();
    // Writing to memory fails only if the writer nests wrongly; an empty file would show it at once.
    let _ = report.serialize(&mut bytes);
    bytes
}

fn test_case(summary: &Summary, judged: &Judged) -> TestCase {
    let reasons: Vec<String> = judged.reasons.iter().map(|reason| text::line(reason)).collect();
    let status = match judged.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Fail => non_success(NonSuccessKind::Failure, "fail", &reasons),
        Verdict::Inconclusive => non_success(NonSuccessKind::Error, "inconclusive", &reasons),
    };
    let mut case = TestCase::new(text::line(&summary.title(judged)), status);
    case.set_classname(class_name(&judged.path));
    case.set_time(seconds(judged.wall_s));
    for gap in &judged.gaps {
        case.add_property((GAP, gap_in_words(gap).as_str()));
    }
    case.set_system_out(checks(judged));
    case
}

fn not_run_case(not_run: &NotRun) -> TestCase {
    let mut lines = vec![text::line(&not_run.reason)];
    lines.extend(not_run.hint.as_deref().map(text::line));
    let status = non_success(NonSuccessKind::Error, "not_run", &lines);
    let mut case = TestCase::new(text::line(&not_run.name), status);
    case.set_classname(class_name(&not_run.path));
    case.set_time(Duration::ZERO);
    case
}

/// The first line as the message, all of them as the text.
fn non_success(kind: NonSuccessKind, kind_name: &str, lines: &[String]) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(kind_name);
    status.set_message(lines.first().map_or("no reason given", String::as_str));
    status.set_description(lines.join("\n"));
    status
}

/// CI tools group by class name: the folder's path with dots, without the file's extension.
fn class_name(path: &str) -> String {
    let path = text::line(path);
    path.trim_end_matches(".yaml").trim_end_matches(".yml").replace('.', "_").replace('/', ".")
}

fn checks(judged: &Judged) -> String {
    let mut lines = vec![format!("replay: {}", text::line(&judged.replay))];
    for check in &judged.checks {
        lines.push(format!(
            "{}: {}: measured {}, bound {}. {}",
            text::verdict(check.verdict),
            text::check_name(&check.name),
            text::line(&check.measured),
            text::check_bound(check),
            text::line(&check.note),
        ));
    }
    for fault in &judged.faults {
        let confirmed = if fault.confirmed { "confirmed" } else { "NOT CONFIRMED" };
        lines.push(format!("fault {}: {confirmed}: {}", text::fault(fault), text::line(&fault.proof),));
    }
    lines.extend(judged.gaps.iter().map(|gap| format!("finding: {GAP}: {}", gap_in_words(gap))));
    lines.join("\n")
}

fn seconds(wall_s: f64) -> Duration {
    Duration::try_from_secs_f64(wall_s).unwrap_or(Duration::ZERO)
}
