//! The catalogue against the figures that it is to reproduce.

use super::row::WorstCase;
use super::*;

fn all() -> Vec<Row> {
    rows().expect("every entry is good")
}

fn row(name: &str) -> Row {
    all().into_iter().find(|row| row.name == name).expect("the name is known")
}

#[test]
fn every_system_of_the_specification_is_there() {
    const SYSTEMS: &[&str] = &[
        "bullmq",
        "celery-acks-late",
        "celery",
        "sidekiq",
        "rq",
        "dramatiq",
        "arq",
        "saq",
        "taskiq-redis",
        "huey",
        "procrastinate",
        "pgqueuer",
        "river",
        "oban",
        "graphile-worker",
        "good-job",
        "que",
        "pg-boss",
        "faktory",
        "apalis-postgres",
        "underway",
        "kubernetes-node",
        "kafka-consumer",
        "redis-heartbeat",
        "redis-heartbeat-old",
        "postgres-jobs",
        "postgres-heartbeat",
        "redis-queue",
        "worker-pool",
    ];
    for name in SYSTEMS {
        assert!(catalogue::NAMES.contains(name), "{name}");
    }
}

#[test]
fn worst_cases_are_the_specified_ones_or_say_why_not() {
    for row in all() {
        let speaks_for_itself = match row.worst_case {
            WorstCase::Bounded { .. } => !row.differs,
            WorstCase::Chance { .. } => false,
            WorstCase::Never { detection_ms } => detection_ms.is_some(),
        };
        let text = row.worst_case.text();
        assert!(speaks_for_itself || row.note.is_some(), "{}: {text} needs a note", row.name);
    }
}

#[test]
fn every_parameter_has_an_origin() {
    for row in all() {
        for parameter in &row.parameters {
            // A project and a setting or a file: no single word says both.
            let words = parameter.origin.split_whitespace().count();
            assert!(words > 1, "{}: where is `{}` from?", row.name, parameter.name);
        }
    }
}

#[test]
fn what_is_lost_is_never_put_back() {
    for name in ["celery", "huey", "sidekiq", "procrastinate-bare"] {
        assert_eq!(row(name).worst_case, WorstCase::Never { detection_ms: None }, "{name}");
    }
}

#[test]
fn a_sweep_by_chance_has_a_mean_and_a_quantile() {
    let WorstCase::Chance { mean_ms, p99_ms } = row("dramatiq").worst_case else {
        panic!("dramatiq sweeps by chance")
    };
    // 60 s, then geometric with p = 0.001 each 750 ms: mean 750 s, p99 ln 0.01 / ln 0.999 calls.
    assert!((mean_ms - 810_000.0).abs() < 1_000.0, "{mean_ms}");
    assert!((p99_ms - 3_512_000.0).abs() < 1_000.0, "{p99_ms}");
}

#[test]
fn a_dead_sweeper_is_told_apart() {
    let expected = WorstCase::Bounded { ms: 60_000.0, sweeper_dead_ms: 90_000.0 };
    assert_eq!(row("bullmq").worst_case, expected);
    assert_eq!(expected.text(), "60s (90s)");
}

#[test]
fn the_table_fits_a_terminal() {
    for line in table(&all()).lines() {
        assert!(line.chars().count() <= COLUMNS, "{} characters: {line}", line.chars().count());
    }
}

#[test]
fn json_has_a_system_each_with_its_figures() {
    let text = json(&all());
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(rows.len(), catalogue::NAMES.len());
    let rq = rows.iter().find(|row| row["name"] == "rq").expect("the name is known");
    assert_eq!(rq["worst_case"]["kind"], "bounded");
    assert_eq!(rq["worst_case"]["ms"], 1_095_000.0);
    assert_eq!(rq["specified_ms"], 1_095_000.0);
    assert_eq!(rq["parameters"][0]["name"], "interval");
}
