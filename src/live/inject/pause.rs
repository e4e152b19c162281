//! Pauses: SIGSTOP of the whole process tree, as a stop-the-world collection would look, and its end.

use std::time::Duration;

use futures_util::future::BoxFuture;
use rustix::process::{Signal, pidfd_send_signal};

use super::process::{not_ended, running, unproved};
use super::tree::{self, Member};
use super::{Effect, Outcome, Parts, blocking, timed};
use crate::live::clock;
use crate::names::ProcessName;
use crate::time::{Instant, Span};

/// For every thread of the tree to be stopped, or to run again.
const LIMIT: Span = Span::from_secs(2);
const POLL: Duration = Duration::from_micros(200);

/// Stops the root now: it cannot fork any more. The future stops everything below, round by round,
/// until a look at /proc finds nobody new, and proves that each thread is in state T.
pub(super) fn pause(parts: &Parts, name: &ProcessName) -> BoxFuture<'static, Outcome> {
    let process = match not_ended(parts, name) {
        Ok(process) => process,
        Err(reason) => return unproved(reason),
    };
    let gone = || unproved(format!("{name} (pid {}) is gone already", process.pid));
    let (from, sent, _) = timed(|| pidfd_send_signal(&process.pidfd, Signal::STOP));
    if sent.is_err() {
        return gone();
    }
    let Some(root) = Member::open(process.pid) else { return gone() };
    // One look from here: most processes have stopped by now, and the runtime takes longer to come.
    let stopped = root.is_stopped().then(clock::monotonic);
    Box::pin(blocking(move || {
        let (members, until) = freeze(root, stopped, from + LIMIT)?;
        if tree::stat(process.pid).is_none_or(|stat| stat.is_dead()) {
            return Err(format!("pid {} ended while it was being stopped", process.pid));
        }
        let proof = format!("every thread in state T: {}", list(&members));
        Ok(Effect { from, until, proof })
    }))
}

/// Lets the tree run again, children first. A tree that is gone needs no resuming.
pub(super) fn resume(parts: &Parts, name: &ProcessName) -> BoxFuture<'static, Outcome> {
    let now = clock::monotonic();
    let process = match running(parts, name) {
        Ok(process) => process,
        Err(reason) => {
            let proof = format!("nothing is left to resume: {reason}");
            return Box::pin(async move { Ok(Effect { from: now, until: now, proof }) });
        }
    };
    Box::pin(blocking(move || {
        let members: Vec<Member> = tree::pids(process.pid).into_iter().filter_map(Member::open).collect();
        let from = clock::monotonic();
        for member in members.iter().rev() {
            // One that was killed meanwhile runs no more either way.
            let _ = member.signal(Signal::CONT);
        }
        loop {
            let until = clock::monotonic();
            let stopped: Vec<&Member> = members.iter().filter(|member| member.has_stopped_thread()).collect();
            if stopped.is_empty() {
                let proof = format!("none in state T: {}", list(&members));
                return Ok(Effect { from, until: clock::monotonic(), proof });
            }
            if until > from + LIMIT {
                return Err(format!("still in state T after {LIMIT}: {}", list(stopped)));
            }
            std::thread::sleep(POLL);
        }
    }))
}

/// Stops the whole tree of a root that has its SIGSTOP already, and that may have been seen
/// `stopped`. Returns everybody in it, and when the last one was seen stopped.
pub(super) fn freeze(
    root: Member,
    stopped: Option<Instant>,
    deadline: Instant,
) -> Result<(Vec<Member>, Instant), String> {
    let root_pid = root.pid;
    let mut members = vec![root];
    // Looked at before the scan, which takes milliseconds: most trees are the root alone.
    let mut all_stopped = match stopped {
        Some(stopped) => stopped,
        None => wait_stopped(&members, deadline)?,
    };
    loop {
        let newcomers: Vec<Member> = tree::pids(root_pid)
            .into_iter()
            .filter(|pid| members.iter().all(|member| member.pid != *pid))
            .filter_map(Member::open)
            .collect();
        if newcomers.is_empty() {
            return Ok((members, all_stopped));
        }
        if clock::monotonic() > deadline {
            return Err(format!("still more processes after {LIMIT}: {}", list(&newcomers)));
        }
        for member in &newcomers {
            // One that ended by itself needs no stopping.
            let _ = member.signal(Signal::STOP);
        }
        all_stopped = wait_stopped(&newcomers, deadline)?;
        members.extend(newcomers);
    }
}

/// When all of them were seen stopped.
fn wait_stopped(members: &[Member], deadline: Instant) -> Result<Instant, String> {
    loop {
        let running: Vec<&Member> = members.iter().filter(|member| !member.is_stopped()).collect();
        let now = clock::monotonic();
        if running.is_empty() {
            return Ok(now);
        }
        if now > deadline {
            return Err(format!("not in state T in time: {}", list(running)));
        }
        std::thread::sleep(POLL);
    }
}

fn list<'a>(members: impl IntoIterator<Item = &'a Member>) -> String {
    let pids: Vec<String> = members.into_iter().map(|member| format!("pid {}", member.pid)).collect();
    pids.join(", ")
}
