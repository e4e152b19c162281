//! Signals, graceful stops and starts of one process.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use rustix::process::{Signal as Number, pidfd_send_signal};
use tokio::time::timeout;

use super::clocks::Clocks;
use super::{Effect, Outcome, Parts, timed, tree};
use crate::fault::Signal;
use crate::live::clock;
use crate::live::provision::{Exit, RunningProcess};
use crate::names::ProcessName;
use crate::time::{Instant, Span};

/// For a process that must end to be gone, and its exit status to be known. On a machine of 2 cores
/// with a load of 22 one took 7.5 s: it must run once more to end.
const EXIT_LIMIT: Span = Span::from_secs(30);
/// For a signal that the process handles to be taken by it.
const DELIVERY_LIMIT: Span = Span::from_secs(2);
/// A process that handles a signal may end soon; that is worth saying in the proof.
const HANDLED_LIMIT: Span = Span::from_millis(250);
const START_LIMIT: Span = Span::from_secs(60);
const POLL: Span = Span::from_millis(1);

/// Sends the signal now; the future proves what came of it.
pub(super) fn signal(parts: &Parts, name: &ProcessName, signal: Signal) -> BoxFuture<'static, Outcome> {
    let number = number(signal);
    // A SIGKILL is not kept waiting by a look into /proc: the exit status will tell what it met.
    let process = if number == Number::KILL { not_ended(parts, name) } else { running(parts, name) };
    let process = match process {
        Ok(process) => process,
        Err(reason) => return unproved(reason),
    };
    let answer = if number == Number::KILL { Answer::Ends } else { answer(process.pid, number) };
    if answer == Answer::Ignores {
        return unproved(format!("{name} (pid {}) ignores {}", process.pid, title(number)));
    }
    let (from, sent, _) = timed(|| pidfd_send_signal(&process.pidfd, number));
    if let Err(error) = sent {
        return unproved(format!("{name} (pid {}) is gone already: {error}", process.pid));
    }
    Box::pin(async move {
        match answer {
            Answer::Handles => prove_handled(&process, number, from).await,
            Answer::Ends | Answer::Ignores => prove_ended_by(&process, number, from).await,
        }
    })
}

/// Sends the process's stop signal now; the future waits for the end, and kills after `grace`.
pub(super) fn stop(parts: &Parts, name: &ProcessName, grace: Span) -> BoxFuture<'static, Outcome> {
    let process = match running(parts, name) {
        Ok(process) => process,
        Err(reason) => return unproved(reason),
    };
    let number = number(process.stop_signal);
    let (from, sent, _) = timed(|| pidfd_send_signal(&process.pidfd, number));
    if let Err(error) = sent {
        return unproved(format!("{name} (pid {}) is gone already: {error}", process.pid));
    }
    Box::pin(async move {
        let (pid, signal) = (process.pid, title(number));
        if let Some(end) = ended(&process, grace).await {
            let proof = format!("pid {pid} {} after {signal}", describe(end.exit));
            return Ok(Effect { from, until: end.seen, proof });
        }
        // Gone in this very moment is as good as killed: the exit status will tell.
        let _ = pidfd_send_signal(&process.pidfd, Number::KILL);
        match ended(&process, EXIT_LIMIT).await {
            Some(end) => {
                let proof =
                    format!("pid {pid} {}: it had to be killed {grace} after {signal}", describe(end.exit));
                Ok(Effect { from, until: end.seen, proof })
            }
            None => Err(format!("pid {pid} still runs {EXIT_LIMIT} after SIGKILL")),
        }
    })
}

/// Starts the process again, and lets its clock run as it was told to run.
pub(super) fn start(parts: Parts, clocks: Arc<Clocks>, name: ProcessName) -> BoxFuture<'static, Outcome> {
    Box::pin(async move {
        let from = clock::monotonic();
        let process = match timeout(START_LIMIT.to_std(), parts.launcher.start(&name)).await {
            Ok(Ok(process)) => process,
            Ok(Err(error)) => return Err(format!("{name} could not be started: {error}")),
            Err(_) => return Err(format!("{name} did not start within {START_LIMIT}")),
        };
        let until = clock::monotonic();
        let pid = process.pid;
        let Some((earliest, latest)) = tree::born(pid) else {
            return Err(format!("{name} (pid {pid}) was started and is gone already{}", ending(&process)));
        };
        if latest < from {
            return Err(format!("pid {pid} runs since before the order: {name} was not started again"));
        }
        clocks.restarted(&parts, &process)?;
        let from = from.max(earliest);
        let until = until.min(latest).max(from);
        let proof =
            format!("pid {pid} (generation {}) is in /proc and was born after the order", process.generation);
        Ok(Effect { from, until, proof })
    })
}

/// The process as it runs now.
pub(super) fn running(parts: &Parts, name: &ProcessName) -> Result<Arc<RunningProcess>, String> {
    let process = not_ended(parts, name)?;
    match tree::stat(process.pid) {
        Some(stat) if !stat.is_dead() => Ok(process),
        _ => Err(format!("{name} (pid {}) is gone already", process.pid)),
    }
}

/// The process, unless its exit is known.
pub(super) fn not_ended(parts: &Parts, name: &ProcessName) -> Result<Arc<RunningProcess>, String> {
    let process = parts.site.process(name).ok_or_else(|| format!("{name} was never started"))?;
    let exit = *process.exit.borrow();
    if let Some(exit) = exit {
        return Err(format!("{name} (pid {}) is gone already: it {}", process.pid, describe(exit)));
    }
    Ok(process)
}

pub(super) fn unproved(reason: String) -> BoxFuture<'static, Outcome> {
    Box::pin(async { Err(reason) })
}

struct End {
    seen: Instant,
    exit: Exit,
}

/// Waits for the process's end and its exit status, at most `limit`.
async fn ended(process: &RunningProcess, limit: Span) -> Option<End> {
    let waiting = async {
        let seen = tree::gone(&process.pidfd).await.ok();
        let mut exit = process.exit.clone();
        let exit = exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
        exit.map(|exit| End { seen: seen.unwrap_or_else(clock::monotonic), exit })
    };
    timeout(limit.to_std(), waiting).await.ok().flatten()
}

async fn prove_ended_by(process: &RunningProcess, number: Number, from: Instant) -> Outcome {
    let pid = process.pid;
    let Some(End { seen, exit }) = ended(process, EXIT_LIMIT).await else {
        return Err(format!("pid {pid} still runs {EXIT_LIMIT} after {}", title(number)));
    };
    // A shell, or a container's engine, reports a signal's end as 128 + its number.
    let expected = number.as_raw();
    if exit.signal == Some(expected) || exit.signal.is_none() && exit.code == Some(128 + expected) {
        Ok(Effect { from, until: seen, proof: format!("pid {pid} {}", describe(exit)) })
    } else {
        Err(format!("pid {pid} {}, not by {}", describe(exit), title(number)))
    }
}

async fn prove_handled(process: &RunningProcess, number: Number, from: Instant) -> Outcome {
    let pid = process.pid;
    let delivered = timeout(DELIVERY_LIMIT.to_std(), async {
        while is_pending(pid, number) {
            tokio::time::sleep(POLL.to_std()).await;
        }
        clock::monotonic()
    });
    let Ok(delivered) = delivered.await else {
        return Err(format!("{} is still pending for pid {pid} after {DELIVERY_LIMIT}", title(number)));
    };
    Ok(match ended(process, HANDLED_LIMIT).await {
        Some(End { seen, exit }) => Effect {
            from,
            until: seen,
            proof: format!("pid {pid} {} after {}", describe(exit), title(number)),
        },
        None => Effect {
            from,
            until: delivered,
            proof: format!("pid {pid} took {}, handles it and runs on", title(number)),
        },
    })
}

/// What the process will do about a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Ends,
    Handles,
    Ignores,
}

fn answer(pid: i32, number: Number) -> Answer {
    let Some(masks) = masks(pid) else { return Answer::Ends };
    if masks.handled & bit(number) != 0 {
        Answer::Handles
    } else if masks.ignored & bit(number) != 0 {
        Answer::Ignores
    } else {
        Answer::Ends
    }
}

/// Whether the process has a handler for the signal.
pub(super) fn handles(pid: i32, number: Number) -> bool {
    masks(pid).is_some_and(|masks| masks.handled & bit(number) != 0)
}

fn is_pending(pid: i32, number: Number) -> bool {
    masks(pid).is_some_and(|masks| masks.pending & bit(number) != 0)
}

struct Masks {
    handled: u64,
    ignored: u64,
    pending: u64,
}

fn masks(pid: i32) -> Option<Masks> {
    let status = procfs::process::Process::new(pid).and_then(|process| process.status()).ok()?;
    Some(Masks { handled: status.sigcgt, ignored: status.sigign, pending: status.shdpnd })
}

fn bit(number: Number) -> u64 {
    1 << (number.as_raw() - 1)
}

const fn number(signal: Signal) -> Number {
    match signal {
        Signal::Kill => Number::KILL,
        Signal::Term => Number::TERM,
        Signal::Int => Number::INT,
        Signal::Hup => Number::HUP,
        Signal::Quit => Number::QUIT,
        Signal::Abrt => Number::ABORT,
        Signal::Segv => Number::SEGV,
        Signal::Usr1 => Number::USR1,
        Signal::Usr2 => Number::USR2,
    }
}

fn title(number: Number) -> String {
    let name = match number {
        Number::KILL => "SIGKILL",
        Number::TERM => "SIGTERM",
        Number::INT => "SIGINT",
        Number::HUP => "SIGHUP",
        Number::QUIT => "SIGQUIT",
        Number::ABORT => "SIGABRT",
        Number::SEGV => "SIGSEGV",
        Number::USR1 => "SIGUSR1",
        Number::USR2 => "SIGUSR2",
        _ => return format!("signal {}", number.as_raw()),
    };
    name.to_owned()
}

fn describe(exit: Exit) -> String {
    match (exit.signal.and_then(Number::from_named_raw), exit.signal, exit.code) {
        (Some(number), _, _) => format!("ended by {}", title(number)),
        (None, Some(signal), _) => format!("ended by signal {signal}"),
        (None, None, Some(code)) => format!("ended with exit code {code}"),
        (None, None, None) => "ended, with unknown status".to_owned(),
    }
}

fn ending(process: &RunningProcess) -> String {
    process.exit.borrow().map_or_else(String::new, |exit| format!(": it {}", describe(exit)))
}
