//! Which jobs are enqueued, and when.

use super::scene::Scene;
use crate::dist::Distribution;
use crate::run::workload::arrivals;
use crate::time::Span;

const RANDOM: &str =
    "{jobs: 40, arrival: {exponential: 200ms}, steps: 3, step_time: {uniform: [10ms, 90ms]}}";

#[test]
fn every_arrival_is_enqueued_at_its_time() {
    let ran = Scene::default().run();
    let due: Vec<_> = (0..6).map(|n| (n * 500, format!("job-{}", n + 1))).collect();
    assert_eq!(ran.enqueued(), due);

    let scene = Scene { workload: RANDOM, ..Scene::default() };
    let due = arrivals(&scene.scenario().workload, scene.seed);
    let due: Vec<_> = due.into_iter().map(|a| (a.after.as_millis(), a.job.id.to_string())).collect();
    assert_eq!(scene.run().enqueued(), due);
}

#[test]
fn a_seed_makes_the_workload_and_another_seed_another() {
    let workload = Scene { workload: RANDOM, ..Scene::default() }.scenario().workload;
    assert_eq!(arrivals(&workload, 7), arrivals(&workload, 7));
    assert_ne!(arrivals(&workload, 7), arrivals(&workload, 8));
}

#[test]
fn a_run_of_one_seed_is_the_same_run_again() {
    let fault = "pauses: {target: {any: worker}, lasting: {uniform: [10ms, 500ms]}, gap: {exponential: 100ms}, count: 3}\n    when: {within: [1s, 3s]}";
    let scene = Scene { workload: RANDOM, ..Scene::with(fault) };
    assert_eq!(scene.run().events, scene.run().events);
    let other = Scene { seed: 8, ..scene.clone() };
    assert_ne!(scene.run().orders(), other.run().orders());
}

#[test]
fn the_first_job_comes_at_once_and_jobs_are_as_the_scenario_says() {
    let text = "{jobs: 3, arrival: {every: 2s}, steps: 4, step_time: {constant: 10ms}, attempts: 5, failing: {job-2: 3}}";
    let workload = Scene { workload: text, ..Scene::default() }.scenario().workload;
    let arrivals = arrivals(&workload, 1);
    let seconds: Vec<_> = arrivals.iter().map(|arrival| arrival.after.as_millis()).collect();
    assert_eq!(seconds, [0, 2_000, 4_000]);
    assert_eq!(arrivals.iter().map(|a| a.job.failing_attempts).collect::<Vec<_>>(), [0, 3, 0]);
    for arrival in &arrivals {
        assert_eq!(arrival.job.steps, [Span::from_millis(10); 4]);
        assert_eq!(arrival.job.attempts, 5);
    }
    assert_eq!(workload.arrival, Distribution::Constant(Span::from_secs(2)));
}
