//! The claims that come with the program, and the scenarios: each knows the other.

use std::collections::BTreeSet;
use std::path::Path;

use syncope::cli::input;
use syncope::scenario::claims::{builtin, read, schema};
use syncope::scenario::{FileKind, Overrides, Scenario, Source, render, resolve};

fn shipped() -> Vec<Scenario> {
    let folders = ["scenarios", "examples/bullmq", "examples/celery"];
    let folders = folders.map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    let inputs = input::read_all(&folders).unwrap_or_else(|errors| panic!("{}", render(&errors, false)));
    inputs
        .iter()
        .filter(|input| matches!(input.kind, FileKind::Scenario { .. }))
        .map(|input| {
            let scenario = resolve(&input.source, &Overrides::default());
            scenario.unwrap_or_else(|errors| panic!("{}", render(&errors, false)))
        })
        .collect()
}

#[test]
fn claims_are_of_scenarios_that_are_there_and_scenarios_of_claims_that_are_there() {
    let scenarios = shipped();
    let names: Vec<&str> = scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
    let claims = read(&builtin(), Some(&names)).unwrap_or_else(|errors| panic!("{}", render(&errors, false)));
    let ids: BTreeSet<&str> = claims.claims.iter().map(|claim| claim.id.as_str()).collect();
    let named = scenarios.iter().flat_map(|scenario| &scenario.claims);
    let unknown: Vec<&String> = named.filter(|id| !ids.contains(id.as_str())).collect();
    assert!(unknown.is_empty(), "nobody claims {unknown:?}");
}

/// A watch's figure is measured only if the scenario expects it.
#[test]
fn what_a_claim_is_measured_by_is_expected_in_its_scenario() {
    let claims = read(&builtin(), None).expect("good claims").claims;
    let scenarios = shipped();
    let elsewhere = claims.iter().flat_map(|claim| &claim.elsewhere).flat_map(|other| &other.measured);
    for condition in claims.iter().flat_map(|claim| &claim.measured).chain(elsewhere) {
        let Some(watched) = condition.figure.strip_prefix("watched ") else { continue };
        let scenario = scenarios.iter().find(|scenario| scenario.name == condition.scenario);
        let expected = scenario.is_some_and(|scenario| {
            scenario.expect.watched.iter().any(|it| watched.starts_with(&format!("{} ", it.watch)))
        });
        assert!(expected, "{} expects nothing of `{watched}`", condition.scenario);
    }
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/claims.json");
    if std::env::var_os("SYNCOPE_BLESS").is_some() {
        std::fs::write(path, schema()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == schema(), "schemas/claims.json is stale: run this test with SYNCOPE_BLESS=1");
}

#[test]
fn the_example_in_the_documentation_is_good() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/claims.md");
    let page = std::fs::read_to_string(path).expect("a page");
    let (_, rest) = page.split_once("```yaml\n").expect("an example");
    let (yaml, _) = rest.split_once("```").expect("its end");
    let scenarios = shipped();
    let names: Vec<&str> = scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
    let claims = read(&Source::new("claims.yaml", yaml), Some(&names))
        .unwrap_or_else(|errors| panic!("{}", render(&errors, false)));
    assert_eq!(claims.claims.len(), 2);
}
