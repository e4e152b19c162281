//! Claims files are read, and their mistakes told all at once.

use super::*;

fn errors(yaml: &str) -> Vec<String> {
    let source = Source::new("claims.yaml", yaml);
    let found = read(&source, None).err().unwrap_or_default();
    found.iter().map(|error| format!("{} {}:{}", error.code, error.line, error.column)).collect()
}

fn one(condition: &str) -> String {
    format!("claims:\n  - id: A-1\n    text: It works.\n    measured:\n      - {condition}\n")
}

#[test]
fn every_claim_that_comes_with_the_program_is_read_and_has_an_id_of_its_own() {
    let claims = read(&builtin(), None).expect("the file is good").claims;
    let count = |system: &str| claims.iter().filter(|claim| claim.id.starts_with(system)).count();
    assert_eq!(["S0-", "S1-", "S2-", "S3-", "S4-"].map(count), [7, 6, 5, 9, 6]);
    assert!(claims.iter().all(|claim| claim.source.is_some() && claim.text.ends_with('.')));
}

#[test]
fn bounds_are_read_in_the_figure_s_unit() {
    for (condition, holds) in [
        (
            "{scenario: a, figure: detection_time, holds: {min: 20s, max: 1m}}",
            Holds::Within { min: Some(20_000.0), max: Some(60_000.0) },
        ),
        ("{scenario: a, figure: lost, holds: 0}", Holds::Within { min: Some(0.0), max: Some(0.0) }),
        (
            "{scenario: a, figure: query_accuracy, holds: {max: 0.99}}",
            Holds::Within { min: None, max: Some(0.99) },
        ),
        (
            "{scenario: a, figure: watched up becomes true, holds: {max: 5s}}",
            Holds::Within { min: None, max: Some(5_000.0) },
        ),
        ("{scenario: a, figure: alert down is silent, holds: pass}", Holds::Check { passes: true }),
    ] {
        let claims = read(&Source::new("claims.yaml", one(condition)), None).expect(condition).claims;
        assert_eq!(claims[0].measured[0].holds, holds, "{condition}");
    }
}

#[test]
fn other_systems_are_in_the_file_s_order_and_their_conditions_have_their_own_places() {
    let elsewhere = |conditions: &str| {
        format!(
            "claims:\n  - id: A-1\n    text: It works.\n    elsewhere:\n      zeta: []\n      bullmq: [{conditions}]\n"
        )
    };
    let yaml = elsewhere("{scenario: a, figure: lost, holds: 0}");
    let claims = read(&Source::new("claims.yaml", yaml), None).expect("good").claims;
    let systems: Vec<_> =
        claims[0].elsewhere.iter().map(|it| (it.system.as_str(), it.measured.len())).collect();
    assert_eq!(systems, [("zeta", 0), ("bullmq", 1)]);
    assert!(claims[0].measured.is_empty());
    let bad = elsewhere("{scenario: a, figure: lots, holds: 0}");
    assert_eq!(errors(&bad), ["scenario::unknown-value 6:38"]);
}

#[test]
fn mistakes_are_told_all_at_once_each_in_its_place() {
    for (condition, expected) in [
        ("{scenario: a, figure: detection_tiem, holds: 0}", "scenario::unknown-value 5:31"),
        ("{scenario: a, figure: lost, holds: 5s}", "scenario::wrong-type 5:44"),
        ("{scenario: a, figure: detection_time, holds: 5s}", "scenario::wrong-type 5:54"),
        ("{scenario: a, figure: detection_time, holds: {max: 5}}", "scenario::wrong-type 5:60"),
        ("{scenario: a, figure: query_accuracy, holds: {max: 5}}", "scenario::wrong-type 5:60"),
        ("{scenario: a, figure: lost, holds: {}}", "scenario::missing-field 5:44"),
        ("{scenario: a, figure: lost, holds: {min: 2, max: 1}}", "scenario::empty-range 5:44"),
        ("{scenario: a, holds: 0}", "scenario::missing-field 5:9"),
    ] {
        assert_eq!(errors(&one(condition)), [expected], "{condition}");
    }
    let many = "claims:\n  - {id: a, text: one}\n  - {id: a, text: 7}\n  - {text: three, measured: no}\n";
    assert_eq!(
        errors(many),
        [
            "scenario::name 3:10",
            "scenario::wrong-type 3:19",
            "scenario::missing-field 4:5",
            "scenario::wrong-type 4:29",
        ]
    );
}

#[test]
fn a_scenario_that_nobody_has_is_told_with_the_nearest_name() {
    let yaml = one("{scenario: kill-8, figure: lst, holds: 0}");
    let read_beside = |known: &[&str]| {
        let found =
            read(&Source::new("claims.yaml", yaml.as_str()), Some(known)).expect_err("no figure is `lst`");
        found.into_iter().map(|error| (error.code, error.line, error.hint.unwrap_or_default())).collect()
    };
    let found: Vec<(Code, usize, String)> = read_beside(&["kill-9"]);
    let [(Code::UnknownScenario, 5, hint), (Code::UnknownValue, 5, _)] = found.as_slice() else {
        panic!("both in one go: {found:?}");
    };
    assert!(hint.contains("kill-9"), "{hint}");
    assert_eq!(read_beside(&["kill-8"]).len(), 1);
}
