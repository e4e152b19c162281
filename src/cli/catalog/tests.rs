//! The catalogue against the table that it is to reproduce.

use super::row::WorstCase;
use super::*;

fn all() -> Vec<Row> {
    rows().expect("every entry is good")
}

#[test]
fn worst_cases_are_the_tables_or_say_why_not() {
    for row in all() {
        if row.wants_note() {
            assert!(row.note.is_some(), "{}: {} needs a note", row.name, row.worst_case.text());
        }
    }
}

#[test]
fn every_parameter_has_an_origin() {
    for row in all() {
        for parameter in &row.parameters {
            assert!(parameter.origin.len() > 10, "{}: where is `{}` from?", row.name, parameter.name);
        }
    }
}

#[test]
fn what_is_lost_is_never_put_back() {
    for name in ["celery", "huey", "sidekiq", "procrastinate-bare"] {
        let row = all().into_iter().find(|row| row.name == name).expect("the name is known");
        assert_eq!(row.worst_case, WorstCase::Never { detection_ms: None }, "{name}");
    }
}

#[test]
fn a_sweep_by_chance_has_a_mean_and_a_quantile() {
    let row = all().into_iter().find(|row| row.name == "dramatiq").expect("the name is known");
    let WorstCase::Chance { mean_ms, p99_ms } = row.worst_case else { panic!("{row:?}") };
    // 60 s, then geometric with p = 0.001 each 750 ms: mean 750 s, p99 ln 0.01 / ln 0.999 calls.
    assert!((mean_ms - 810_000.0).abs() < 8_100.0, "{mean_ms}");
    assert!((p99_ms - 3_512_000.0).abs() < 35_000.0, "{p99_ms}");
}

#[test]
fn the_table_fits_a_terminal() {
    let text = table(&all());
    for line in text.lines() {
        assert!(line.chars().count() <= COLUMNS, "{} characters: {line}", line.chars().count());
    }
}
