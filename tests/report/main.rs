//! Reports of a made-up run: a kill with recovery, a failure, an inconclusive one, and texts that
//! try to get out of their place.

mod claims;
mod figures;
mod made_up;
mod story;

use std::path::Path;

use syncope::check::Verdict;
use syncope::report::timeline::{self, Timeline};
use syncope::report::{RunInfo, html, json, junit, markdown, merge, schema, write_all, write_reports};

#[test]
fn the_schema_in_the_repository_is_the_one_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/summary.json");
    if std::env::var_os("SYNCOPE_BLESS").is_some() {
        std::fs::write(&path, schema()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), schema(), "run with SYNCOPE_BLESS=1 to renew it");
}

#[test]
fn markdown_and_junit_read_as_before() {
    let (summary, _) = made_up::run();
    insta::with_settings!({prepend_module_to_snapshot => false, snapshot_path => "snapshots"}, {
        insta::assert_snapshot!("report.md", String::from_utf8(markdown::render(&summary)).unwrap());
        insta::assert_snapshot!("junit.xml", String::from_utf8(junit::render(&summary)).unwrap());
    });
}

#[test]
fn a_summary_survives_its_file() {
    let (summary, _) = made_up::run();
    let read: syncope::report::Summary = serde_json::from_slice(&json::render(&summary)).unwrap();
    let summary = figures::without_values(summary);
    assert_eq!(read, summary, "the simulated values stand in simulated.json");
    assert_eq!(merge(&RunInfo::from(&read), read.scenarios.clone()), summary);
}

#[test]
fn a_run_is_no_better_than_what_it_did_not_show() {
    let (summary, _) = made_up::run();
    let passed: Vec<_> = summary.scenarios.iter().filter(|j| j.verdict == Verdict::Pass).cloned().collect();
    let plain = RunInfo::default();
    assert_eq!(merge(&plain, passed.clone()).verdict, Verdict::Pass);
    assert_eq!(merge(&plain, Vec::new()).verdict, Verdict::Inconclusive);
    let interrupted = RunInfo { interrupted: true, ..RunInfo::default() };
    assert_eq!(merge(&interrupted, passed.clone()).verdict, Verdict::Inconclusive);
    let not_run = RunInfo { not_run: summary.not_run.clone(), ..RunInfo::default() };
    assert_eq!(merge(&not_run, passed).verdict, Verdict::Inconclusive);
}

#[test]
fn the_page_is_well_formed_loads_nothing_and_runs_nothing() {
    let (summary, histories) = made_up::run();
    let page = String::from_utf8(html::render(&summary, &histories)).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>"));
    assert_eq!(unbalanced(&page), Vec::<String>::new());
    for forbidden in
        ["<script", "onerror=", "src=", "url(", "@import", "<link", "<iframe", "href=\"http", "\x1b", "\0"]
    {
        let found = page
            .find(forbidden)
            .map(|at| page[at.saturating_sub(60)..].chars().take(160).collect::<String>());
        // Hostile texts hold these words as text: escaped, they lack the quote or the bracket.
        let harmless = matches!(forbidden, "onerror=" | "src=") && page.contains("&#60;img src=x onerror=");
        assert!(found.is_none() || harmless, "{forbidden:?} in {found:?}");
    }
    assert!(page.contains("alert(1)"), "the hostile text is shown, as text");
    assert!(page.contains("interrupted"));
}

#[test]
fn hostile_text_stays_in_its_cell() {
    let (summary, _) = made_up::run();
    let report = String::from_utf8(markdown::render(&summary)).unwrap();
    let mut columns = None;
    for line in report.lines() {
        if line.starts_with('|') {
            let bars = line.matches('|').count();
            assert_eq!(*columns.get_or_insert(bars), bars, "{line}");
        } else {
            columns = None;
        }
    }
    // Text in a code block is shown as it is.
    let outside_code: String = report.split("```").step_by(2).collect();
    assert!(!outside_code.contains("<script"));
    let xml = String::from_utf8(junit::render(&summary)).unwrap();
    assert!(!xml.contains("<script") && !xml.chars().any(|c| c.is_control() && c != '\n'));
    assert_eq!(unbalanced(&xml), Vec::<String>::new());
}

#[test]
fn the_same_input_gives_the_same_files_and_latest_points_at_them() {
    let (summary, histories) = made_up::run();
    let parent = tempfile::tempdir().unwrap();
    let first = write_all(&parent.path().join("a"), &summary, &histories).unwrap();
    let second = write_all(&parent.path().join("b"), &summary, &histories).unwrap();
    for (one, other) in [
        (&first.summary, &second.summary),
        (&first.junit, &second.junit),
        (&first.markdown, &second.markdown),
        (&first.html, &second.html),
    ] {
        assert_eq!(std::fs::read(one).unwrap(), std::fs::read(other).unwrap());
    }
    assert_eq!(std::fs::read_link(parent.path().join("latest")).unwrap(), Path::new("b"));
    write_reports(&parent.path().join("a"), &summary, &histories).unwrap();
    write_all(&parent.path().join("latest"), &summary, &histories).unwrap();
    assert_eq!(std::fs::read_link(parent.path().join("latest")).unwrap(), Path::new("b"));
    let left: Vec<_> = std::fs::read_dir(parent.path().join("a")).unwrap().collect();
    assert_eq!(left.len(), 4, "no temporary file is left");
    if let Some(sample) = std::env::var_os("SYNCOPE_REPORT_SAMPLE") {
        write_reports(Path::new(&sample), &summary, &histories).unwrap();
    }
}

#[test]
fn the_timeline_tells_the_story_of_a_kill() {
    let (summary, histories) = made_up::run();
    let timeline = Timeline::of(&histories[0], &summary.scenarios[0]);
    let names: Vec<_> = timeline.lanes.iter().map(|lane| lane.name.as_str()).collect();
    assert_eq!(names, ["producer", "worker-1", "worker-2", "worker-3", "postgres", "redis"]);
    let victim = &timeline.lanes[1];
    let states: Vec<_> = victim.states.iter().map(|(state, ..)| *state).collect();
    assert_eq!(states, [timeline::State::Running, timeline::State::Dead, timeline::State::Running]);
    assert!(victim.jobs.iter().any(|held| held.outcome == timeline::Outcome::CutOff));
    let suspicions = victim.marks.iter().filter(|mark| mark.kind == timeline::MarkKind::Suspicion).count();
    assert_eq!(suspicions, 1);
    assert_eq!(timeline.bands.len(), 1);
    let band = &timeline.bands[0];
    assert!(band.proved && band.to > band.from);
}

#[test]
fn a_history_of_100_000_events_makes_a_page_below_2_mb() {
    let (summary, histories) = made_up::dense(100_000);
    let begun = std::time::Instant::now();
    let page = html::render(&summary, &histories);
    let took = begun.elapsed();
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    let limit = if cfg!(debug_assertions) { 10 } else { 1 };
    assert!(took.as_secs() < limit, "{took:?}");
    if let Some(sample) = std::env::var_os("SYNCOPE_REPORT_SAMPLE") {
        write_reports(&Path::new(&sample).join("dense"), &summary, &histories).unwrap();
    }
}

/// Tags that are not closed in order. Knows the void elements that the page uses.
fn unbalanced(page: &str) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    let mut wrong = Vec::new();
    for tag in page.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        let name: String = tag.trim_start_matches('/').chars().take_while(|c| c.is_alphanumeric()).collect();
        let void = ["meta", "br", "link", "img"].contains(&name.as_str()) || tag.ends_with('/');
        if name.is_empty() || void || tag.starts_with(['!', '?']) {
            continue;
        }
        if !tag.starts_with('/') {
            open.push(name);
        } else if open.pop().as_deref() != Some(&name) {
            wrong.push(tag.to_owned());
        }
    }
    wrong.extend(open);
    wrong
}
