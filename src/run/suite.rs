//! Many scenarios side by side, each on a stack of its own, a bounded number at once.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::backend::{Backend, BackendError};
use crate::check::{self, Judged, Verdict};
use crate::history::log::{History, LogWriter};
use crate::history::{Event, Header, Phase, What};
use crate::names::HARNESS;
use crate::run;
use crate::run::admission::Admission;
use crate::run::pace::{Pace, SuiteProgress};
use crate::scenario::Scenario;
use crate::time::{Instant, Span};

/// In each scenario's folder.
pub const HISTORY: &str = "history.jsonl";

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
    pub on_progress: &'a (dyn Fn(SuiteProgress) + Sync),
    pub interrupted: &'a AtomicBool,
    /// At once, at least 1.
    pub at_once: usize,
    /// How often a case is run again that the host's stalls made inconclusive.
    pub host_retries: u32,
    pub fail_fast: bool,
    /// Leave the stacks as they are at the end.
    pub keep: bool,
    pub directory: &'a Path,
}

/// What became of a suite.
#[derive(Debug)]
pub struct SuiteOutcome {
    /// In the order of the cases.
    pub outcomes: Vec<Outcome>,
    /// What was done to keep the host quiet, in sentences.
    pub host_notes: Vec<String>,
}

/// What the threads of a suite share.
struct Floor {
    queue: VecDeque<usize>,
    admission: Admission,
    pace: Pace,
    outcomes: Vec<Option<Outcome>>,
    stop: bool,
    failure: Option<io::Error>,
}

/// How often a thread that is held back looks again.
const HELD_BACK: Duration = Duration::from_millis(100);

impl Suite<'_> {
    /// Runs all cases, the longest first, side by side as far as the host bears it. Then those that the
    /// host's stalls made inconclusive once more, with half as many at once, and so on: a stall is
    /// nothing that the fleet did, and nothing else is ever run again.
    ///
    /// # Errors
    /// If a history cannot be written.
    pub fn run(&self, cases: &[Case]) -> io::Result<SuiteOutcome> {
        let mut at_once = self.at_once.clamp(1, cases.len().max(1));
        let (mut outcomes, mut host_notes) = self.round(cases, (0..cases.len()).collect(), at_once)?;
        for attempt in 1..=self.host_retries {
            let stalled: Vec<usize> =
                (0..cases.len()).filter(|&index| host_stalled(&outcomes[index]).is_some()).collect();
            let hung = outcomes.iter().flatten().any(hung);
            if stalled.is_empty() || hung || self.fail_fast || self.interrupted.load(Ordering::SeqCst) {
                break;
            }
            for &index in &stalled {
                let (folder, note) = (&cases[index].folder, host_stalled(&outcomes[index]));
                host_notes.push(format!("{folder} was run again. {}", note.unwrap_or_default()));
                let folder = self.directory.join(folder);
                fs::rename(folder.join(HISTORY), folder.join(format!("history.{attempt}.jsonl")))?;
            }
            at_once = (at_once / 2).max(1);
            let (again, notes) = self.round(cases, stalled, at_once)?;
            host_notes.extend(notes);
            for (outcome, again) in outcomes.iter_mut().zip(again) {
                if again.is_some() {
                    *outcome = again;
                }
            }
        }
        let outcomes = outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Skipped)).collect();
        Ok(SuiteOutcome { outcomes, host_notes })
    }

    /// Runs these of the cases; outcomes for all, `None` for those that did not run.
    fn round(
        &self,
        cases: &[Case],
        mut order: Vec<usize>,
        at_once: usize,
    ) -> io::Result<(Vec<Option<Outcome>>, Vec<String>)> {
        order.sort_by_key(|&index| std::cmp::Reverse(cases[index].estimate()));
        let now = (self.clock)();
        let estimates = order.iter().map(|&index| (index, cases[index].estimate())).collect();
        let floor = Mutex::new(Floor {
            queue: VecDeque::from(order),
            admission: Admission::new(at_once, now),
            pace: Pace::new(estimates, at_once),
            outcomes: cases.iter().map(|_| None).collect(),
            stop: false,
            failure: None,
        });
        thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(|| {
                    while let Some(index) = self.next(&floor, cases) {
                        self.take(index, &cases[index], &floor);
                    }
                });
            }
        });
        let floor = floor.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let notes = floor.admission.account().into_iter().collect();
        floor.failure.map_or(Ok((floor.outcomes, notes)), Err)
    }

    /// The next case to run, once the host bears it; `None` when there is nothing more to do.
    fn next(&self, floor: &Mutex<Floor>, cases: &[Case]) -> Option<usize> {
        loop {
            let now = (self.clock)();
            let mut at = lock(floor);
            if at.stop || self.interrupted.load(Ordering::SeqCst) || at.queue.is_empty() {
                return None;
            }
            if at.admission.admits(now) {
                let index = at.queue.pop_front()?;
                at.admission.started(index, check::stall_bearable(&cases[index].scenario));
                at.pace.started(index, now);
                return Some(index);
            }
            drop(at);
            thread::sleep(HELD_BACK);
        }
    }

    fn take(&self, index: usize, case: &Case, floor: &Mutex<Floor>) {
        let stalled = |now, stall| lock(floor).admission.stalled(now, stall);
        let ran = self.run_case(index, case, &stalled);
        if let Ok(outcome) = &ran {
            (self.on_outcome)(index, outcome);
        }
        let now = (self.clock)();
        let mut at = lock(floor);
        at.admission.ended(index);
        at.pace.ended(index, now);
        match ran {
            Ok(outcome) => {
                at.stop |= hung(&outcome) || self.fail_fast && ends_the_suite(&outcome);
                at.outcomes[index] = Some(outcome);
            }
            Err(error) => {
                at.stop = true;
                at.failure.get_or_insert(error);
            }
        }
        (self.on_progress)(at.pace.progress(now));
    }

    /// `stalled` is told of every stall of the host, and when.
    fn run_case(&self, index: usize, case: &Case, stalled: &dyn Fn(Instant, Span)) -> io::Result<Outcome> {
        let folder: PathBuf = self.directory.join(&case.folder);
        fs::create_dir_all(&folder)?;
        let mut log = LogWriter::new(BufWriter::new(File::create(folder.join(HISTORY))?));
        let mut events = Vec::new();
        let mut write_error = None;
        let mut record = |event: Event| {
            if let Err(error) = log.append(&event) {
                write_error.get_or_insert(error);
            }
            (self.on_event)(index, &event);
            if let What::Hiccup { stall } = event.ev {
                stalled(event.at, stall);
            }
            events.push(event);
        };
        let note = |at, what: What| Event { at, by: HARNESS.into(), ev: what };
        let mut now = (self.clock)();
        record(note(now, What::Header(Box::new(case.header.clone()))));
        record(note(now, What::Phase(Phase::Provision)));
        match (self.open)(index, case) {
            Ok(mut backend) => {
                let interrupted = || self.interrupted.load(Ordering::SeqCst);
                run::drive(&mut *backend, &case.scenario, case.header.seed, Some(&interrupted), &mut record);
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
            Err(
                error @ (BackendError::Environment { .. }
                | BackendError::Unsupported(_)
                | BackendError::Hung { .. }),
            ) => {
                drop(log);
                fs::remove_dir_all(&folder)?;
                return Ok(Outcome::NotRun { error });
            }
            Err(BackendError::Failed(reason) | BackendError::NotStarted { what: reason, .. }) => {
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

fn host_stalled(outcome: &Option<Outcome>) -> Option<&str> {
    match outcome {
        Some(Outcome::Judged { judged, .. }) => judged.stalled_host(),
        _ => None,
    }
}

/// Each of the others would wait for the same answer as long as it did.
const fn hung(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotRun { error: BackendError::Hung { .. } })
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
