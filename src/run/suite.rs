//! Many scenarios side by side, each on a stack of its own, a bounded number at once.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::backend::{Backend, BackendError};
use crate::check::{self, Judged, Verdict};
use crate::history::log::{History, LogWriter};
use crate::history::{Event, Header, Phase, What};
use crate::names::HARNESS;
use crate::run;
use crate::scenario::Scenario;
use crate::time::{Instant, Span};

/// One run of one scenario.
#[derive(Debug, Clone)]
pub struct Case {
    pub scenario: Scenario,
    pub header: Header,
    /// The folder's name under the run's: the scenario's name, and `.n` for a repeat.
    pub folder: String,
}

impl Case {
    /// Wall time that the workload and the faults take if nothing goes wrong; for ordering.
    #[must_use]
    pub fn estimate(&self) -> Span {
        let workload = &self.scenario.workload;
        let arrivals = workload.arrival.max().saturating_mul(u64::from(workload.jobs));
        let work = workload.step_time.max().saturating_mul(u64::from(workload.steps));
        let detection = self
            .scenario
            .fleet
            .pipeline
            .as_ref()
            .map_or(Span::ZERO, |pipeline| pipeline.detection(Span::ZERO).most().unwrap_or(Span::ZERO));
        arrivals + work + if self.scenario.faults.is_empty() { Span::ZERO } else { detection }
    }
}

/// What became of a case.
#[derive(Debug)]
pub enum Outcome {
    Judged {
        judged: Box<Judged>,
        history: History,
    },
    /// It could not be brought up.
    NotRun {
        error: BackendError,
    },
    /// The run was interrupted or stopped early before its turn.
    Skipped,
}

/// Brings a backend up for the case of this index. Called from several threads.
type Open<'a> = dyn Fn(usize, &Case) -> Result<Box<dyn Backend>, BackendError> + Sync + 'a;

/// What a suite needs from outside.
pub struct Suite<'a> {
    pub open: &'a Open<'a>,
    pub clock: fn() -> Instant,
    /// Told of every event, with the case's index.
    pub on_event: &'a (dyn Fn(usize, &Event) + Sync),
    pub on_outcome: &'a (dyn Fn(usize, &Outcome) + Sync),
    pub interrupted: &'a AtomicBool,
    /// At once, at least 1.
    pub at_once: usize,
    pub fail_fast: bool,
    /// Leave the stacks as they are at the end.
    pub keep: bool,
    pub directory: &'a Path,
}

impl Suite<'_> {
    /// Runs all cases, the longest first; the outcomes are in the order of `cases`.
    ///
    /// # Errors
    /// If a history cannot be written.
    pub fn run(&self, cases: &[Case]) -> io::Result<Vec<Outcome>> {
        let mut order: Vec<usize> = (0..cases.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(cases[index].estimate()));
        let queue = Mutex::new(VecDeque::from(order));
        let outcomes: Mutex<Vec<Option<Outcome>>> = Mutex::new(cases.iter().map(|_| None).collect());
        let failure: Mutex<Option<io::Error>> = Mutex::new(None);
        let stop = AtomicBool::new(false);
        let work = || {
            while !stop.load(Ordering::SeqCst) && !self.interrupted.load(Ordering::SeqCst) {
                let Some(index) = lock(&queue).pop_front() else { return };
                match self.run_case(index, &cases[index]) {
                    Ok(outcome) => {
                        if self.fail_fast && ends_the_suite(&outcome) {
                            stop.store(true, Ordering::SeqCst);
                        }
                        (self.on_outcome)(index, &outcome);
                        lock(&outcomes)[index] = Some(outcome);
                    }
                    Err(error) => {
                        stop.store(true, Ordering::SeqCst);
                        lock(&failure).get_or_insert(error);
                    }
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.at_once.clamp(1, cases.len().max(1)) {
                scope.spawn(work);
            }
        });
        if let Some(error) = lock(&failure).take() {
            return Err(error);
        }
        let outcomes = outcomes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Skipped)).collect())
    }

    fn run_case(&self, index: usize, case: &Case) -> io::Result<Outcome> {
        let folder: PathBuf = self.directory.join(&case.folder);
        fs::create_dir_all(&folder)?;
        let mut log = LogWriter::new(BufWriter::new(File::create(folder.join("history.jsonl"))?));
        let mut events = Vec::new();
        let mut write_error = None;
        let mut record = |event: Event| {
            if let Err(error) = log.append(&event) {
                write_error.get_or_insert(error);
            }
            (self.on_event)(index, &event);
            events.push(event);
        };
        let note = |at, what: What| Event { at, by: HARNESS.into(), ev: what };
        let mut now = (self.clock)();
        record(note(now, What::Header(Box::new(case.header.clone()))));
        record(note(now, What::Phase(Phase::Provision)));
        match (self.open)(index, case) {
            Ok(mut backend) => {
                let interrupted = || self.interrupted.load(Ordering::SeqCst);
                run::drive(&mut *backend, &case.scenario, case.header.seed, &interrupted, &mut record);
                if !self.keep {
                    record(note(backend.now(), What::Phase(Phase::TearDown)));
                    for what in backend.tear_down() {
                        record(note(backend.now(), What::Leftover { what }));
                    }
                }
                now = backend.now();
            }
            Err(BackendError::Interrupted) => {
                now = (self.clock)();
                record(note(now, What::Interrupted));
            }
            Err(error @ (BackendError::Environment { .. } | BackendError::Unsupported(_))) => {
                drop(log);
                fs::remove_dir_all(&folder)?;
                return Ok(Outcome::NotRun { error });
            }
            Err(BackendError::Failed(reason)) => {
                now = (self.clock)();
                record(note(now, What::Aborted { reason }));
            }
        }
        record(note(now, What::End));
        if let Some(error) = write_error {
            return Err(error);
        }
        let history = History::from_events(events, false).map_err(io::Error::other)?;
        let judged = Box::new(check::judge(&case.scenario, &history));
        Ok(Outcome::Judged { judged, history })
    }
}

fn ends_the_suite(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Judged { judged, .. } => judged.verdict != Verdict::Pass,
        Outcome::NotRun { .. } => true,
        Outcome::Skipped => false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
