//! One scenario in virtual time over many seeds, spread over the cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::backend::{Backend as _, BackendError};
use crate::check::{self, Judged, Outcome, Simulated};
use crate::history::log::History;
use crate::history::{Event, Header, What};
use crate::names::HARNESS;
use crate::run;
use crate::scenario::Scenario;
use crate::sim::SimBackend;
use crate::sim::world::BEGIN;

/// Simulates the scenario with the seeds `header.seed`, and those after it, `runs` in all. The result
/// does not depend on the number of threads. `None` if it was interrupted.
///
/// # Errors
/// If the scenario cannot be simulated.
pub fn simulate(
    scenario: &Scenario,
    header: &Header,
    runs: u64,
    threads: usize,
    interrupted: &AtomicBool,
) -> Result<Option<Simulated>, BackendError> {
    // So that a scenario that cannot be simulated says so once.
    SimBackend::open(scenario, header.seed)?;
    let next = AtomicU64::new(0);
    let outcomes: Mutex<Vec<(u64, Outcome)>> = Mutex::new(Vec::new());
    let work = || {
        let mut mine = Vec::new();
        let mut events = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= runs || interrupted.load(Ordering::Relaxed) {
                break;
            }
            let seed = header.seed.wrapping_add(number);
            if let Ok(judged) = simulate_once(scenario, header, seed, &mut events) {
                mine.push((number, Outcome::from(&judged)));
            }
        }
        lock(&outcomes).append(&mut mine);
    };
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if interrupted.load(Ordering::Relaxed) {
        return Ok(None);
    }
    outcomes.sort_by_key(|(number, _)| *number);
    let outcomes: Vec<Outcome> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    Ok(Some(Simulated::of(&outcomes)))
}

/// `events` is room for the run's events, which is used again and again.
fn simulate_once(
    scenario: &Scenario,
    header: &Header,
    seed: u64,
    events: &mut Vec<Event>,
) -> Result<Judged, BackendError> {
    let header = Header { seed, ..header.clone() };
    let history = history_in(std::mem::take(events), scenario, header)?;
    let judged = check::judge(scenario, &history);
    *events = history.events;
    Ok(judged)
}

/// One run in virtual time, with the header's seed: what it was told, from the header to the end.
///
/// # Errors
/// If the scenario cannot be simulated, or the header is of another format.
pub fn history(scenario: &Scenario, header: Header) -> Result<History, BackendError> {
    history_in(Vec::new(), scenario, header)
}

fn history_in(mut events: Vec<Event>, scenario: &Scenario, header: Header) -> Result<History, BackendError> {
    let seed = header.seed;
    let mut backend = SimBackend::open(scenario, seed)?;
    let note = |at, ev| Event { at, by: HARNESS.into(), ev };
    events.clear();
    events.push(note(BEGIN, What::Header(Box::new(header))));
    run::drive(&mut backend, scenario, seed, None, &mut |event| events.push(event));
    events.push(note(backend.now(), What::End));
    History::from_events(events, false).map_err(|error| BackendError::Failed(error.to_string()))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
