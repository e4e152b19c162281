//! Limits on what a process may use: processor time, and memory until the kernel kills it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use rustix::process::{Signal, pidfd_send_signal};
use tokio::time::timeout;

use super::process::{handles, running, unproved};
use super::{Effect, Outcome, Parts, blocking, timed, tree};
use crate::live::cgroup::{Controller, Group};
use crate::live::clock;
use crate::live::provision::harness_name;
use crate::names::ProcessName;
use crate::time::{Instant, Span};

/// For a process that has no memory left to be killed.
const KILLED_LIMIT: Span = Span::from_secs(20);
/// Between two askings to grow: long enough for a fleet's process to touch what it was given.
const GROW_EVERY: Span = Span::from_millis(20);
/// At which a process of the reference fleet takes more memory and keeps it. Every other program
/// ignores this signal unless it asks for it.
const GROW: Signal = Signal::WINCH;

/// The groups that one scenario's processes are in.
#[derive(Debug, Default)]
pub(super) struct Limits {
    groups: Mutex<BTreeMap<ProcessName, Group>>,
}

impl Limits {
    /// `share` of one processor, in parts per million.
    pub(super) fn throttle(
        self: &Arc<Self>,
        parts: &Parts,
        name: &ProcessName,
        share: u32,
    ) -> BoxFuture<'static, Outcome> {
        let process = match running(parts, name) {
            Ok(process) => process,
            Err(reason) => return unproved(reason),
        };
        let (this, name) = (Arc::clone(self), name.clone());
        Box::pin(blocking(move || {
            let group = Group::make(Controller::Cpu, &harness_name(), process.pid)?;
            let limit = group.limit_cpu(share)?;
            let (from, admitted, until) = timed(|| group.admit(&tree::pids(process.pid)));
            let proof = format!("{limit}; {}", admitted?);
            this.lock().insert(name, group);
            Ok(Effect { from, until, proof })
        }))
    }

    pub(super) fn unthrottle(self: &Arc<Self>, name: &ProcessName) -> BoxFuture<'static, Outcome> {
        let (this, name) = (Arc::clone(self), name.clone());
        Box::pin(blocking(move || {
            let group = this.lock().remove(&name).ok_or_else(|| format!("{name} was not throttled"))?;
            let throttled = group.throttled();
            let (from, (), until) = timed(|| drop(group));
            let proof = format!("it is back where it was; it was held up in {throttled} periods");
            Ok(Effect { from, until, proof })
        }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ProcessName, Group>> {
        // Entries are whole at every moment.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By so much it grows each time (`live::fleet::ballast`).
const GROWTH: u64 = 8 << 20;

/// Limits the process's memory, has it grow, and waits until the kernel has killed it for that. What
/// it had before does not count: the limit is on what it takes from now on. A container is limited as
/// a whole, so that its process sees the limit as its own.
pub(super) fn out_of_memory(
    parts: &Parts,
    name: &ProcessName,
    limit: u64,
    every: Span,
) -> BoxFuture<'static, Outcome> {
    let every = every.max(GROW_EVERY);
    let process = match running(parts, name) {
        Ok(process) => process,
        Err(reason) => return unproved(reason),
    };
    let (site, name) = (Arc::clone(&parts.site), name.clone());
    Box::pin(async move {
        let pid = process.pid;
        let (group, said) = blocking(move || {
            if let Some(container) = Group::around(Controller::Memory, pid) {
                let said = container.limit_memory(limit)?;
                return Ok((container, said));
            }
            let group = Group::make(Controller::Memory, &harness_name(), pid)?;
            let said = group.limit_memory(limit)?;
            group.admit(&tree::pids(pid))?;
            Ok((group, said))
        })
        .await?;
        let grows = handles(pid, GROW);
        let deadline = clock::monotonic() + KILLED_LIMIT + every.saturating_mul(limit / GROWTH);
        let mut asked = clock::monotonic();
        let seen = loop {
            if grows {
                asked = clock::monotonic();
                // One that is gone by now is what is waited for.
                let _ = pidfd_send_signal(&process.pidfd, GROW);
            }
            if let Ok(Ok(seen)) = timeout(every.to_std(), tree::gone(&process.pidfd)).await {
                break seen;
            }
            if clock::monotonic() > deadline {
                let how = if grows { "although it was told to grow" } else { "and cannot be told to grow" };
                return Err(format!("pid {pid} still runs within {limit} bytes after {KILLED_LIMIT}, {how}"));
            }
        };
        // A container's group goes soon after its process, and then only its engine can tell, which does not
        // know of it yet if the word of the end came before that of its reason.
        let counted = group.oom_kills();
        let mut exit = process.exit.clone();
        let exit = *exit.wait_for(Option::is_some).await.map_err(|error| error.to_string())?;
        let how = exit.map_or_else(String::new, |exit| exit.to_string());
        let (lacked, told) = match site.lacked_memory(&name).await {
            Some(told) if counted == 0 => (told, format!("the engine says `OOMKilled: {told}`")),
            _ => (counted > 0, format!("oom_kill is {counted}")),
        };
        let proof = format!("pid {pid}: {how}; {told}; {said}");
        drop(group);
        if !lacked { Err(proof) } else { Ok(Effect { from: earliest(asked, seen), until: seen, proof }) }
    })
}

/// The last asking came before the end, unless the end came by itself between two of them.
fn earliest(asked: Instant, seen: Instant) -> Instant {
    asked.min(seen) - GROW_EVERY
}
