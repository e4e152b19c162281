//! Random pipelines, settings and faults: nothing measured leaves the model's bounds.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use syncope::check::{self, Judged};
use syncope::history::log::History;
use syncope::scenario::Scenario;
use syncope::time::Span;
use syncope::timing::{Checker, Expiry, Guard};

use crate::draft::Draft;
use crate::excuse::untold_failures;
use crate::generate;
use crate::tally::Tally;
use crate::virtual_time::{failed, history_of, read, simulate};

/// A draft, its seed, and the check that failed.
struct Finding {
    number: u64,
    draft: Draft,
    seed: u64,
    check: String,
    note: String,
}

/// `SYNCOPE_RANDOM_SCENARIOS` says how many, `SYNCOPE_RANDOM_SERIES` of which series, `SYNCOPE_RANDOM_FROM`
/// from which number on, and `SYNCOPE_RANDOM_SHOWN` how many findings are made small and shown.
#[test]
fn no_run_of_a_random_scenario_leaves_the_models_bounds() {
    let (count, series) = (number("SYNCOPE_RANDOM_SCENARIOS", 40), number("SYNCOPE_RANDOM_SERIES", 1));
    let (tally, findings) = run(series, count, &|_| ());
    println!("{tally}");
    let shown = number("SYNCOPE_RANDOM_SHOWN", 3);
    let shown: Vec<String> = findings.iter().take(shown as usize).map(show).collect();
    let list: Vec<String> = findings
        .iter()
        .map(|finding| format!("{}: {}: {}", finding.number, finding.check, finding.note))
        .collect();
    assert!(findings.is_empty(), "{} of {count}:\n{}\n{}", findings.len(), list.join("\n"), shown.join("\n"));
}

/// The same test with a model that is a tenth too fast in all that makes a detection last.
#[test]
fn a_model_whose_bound_is_a_tenth_too_short_is_found_out() {
    let shorter = |span: &mut Span| *span = Span::from_nanos(span.as_nanos() / 10 * 9);
    let mutate = |scenario: &mut Scenario| {
        let pipeline = scenario.fleet.pipeline.as_mut().expect("a reference system has a model");
        match &mut pipeline.expiry {
            Expiry::Ttl(ttl) => shorter(ttl),
            Expiry::Both { ttl, age } => {
                shorter(ttl);
                shorter(&mut age.threshold);
            }
            Expiry::Age(age) => shorter(&mut age.threshold),
            Expiry::Session(_) | Expiry::Never => {}
        }
        if let Checker::Sweep(sweep) = &mut pipeline.checker {
            shorter(&mut sweep.period);
            if let Guard::Paced(guard) = &mut sweep.guard {
                *guard = sweep.period;
            }
        }
    };
    // About one run in sixty comes so near to the bound.
    let found = (1..=SERIES_MAX).find(|series| {
        let (_, findings) = run(*series, 60, &mutate);
        findings.iter().any(|finding| finding.check == "detection_time")
    });
    assert!(found.is_some(), "nothing was late for a bound that is a tenth too short");
}

const SERIES_MAX: u64 = 20;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// `mutate` changes the scenario for the judge, not for the run. Findings in order of their number.
fn run(series: u64, count: u64, mutate: &(dyn Fn(&mut Scenario) + Sync)) -> (Tally, Vec<Finding>) {
    let (next, from) = (AtomicU64::new(0), number("SYNCOPE_RANDOM_FROM", 0));
    let all = Mutex::new((Tally::default(), Vec::new()));
    let work = || {
        let (mut tally, mut findings) = (Tally::default(), Vec::new());
        loop {
            let number = from + next.fetch_add(1, Ordering::Relaxed);
            if number >= from + count {
                break;
            }
            let (draft, seed) = generate::draft(series, number);
            let text = draft.text();
            let scenario = read(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
            let history = history_of(&text, &scenario, seed);
            let mut as_judged = scenario;
            mutate(&mut as_judged);
            let judged = check::judge(&as_judged, &history);
            tally.add(&draft, &judged);
            if let Some((check, note)) = findings_of(&draft, &judged, &history).into_iter().next() {
                findings.push(Finding { number, draft, seed, check, note });
            }
        }
        let mut all = all.lock().expect("no other thread panicked");
        all.0.merge(tally);
        all.1.append(&mut findings);
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let (tally, mut findings) = all.into_inner().expect("no thread panicked");
    findings.sort_by_key(|finding| finding.number);
    (tally, findings)
}

/// Checks that failed, with their notes.
fn findings_of(draft: &Draft, judged: &Judged, history: &History) -> Vec<(String, String)> {
    let mut findings = failed(judged);
    if untold_failures(draft, judged, history) {
        findings.retain(|(check, _)| check != "lost" && check != "recovery_time");
    }
    findings
}

/// The smallest draft that fails in the same check, as a file.
fn show(finding: &Finding) -> String {
    let mut smallest = finding.draft.clone();
    let mut note = finding.note.clone();
    let fails = |draft: &Draft| {
        let text = draft.text();
        let (judged, history) = simulate(&text, &read(&text).ok()?, finding.seed);
        findings_of(draft, &judged, &history).into_iter().find(|(check, _)| *check == finding.check)
    };
    while let Some((smaller, why)) =
        smallest.smaller().into_iter().find_map(|draft| fails(&draft).map(|(_, why)| (draft, why)))
    {
        (smallest, note) = (smaller, why);
    }
    format!(
        "--- number {}, seed {}, {}: {note}\n{}",
        finding.number,
        finding.seed,
        finding.check,
        smallest.text()
    )
}
