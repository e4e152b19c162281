//! A process and its descendants, as /proc shows them.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long a stopped or a killed process may take to be seen as such.
const SEEN_WITHIN: Duration = Duration::from_secs(5);
const ROUNDS_MAX: usize = 100;

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    pub pid: i32,
    /// In clock ticks since the host's boot.
    pub start: u64,
}

impl Identity {
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        stat(pid).map(|stat| Self { pid, start: stat.starttime })
    }

    /// A zombie does not live.
    #[must_use]
    pub fn lives(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.starttime == self.start && !matches!(stat.state, 'Z' | 'X'))
    }

    /// Nothing happens to a later process with the same pid.
    pub fn signal(self, signal: Signal) -> io::Result<()> {
        let pid = Pid::from_raw(self.pid).ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        if Self::of(self.pid) == Some(self) {
            pidfd_send_signal(pidfd, signal)?;
        }
        Ok(())
    }
}

/// The process and its descendants, parents before children.
#[must_use]
pub fn tree_of(root: i32) -> Vec<Identity> {
    let mut children: BTreeMap<i32, Vec<Identity>> = BTreeMap::new();
    for (pid, stat) in all_processes() {
        children.entry(stat.ppid).or_default().push(Identity { pid, start: stat.starttime });
    }
    let mut tree: Vec<Identity> = Identity::of(root).into_iter().collect();
    let mut next = 0;
    while let Some(process) = tree.get(next) {
        let descend = children.remove(&process.pid).unwrap_or_default();
        tree.extend(descend);
        next += 1;
    }
    tree
}

/// Every process that this user may look at.
pub(super) fn all_processes() -> impl Iterator<Item = (i32, procfs::process::Stat)> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
}

/// SIGSTOP to the process and its descendants. Returns when every one of them is seen as stopped in
/// /proc, with that as the proof.
pub fn stop_tree(root: i32) -> io::Result<String> {
    // Parents first, and again until no new child has turned up: a stopped parent forks no more.
    let mut stopped: Vec<Identity> = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let fresh: Vec<Identity> =
            tree_of(root).into_iter().filter(|process| !stopped.contains(process)).collect();
        if fresh.is_empty() {
            break;
        }
        for process in fresh {
            signal_if_there(process, Signal::STOP)?;
            wait_for(process, "stopped", |state| matches!(state, 'T' | 't' | 'Z' | 'X'))?;
            stopped.push(process);
        }
    }
    if stopped.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("process {root} is gone")));
    }
    Ok(format!("/proc shows state T for {}", pids(&stopped)))
}

/// SIGCONT to the process and its descendants, children first. Returns when none is stopped any more.
pub fn continue_tree(root: i32) -> io::Result<String> {
    let mut tree = tree_of(root);
    tree.reverse();
    for process in &tree {
        signal_if_there(*process, Signal::CONT)?;
    }
    for process in &tree {
        wait_for(*process, "continued", |state| !matches!(state, 'T' | 't'))?;
    }
    Ok(format!("/proc shows no state T for {}", pids(&tree)))
}

/// SIGKILL to the process and its descendants. Returns when they are gone, or zombies that their
/// parents have yet to reap.
pub fn kill_tree(root: i32) -> io::Result<()> {
    let tree = tree_of(root);
    for process in &tree {
        signal_if_there(*process, Signal::KILL)?;
    }
    for process in tree {
        wait_for(process, "killed", |state| matches!(state, 'Z' | 'X'))?;
    }
    Ok(())
}

fn signal_if_there(process: Identity, signal: Signal) -> io::Result<()> {
    match process.signal(signal) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        other => other,
    }
}

fn wait_for(process: Identity, what: &str, mut reached: impl FnMut(char) -> bool) -> io::Result<()> {
    let deadline = Instant::now() + SEEN_WITHIN;
    loop {
        match stat(process.pid) {
            Some(stat) if stat.starttime == process.start && !reached(stat.state) => {}
            _ => return Ok(()),
        }
        if Instant::now() > deadline {
            let message = format!("process {} was not seen to be {what} in {SEEN_WITHIN:?}", process.pid);
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        std::thread::sleep(Duration::from_micros(50));
    }
}

fn stat(pid: i32) -> Option<procfs::process::Stat> {
    procfs::process::Process::new(pid).ok()?.stat().ok()
}

fn pids(processes: &[Identity]) -> String {
    let pids: Vec<String> = processes.iter().map(|process| process.pid.to_string()).collect();
    format!("pid {}", pids.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_tree_is_seen_stopped_and_runs_again() {
        let mut shell =
            std::process::Command::new("sh").args(["-c", "sleep 60 & sleep 60; true"]).spawn().unwrap();
        let root = i32::try_from(shell.id()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while tree_of(root).len() < 3 {
            assert!(Instant::now() < deadline, "the shell has no children");
            std::thread::yield_now();
        }
        let tree = tree_of(root);
        let proof = stop_tree(root).unwrap();
        for process in &tree {
            assert!(proof.contains(&process.pid.to_string()), "{proof}");
            assert_eq!(stat(process.pid).unwrap().state, 'T');
        }
        continue_tree(root).unwrap();
        assert!(tree.iter().all(|process| process.lives()));
        kill_tree(root).unwrap();
        shell.wait().unwrap();
        assert!(!tree.iter().any(|process| process.lives()));
    }
}
