//! What an operator asks and does, of a reference fleet whose jobs are in Postgres.

use syncope::fault::FaultKind;
use syncope::fault::trouble::{DeadLetters, Trouble};
use syncope::protocol::table::StatusRule;
use syncope::scenario::Question;
use syncope::time::Span;

use super::{bad, good, places};

fn scenario(system: &str, ask: &str, letters: &str) -> String {
    format!(
        "name: test\ntime_scale: 0.1\nfleet: {{system: {system}, workers: 1}}\nstack: {{redis: {{}}, postgres: {{}}}}\n\
         workload: {{jobs: 3, arrival: {{every: 1s}}, steps: 1, step_time: {{constant: 1s}}}}\n\
         watch:\n  - {{name: it, every: 10s, timeout: 10s, ask: {{status: {ask}}}}}\n\
         faults:\n  - replay: {{dead_letters: {letters}}}\n    when: {{at: 5s}}\n"
    )
}

#[test]
fn the_ages_of_a_status_follow_the_time_scale() {
    let scenario = good(&scenario(
        "postgres-jobs",
        "{pointer: /jobs/stale, stale_above: 50s, healthy_below: 100s}",
        "all",
    ));
    let rule = StatusRule {
        healthy_below: Span::from_secs(10),
        stuck_above: Span::from_secs(60),
        stale_above: Span::from_secs(5),
    };
    assert_eq!(scenario.watches[0].ask, Question::Status { pointer: "/jobs/stale".into(), rule });
    let replay = Trouble::Replay { letters: DeadLetters::All };
    assert_eq!(scenario.faults[0].kind, FaultKind::Trouble { trouble: replay, lasting: None });
}

#[test]
fn what_no_fleet_or_another_one_can_answer_is_a_mistake() {
    let status = "{pointer: /jobs/stale}";
    for (text, codes) in [
        (scenario("postgres-jobs", status, "job-4"), vec!["scenario::unknown-job 9"]),
        (scenario("postgres-jobs", status, "some"), vec!["scenario::unknown-job 9"]),
        (scenario("postgres-jobs", "{pointer: jobs}", "all"), vec!["scenario::unknown-value 7"]),
        (
            scenario("postgres-jobs", "{pointer: /a, healthy_below: 20m}", "all"),
            vec!["scenario::empty-range 7"],
        ),
        // It has a table of jobs, and no dead letters.
        (scenario("postgres-heartbeat", status, "all"), vec!["scenario::foreign-setting 9"]),
        (
            scenario("redis-queue", status, "all"),
            vec!["scenario::foreign-setting 7", "scenario::foreign-setting 9"],
        ),
    ] {
        let found: Vec<String> = places(&bad(&text))
            .into_iter()
            .map(|place| place.rsplit_once(':').map_or(place.clone(), |(line, _)| line.to_owned()))
            .collect();
        assert_eq!(found, codes, "{text}");
    }
}
