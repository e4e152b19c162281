//! The claims in the reports.

use syncope::check::{ClaimVerdict, Figure, Judged, Range, Verdict};
use syncope::report::{RunInfo, Summary, html, json, markdown, merge};
use syncope::scenario::Source;
use syncope::scenario::claims::{Claims, read};

use crate::made_up;

const CLAIMS: &str = "\
claims:
  - id: RB-1
    text: A dead worker's job is taken over within a minute.
    source: runbook, page 3
    measured:
      - {scenario: kill-9-mid-job, figure: detection_time, holds: {max: 60s}}
      - {scenario: kill-9-mid-job, figure: lost, holds: 0}
  - id: RB-2
    text: It takes about 30 s <script>alert(1)</script> | `x`.
    measured:
      - {scenario: kill-9-mid-job, figure: detection_time, holds: {min: 25s, max: 35s}}
  - id: RB-3
    text: Nobody looks.
  - {id: S3-1, text: The scenario names it.}
";

fn claims() -> Claims {
    read(&Source::new("claims.yaml", CLAIMS), None).expect("good claims")
}

/// The same scenario so often, detected a little later each time.
fn repeats(count: u32) -> Summary {
    let figure = |name: &str, min: f64, max: f64| Figure {
        name: name.into(),
        values: vec![Range { min, max: Some(max) }],
    };
    let judged = |judged: Judged| {
        let at = 37_200.0 + f64::from(judged.repeat) * 900.0;
        Judged {
            name: "kill-9-mid-job".into(),
            verdict: Verdict::Pass,
            figures: vec![figure("detection_time", at - 100.0, at + 100.0), figure("lost", 0.0, 0.0)],
            ..judged
        }
    };
    let scenarios = made_up::repeats(count).scenarios.into_iter().map(judged).collect();
    merge(&RunInfo::default(), scenarios).with_claims(&claims())
}

#[test]
fn the_table_says_what_was_measured_and_in_how_many_runs_it_held() {
    let report = String::from_utf8(markdown::render(&repeats(3))).unwrap();
    let from = report.find("## Claims").expect("there is a table");
    let table = &report[from..from + report[from..].find("<details").expect("the scenarios follow")];
    insta::with_settings!({prepend_module_to_snapshot => false, snapshot_path => "snapshots"}, {
        insta::assert_snapshot!("claims.md", table);
    });
}

/// Of one system it is true, of the other it is not, and of a third nothing is known.
#[test]
fn another_system_has_a_column_of_its_own() {
    let elsewhere = CLAIMS.replacen(
        "    measured:\n",
        "    elsewhere:\n      'bull<b>|mq': [{scenario: other, figure: lost, holds: 0}]\n      \
         celery: [{scenario: never-ran, figure: lost, holds: 0}]\n    measured:\n",
        1,
    );
    let mut summary = repeats(1);
    let mut other = summary.scenarios[0].clone();
    other.name = "other".into();
    other.figures = vec![Figure { name: "lost".into(), values: vec![Range { min: 3.0, max: Some(3.0) }] }];
    summary.scenarios.push(other);
    let claims = read(&Source::new("claims.yaml", elsewhere), None).expect("good claims");
    let summary = summary.with_claims(&claims);
    let verdicts: Vec<_> = summary.claims[0].elsewhere.iter().map(|it| (it.verdict, it.differs)).collect();
    assert_eq!(verdicts, [(ClaimVerdict::Refuted, true), (ClaimVerdict::Untested, false)]);
    assert_eq!(summary.claims[0].verdict, ClaimVerdict::Confirmed, "what is true elsewhere decides nothing");

    let report = String::from_utf8(markdown::render(&summary)).unwrap();
    let rows: Vec<&str> =
        report.lines().filter(|line| line.contains("RB-") || line.contains("| On ")).collect();
    let [header, first, second, ..] = rows.as_slice() else { panic!("{report}") };
    assert!(header.contains("| Measured | On bull&lt;b&gt;&#124;mq | On celery | Scenarios |"), "{header}");
    let cell =
        "| refuted, unlike the reference fleet; other: lost 3, claimed 0 | untested; never-ran was not run |";
    assert!(first.contains(cell), "{first}");
    assert!(second.contains("|  |  |"), "{second}");

    let page = String::from_utf8(html::render(&summary, &[])).unwrap();
    assert!(page.contains("<th>on bull&#60;b&#62;|mq</th>"), "it is text");
    let cell = "refuted</span> unlike the reference fleet<br>other: lost 3, claimed 0";
    assert!(page.contains(cell));
    let again: Summary = serde_json::from_slice(&json::render(&summary)).unwrap();
    assert_eq!(again.claims, summary.claims);
}

#[test]
fn a_refuted_claim_is_no_failure_and_the_page_leads_to_its_scenarios() {
    let summary = repeats(2);
    assert_eq!(summary.verdict, Verdict::Pass);
    let page = String::from_utf8(html::render(&summary, &[])).unwrap();
    assert!(page.contains("<section id=\"claims\">"));
    assert!(page.contains("<a href=\"#s1\">kill-9-mid-job</a>"));
    assert!(!page.contains("<script>"));
}

#[test]
fn claims_survive_their_file_and_a_run_that_bears_on_none_shows_none() {
    let summary = repeats(2);
    let read: Summary = serde_json::from_slice(&json::render(&summary)).unwrap();
    assert_eq!(read.claims, summary.claims);
    let none = merge(&RunInfo::default(), Vec::new()).with_claims(&claims());
    let report = String::from_utf8(markdown::render(&none)).unwrap();
    assert!(!report.contains("Claims"), "{report}");
}
