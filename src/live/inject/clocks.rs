//! Clock faults: steps and drifts of one process's wall clock, proved by the clock as read back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use rustix::process::Signal;
use tokio::sync::broadcast;
use tokio::time::timeout;

use super::clock_file::{self, Course};
use super::reading::{self, Reading, loaded_by_jump};
use super::tree::{self, Member};
use super::{Effect, Outcome, Parts, process};
use crate::history::{Event, What};
use crate::live::clock;
use crate::live::provision::RunningProcess;
use crate::names::ProcessName;
use crate::protocol::FleetEvent;
use crate::time::{Instant, SignedSpan, Span, UnixMillis};

/// For the process to say what its clock reads.
const REPORT_LIMIT: Span = Span::from_secs(2);
/// Between two questions: shorter than, and no divisor of, the millisecond that readings are rounded to.
const ASK_AGAIN: std::time::Duration = std::time::Duration::from_micros(7_370);
/// The host's own two clocks are read one after the other.
const STAMP_SLACK_NANOS: i64 = 200_000;
/// How far the clock must have moved for its drift to be measured, with readings in milliseconds.
const DRIFT_SEEN_NANOS: i64 = 4_000_000;
/// Readings that are combined for one measurement of a drifting clock.
const READINGS: u32 = 6;
const MILLION: i64 = 1_000_000;
/// More reports than this, unread, are dropped: each question has one asker.
const REPORTS_KEPT: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Step(SignedSpan),
    Drift { ppm: i64 },
    Reset,
}

/// The clocks of one scenario's processes.
#[derive(Debug)]
pub(super) struct Clocks {
    courses: Mutex<BTreeMap<ProcessName, Faked>>,
    reports: broadcast::Sender<Report>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Faked {
    course: Course,
    /// libfaketime has read a rate, and keeps it until it reads another.
    rated: bool,
    /// When which generation of the process loaded libfaketime, once a drift has shown it.
    loaded: Option<(u32, Instant)>,
}

impl Faked {
    /// /proc knows the birth, which is somewhat earlier.
    fn loaded(&self, process: &RunningProcess) -> Instant {
        match self.loaded {
            Some((generation, loaded)) if generation == process.generation => loaded,
            _ => tree::born(process.pid).map_or(self.course.since, |(_, latest)| latest),
        }
    }
}

/// A process said what its clock read.
#[derive(Debug, Clone)]
struct Report {
    by: ProcessName,
    /// The clock was read between these two.
    since: Instant,
    at: Instant,
    wall: UnixMillis,
}

impl Default for Clocks {
    fn default() -> Self {
        Self { courses: Mutex::default(), reports: broadcast::channel(REPORTS_KEPT).0 }
    }
}

impl Clocks {
    pub(super) fn observe(&self, event: &Event) {
        if let What::Fleet(FleetEvent::Clock { wall, since }) = event.ev {
            // Nobody listens, unless a clock fault is being proved.
            let _ = self.reports.send(Report { by: event.by.clone(), since, at: event.at, wall });
        }
    }

    pub(super) fn change(
        self: &Arc<Self>,
        parts: &Parts,
        name: &ProcessName,
        change: Change,
    ) -> BoxFuture<'static, Outcome> {
        let (this, parts, name) = (Arc::clone(self), parts.clone(), name.clone());
        Box::pin(async move { this.carry_out(&parts, &name, change).await })
    }

    /// Writes the file anew for a process that was started while its clock is faked: rates are
    /// counted from the process's start. The interval until then is wrong by the rate times the
    /// time between the two starts.
    pub(super) fn restarted(&self, parts: &Parts, process: &RunningProcess) -> Result<(), String> {
        let faked = self.lock().get(&process.name).copied();
        match faked {
            Some(faked) if faked.rated => {
                let path = file(parts, &process.name)?;
                write(&path, faked, Some(process)).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    async fn carry_out(&self, parts: &Parts, name: &ProcessName, change: Change) -> Outcome {
        let path = file(parts, name)?;
        let process = match (process::running(parts, name), change) {
            (Ok(process), _) => Some(process),
            (Err(_), Change::Reset) => None,
            (Err(reason), _) => return Err(reason),
        };
        let faked = self.changed(name, change)?;
        let (from, mut until) = write(&path, faked, process.as_deref())?;
        let Some(process) = process else {
            let proof = format!("the clock of {name} is the host's again; it does not run now");
            return Ok(Effect { from, until, proof });
        };
        let reader = Reader { clocks: self, process: &process };
        let proof = match change {
            Change::Drift { .. } => {
                if let Some(calibrated) = self.calibrate(&reader, faked).await? {
                    until = write(&path, calibrated, Some(&process))?.1;
                }
                let (proof, jump) = reader.prove_drift(faked.course).await?;
                self.learn(&process, faked, jump);
                proof
            }
            Change::Step(_) | Change::Reset => reader.prove_offset(faked.course).await?,
        };
        Ok(Effect { from, until, proof })
    }

    /// A container's process is born long before its program is loaded: then the clock has jumped
    /// visibly when its rate changed, which tells when that was. `Some`: the file must be written anew.
    async fn calibrate(&self, reader: &Reader<'_>, faked: Faked) -> Result<Option<Faked>, String> {
        let reading = reader.measure(faked.course.ppm).await?;
        if reading.admits(faked.course) || faked.course.ppm == 0 {
            return Ok(None);
        }
        let process = reader.process;
        let loaded = loaded_by_jump(faked.loaded(process), reading.off(faked.course), faked.course.ppm);
        let born = tree::born(process.pid).map_or(Instant::ZERO, |(earliest, _)| earliest);
        // A clock that is elsewhere for another reason is not proved by what follows.
        if loaded < born || loaded > reading.at {
            return Ok(None);
        }
        let mut courses = self.lock();
        let kept = courses.entry(process.name.clone()).or_default();
        kept.loaded = Some((process.generation, loaded));
        Ok(Some(*kept))
    }

    /// libfaketime was loaded later than the file was made for, so the clock jumped by a little when
    /// its rate changed. It is where it is: the next change counts from there.
    fn learn(&self, process: &RunningProcess, faked: Faked, jump: SignedSpan) {
        if let Some(kept) = self.lock().get_mut(&process.name)
            && jump.0 != 0
            && kept.course == faked.course
        {
            let loaded = loaded_by_jump(kept.loaded(process), jump, faked.course.ppm);
            kept.loaded = Some((process.generation, loaded));
            kept.course.offset.0 = kept.course.offset.0.saturating_add(jump.0);
        }
    }

    /// The course after the change, which is kept.
    fn changed(&self, name: &ProcessName, change: Change) -> Result<Faked, String> {
        if let Change::Drift { ppm } = change {
            reading::goes_on(ppm)?;
        }
        let now = clock::monotonic();
        let mut courses = self.lock();
        let faked = courses.entry(name.clone()).or_default();
        let offset = faked.course.offset_at(now);
        let (offset, ppm) = match change {
            Change::Step(by) => (SignedSpan(offset.0.saturating_add(by.0)), faked.course.ppm),
            Change::Drift { ppm } => (offset, ppm),
            Change::Reset => (SignedSpan(0), 0),
        };
        faked.course = Course { offset, since: now, ppm };
        faked.rated |= ppm != 0;
        Ok(*faked)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ProcessName, Faked>> {
        // Entries are plain values, whole at every moment.
        self.courses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn file(parts: &Parts, name: &ProcessName) -> Result<PathBuf, String> {
    parts
        .site
        .clock_file(name)
        .ok_or_else(|| format!("{name} was not started with a clock that can be faked"))
}

/// Returns when the writing began and ended. Short enough for any thread.
fn write(
    path: &std::path::Path,
    faked: Faked,
    process: Option<&RunningProcess>,
) -> Result<(Instant, Instant), String> {
    let loaded = process.map_or(faked.course.since, |process| faked.loaded(process));
    let content = clock_file::content(&faked.course, faked.rated, loaded);
    let (from, written, until) = super::timed(|| clock_file::write(path, &content));
    written.map_err(|error| format!("failed to write the clock file: {error}"))?;
    Ok((from, until))
}

/// Asks one process for its clock.
struct Reader<'a> {
    clocks: &'a Clocks,
    process: &'a RunningProcess,
}

impl Reader<'_> {
    async fn prove_offset(&self, course: Course) -> Result<String, String> {
        let deadline = clock::monotonic() + REPORT_LIMIT;
        loop {
            let reading = self.ask(deadline).await?;
            let expected = course.offset_at(reading.at);
            if reading.admits(course) {
                return Ok(format!(
                    "the clock of pid {} reads {} against the host's (asked: {expected})",
                    self.process.pid,
                    reading.middle()
                ));
            }
            // The process may have been interrupted between its stamp and its clock; once more.
            if clock::monotonic() > deadline {
                return Err(format!(
                    "the clock of pid {} reads {} against the host's, not {expected}; static and Go \
                     programs are out of libfaketime's reach",
                    self.process.pid,
                    reading.middle()
                ));
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// The proof, and by how much the clock jumped when the drift began.
    async fn prove_drift(&self, course: Course) -> Result<(String, SignedSpan), String> {
        let first = self.measure(course.ppm).await?;
        if !first.admits(course) {
            return Err(format!(
                "the clock of pid {} jumped: it reads {} against the host's, not {}; static and Go \
                 programs are out of libfaketime's reach",
                self.process.pid,
                first.middle(),
                course.offset_at(first.at)
            ));
        }
        tokio::time::sleep(reading::drift_window(DRIFT_SEEN_NANOS, course.ppm).to_std()).await;
        let second = self.measure(course.ppm).await?;
        let whose = format!("pid {}", self.process.pid);
        let proof = reading::prove_drift(&whose, first, second, course.ppm)?;
        Ok((proof, first.off(course)))
    }

    /// Several readings combined: they are rounded to a millisecond at different phases, so together
    /// they tell more than one.
    async fn measure(&self, ppm: i64) -> Result<Reading, String> {
        let deadline = clock::monotonic() + REPORT_LIMIT;
        let mut combined = self.ask(deadline).await?;
        for _ in 1..READINGS {
            tokio::time::sleep(ASK_AGAIN).await;
            let next = self.ask(deadline).await?;
            let moved = Course { offset: SignedSpan(0), since: combined.at, ppm }.offset_at(next.at).0;
            let (low, high) = (next.low.max(combined.low + moved), next.high.min(combined.high + moved));
            // Two that contradict each other: the process was interrupted at one of them; begin again.
            combined = if low <= high { Reading { at: next.at, low, high } } else { next };
        }
        Ok(combined)
    }

    async fn ask(&self, deadline: Instant) -> Result<Reading, String> {
        let mut reports = self.clocks.reports.subscribe();
        let asked = clock::monotonic();
        self.request()?;
        let answer = timeout(deadline.since(asked).to_std(), async {
            loop {
                match reports.recv().await {
                    // A program's line does not say since when; it was asked only now.
                    Ok(report) if report.by == self.process.name && report.at >= asked => {
                        return Some(Report { since: report.since.max(asked), ..report });
                    }
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        match answer.await {
            Ok(Some(report)) => Ok(read_from(&report)),
            Ok(None) | Err(_) => Err(format!(
                "the process did not report its clock within {REPORT_LIMIT} (static and Go programs are out of \
                 libfaketime's reach)"
            )),
        }
    }

    /// SIGUSR1 to every process of the tree that handles it: it would end any other.
    fn request(&self) -> Result<(), String> {
        let root = self.process.pid;
        let mut asked = false;
        let pids = if process::handles(root, Signal::USR1) { vec![root] } else { tree::pids(root) };
        for pid in pids {
            let Some(member) = Member::open(pid) else { continue };
            if process::handles(pid, Signal::USR1) && member.signal(Signal::USR1).is_ok() {
                asked = true;
            }
        }
        if asked {
            Ok(())
        } else {
            Err(format!("pid {root} does not report its clock: it has no handler for SIGUSR1"))
        }
    }
}

fn read_from(report: &Report) -> Reading {
    let wall = report.wall.0.saturating_mul(MILLION);
    let low = wall.saturating_sub(host_wall_at(report.at)) - STAMP_SLACK_NANOS;
    let high = wall.saturating_add(MILLION).saturating_sub(host_wall_at(report.since)) + STAMP_SLACK_NANOS;
    Reading { at: report.at, low, high: high.max(low) }
}

/// The host's wall clock at a moment of the monotonic clock, in nanoseconds since the Unix epoch.
fn host_wall_at(at: Instant) -> i64 {
    let (before, wall, after) = super::timed(clock::host_wall_nanos);
    let middle = before + Span::from_nanos(after.since(before).as_nanos() / 2);
    let ago = i128::from(middle.as_nanos()) - i128::from(at.as_nanos());
    wall.saturating_sub(i64::try_from(ago).unwrap_or(0))
}
