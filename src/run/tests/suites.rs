//! Several scenarios as one suite.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use super::fake::{Fake, Script};
use super::scene::{SEED, Scene};
use crate::backend::{Backend, BackendError};
use crate::check::Verdict;
use crate::history::{FORMAT, Header};
use crate::run::suite::{Case, Outcome, Suite};
use crate::time::{Instant, Span};

/// How bringing up the case goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    Good,
    /// Its one job is never worked on.
    Loses,
    /// The host stalls in the first so many runs of it.
    Stalls(usize),
    Environment,
    Unsupported,
    Failed,
    Hung,
}

struct Told {
    outcomes: Vec<Outcome>,
    host_notes: Vec<String>,
    /// In the order in which they ended.
    ended: Vec<usize>,
}

/// Cases named `case-0` and so on, of so many jobs, one after another.
fn run(directory: &Path, cases: &[(Opening, &'static str)], fail_fast: bool, interrupted: bool) -> Told {
    let case = |(index, (_, workload)): (usize, &(Opening, &'static str))| Case {
        scenario: Scene { workload, ..Scene::default() }.scenario(),
        header: Header {
            format: FORMAT,
            run_id: "run".to_owned(),
            path: "played.yaml".to_owned(),
            source: String::new(),
            rules: None,
            backend: "process".to_owned(),
            seed: SEED,
            time_scale: None,
            started_at: "2026-11-22T00:00:00Z".to_owned(),
            repeat: 1,
            replay: "syncope run".to_owned(),
        },
        folder: format!("case-{index}"),
    };
    let openings: Vec<Opening> = cases.iter().map(|(opening, _)| *opening).collect();
    let cases: Vec<Case> = cases.iter().enumerate().map(case).collect();
    let opened = Mutex::new(Vec::new());
    let open = |index: usize, case: &Case| -> Result<Box<dyn Backend>, BackendError> {
        let what = "it is not there".to_owned();
        let stuck = match openings[index] {
            Opening::Good | Opening::Stalls(_) => Vec::new(),
            Opening::Loses => vec!["job-1"],
            Opening::Environment => {
                return Err(BackendError::Environment { what, hint: "install it".to_owned() });
            }
            Opening::Unsupported => return Err(BackendError::Unsupported(what)),
            Opening::Failed => return Err(BackendError::Failed(what)),
            Opening::Hung => return Err(BackendError::Hung { what, hint: "start it again".to_owned() }),
        };
        let mut runs = opened.lock().expect("nobody panicked");
        let before = runs.iter().filter(|run| **run == index).count();
        runs.push(index);
        let stalls = match openings[index] {
            Opening::Stalls(times) if before < times => vec![(Span::from_millis(50), Span::from_secs(60))],
            _ => Vec::new(),
        };
        Ok(Box::new(Fake::new(&case.scenario, Script { stuck, stalls, ..Script::default() })))
    };
    let ended = Mutex::new(Vec::new());
    let suite = Suite {
        open: &open,
        clock: || Instant::ZERO,
        on_event: &|_, _| {},
        on_outcome: &|index, _| ended.lock().expect("nobody panicked").push(index),
        on_progress: &|_| {},
        interrupted: &AtomicBool::new(interrupted),
        at_once: 1,
        host_retries: 2,
        fail_fast,
        keep: false,
        directory,
    };
    let ended_suite = suite.run(&cases).expect("histories can be written");
    let (outcomes, host_notes) = (ended_suite.outcomes, ended_suite.host_notes);
    Told { outcomes, host_notes, ended: ended.into_inner().expect("nobody panicked") }
}

const SHORT: &str = "{jobs: 1, arrival: {every: 1s}, step_time: {constant: 100ms}}";
const MIDDLE: &str = "{jobs: 3, arrival: {every: 1s}, step_time: {constant: 100ms}}";
const LONG: &str = "{jobs: 9, arrival: {every: 1s}, step_time: {constant: 100ms}}";

fn describe(outcomes: &[Outcome]) -> Vec<String> {
    let one = |outcome: &Outcome| match outcome {
        Outcome::Judged { judged, .. } => match judged.verdict {
            Verdict::Pass => "pass".to_owned(),
            Verdict::Inconclusive => "inconclusive".to_owned(),
            Verdict::Fail => "fail".to_owned(),
        },
        Outcome::NotRun { error } => format!("not run: {error}"),
        Outcome::Skipped => "skipped".to_owned(),
    };
    outcomes.iter().map(one).collect()
}

fn folders(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("the directory can be read");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn outcomes_are_in_the_order_of_the_cases_and_the_longest_runs_first() {
    let directory = tempfile::tempdir().expect("a folder can be made");
    let cases = [(Opening::Good, SHORT), (Opening::Good, LONG), (Opening::Good, MIDDLE)];
    let told = run(directory.path(), &cases, false, false);
    assert_eq!(told.ended, [1, 2, 0]);
    let acknowledged: Vec<u64> = told
        .outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Judged { judged, .. } => judged.jobs.acknowledged,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(acknowledged, [1, 9, 3]);
    assert_eq!(folders(directory.path()), ["case-0", "case-1", "case-2"]);
    for folder in folders(directory.path()) {
        let history = fs::read_to_string(directory.path().join(folder).join("history.jsonl"));
        let history = history.expect("there is a history");
        assert!(history.lines().next().is_some_and(|line| line.contains("header")));
        assert!(history.lines().last().is_some_and(|line| line.contains("\"end\"")));
    }
}

#[test]
fn fail_fast_skips_what_has_not_begun() {
    let cases = [(Opening::Good, SHORT), (Opening::Loses, MIDDLE), (Opening::Good, LONG)];
    for (fail_fast, first) in [(false, "pass"), (true, "skipped")] {
        let directory = tempfile::tempdir().expect("a folder can be made");
        let told = run(directory.path(), &cases, fail_fast, false);
        assert_eq!(describe(&told.outcomes), [first, "fail", "pass"]);
        assert_eq!(folders(directory.path()).contains(&"case-0".to_owned()), !fail_fast);
    }
}

#[test]
fn a_case_that_cannot_run_here_leaves_no_folder() {
    let directory = tempfile::tempdir().expect("a folder can be made");
    let cases = [(Opening::Environment, SHORT), (Opening::Unsupported, SHORT), (Opening::Good, SHORT)];
    let told = run(directory.path(), &cases, false, false);
    let not_run = "not run: it is not there";
    assert_eq!(describe(&told.outcomes), [not_run, not_run, "pass"]);
    assert_eq!(folders(directory.path()), ["case-2"]);
}

#[test]
fn on_what_no_longer_answers_nothing_more_is_run() {
    let directory = tempfile::tempdir().expect("a folder can be made");
    let cases = [(Opening::Good, SHORT), (Opening::Hung, MIDDLE), (Opening::Good, LONG)];
    let told = run(directory.path(), &cases, false, false);
    assert_eq!(describe(&told.outcomes), ["skipped", "not run: it is not there", "pass"]);
    assert_eq!(folders(directory.path()), ["case-2"]);
}

#[test]
fn a_case_that_does_not_come_up_is_inconclusive_and_keeps_its_history() {
    let directory = tempfile::tempdir().expect("a folder can be made");
    let told = run(directory.path(), &[(Opening::Failed, SHORT)], false, false);
    assert_eq!(describe(&told.outcomes), ["inconclusive"]);
    assert_eq!(folders(directory.path()), ["case-0"]);
}

#[test]
fn an_interrupted_suite_skips_its_cases() {
    let directory = tempfile::tempdir().expect("a folder can be made");
    let told = run(directory.path(), &[(Opening::Good, SHORT), (Opening::Good, LONG)], false, true);
    assert_eq!(describe(&told.outcomes), ["skipped", "skipped"]);
    assert_eq!(folders(directory.path()), [""; 0]);
}

#[test]
fn only_what_the_host_s_stalls_made_inconclusive_is_run_again_and_that_is_said() {
    let directory = tempfile::tempdir().expect("a folder can be made");
    let cases = [
        (Opening::Loses, SHORT),
        (Opening::Stalls(1), SHORT),
        (Opening::Failed, SHORT),
        (Opening::Good, SHORT),
    ];
    let told = run(directory.path(), &cases, false, false);
    assert_eq!(describe(&told.outcomes), ["fail", "pass", "inconclusive", "pass"]);
    assert_eq!(told.ended, [0, 1, 2, 3, 1]);
    let first = directory.path().join("case-1").join("history.1.jsonl");
    assert!(fs::read_to_string(first).is_ok_and(|history| history.contains("hiccup")));
    let said = |what: &str| told.host_notes.iter().filter(|note| note.contains(what)).count();
    assert_eq!((said("case-1 was run again"), said("was run again")), (1, 1), "{:?}", told.host_notes);
}

#[test]
fn a_host_that_never_keeps_quiet_leaves_it_inconclusive() {
    let directory = tempfile::tempdir().expect("a folder can be made");
    let told = run(directory.path(), &[(Opening::Stalls(99), SHORT)], false, false);
    assert_eq!(describe(&told.outcomes), ["inconclusive"]);
    assert_eq!(told.ended, [0, 0, 0]);
}
