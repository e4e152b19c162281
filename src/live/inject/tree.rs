//! Processes as /proc shows them: states, birth, and the whole tree below a process.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::live::clock;
use crate::time::{Instant, Span};

/// What /proc/PID/stat says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    pub command: String,
    /// `R`, `S`, `D`, `T`, `Z`, …
    pub state: char,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    /// Clock ticks from boot to the process's birth.
    pub born_ticks: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The command may hold spaces and parentheses itself.
        let (head, tail) = text.rsplit_once(')')?;
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        // proc(5) counts from 1 and the state is field 3.
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            command: head.split_once('(')?.1.to_owned(),
            state: field(3)?.chars().next()?,
            parent: field(4)?.parse().ok()?,
            group: field(5)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            born_ticks: field(22)?.parse().ok()?,
        })
    }

    /// It does not run any more, and waits for its parent to take note of it.
    #[must_use]
    pub const fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// `None`: no such process.
#[must_use]
pub fn stat(pid: i32) -> Option<Stat> {
    read_stat(&format!("/proc/{pid}/stat"))
}

fn read_stat(path: &str) -> Option<Stat> {
    // Commands may hold any bytes.
    let bytes = std::fs::read(path).ok()?;
    Stat::parse(&String::from_utf8_lossy(&bytes))
}

/// The interval in which the process was born: /proc tells it in ticks of 10 ms.
#[must_use]
pub fn born(pid: i32) -> Option<(Instant, Instant)> {
    let ticks_per_second = procfs::ticks_per_second().max(1);
    let tick = Span::from_nanos(1_000_000_000 / ticks_per_second);
    let since_boot = tick.saturating_mul(stat(pid)?.born_ticks);
    let earliest = Instant::ZERO + (since_boot - suspended());
    Some((earliest, earliest + tick))
}

/// How long the machine was suspended: the boot-time clock counts that, the monotonic one does not.
fn suspended() -> Span {
    let boot = clock_gettime(ClockId::Boottime);
    let nanos = i128::from(boot.tv_sec) * 1_000_000_000 + i128::from(boot.tv_nsec);
    Span::from_nanos(u64::try_from(nanos).unwrap_or(0)) - clock::monotonic().since(Instant::ZERO)
}

/// A process held by a pidfd, so that a number that was given to another process is never signalled.
#[derive(Debug)]
pub struct Member {
    pub pid: i32,
    fd: OwnedFd,
}

impl Member {
    /// `None`: no such process.
    #[must_use]
    pub fn open(pid: i32) -> Option<Self> {
        let fd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        Some(Self { pid, fd })
    }

    /// # Errors
    /// ESRCH if it is gone.
    pub fn signal(&self, signal: Signal) -> rustix::io::Result<()> {
        pidfd_send_signal(&self.fd, signal)
    }

    #[must_use]
    pub fn pidfd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Every thread is stopped, or the process is gone.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        thread_states(self.pid).into_iter().all(|state| matches!(state, 'T' | 't' | 'Z' | 'X' | 'x'))
    }

    /// Some thread is stopped.
    #[must_use]
    pub fn has_stopped_thread(&self) -> bool {
        thread_states(self.pid).contains(&'T')
    }
}

/// Waits for the process's end and says when it was seen: a pidfd is readable from then on.
///
/// # Errors
/// If it cannot be watched.
pub async fn gone(pidfd: &OwnedFd) -> std::io::Result<Instant> {
    let fd = pidfd.try_clone()?;
    // SAFETY: an OwnedFd gives the same open descriptor from `as_raw_fd` until it is dropped, and
    // the AsyncFd owns it.
    let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
    let _ = fd.readable().await?;
    Ok(clock::monotonic())
}

fn thread_states(pid: i32) -> Vec<char> {
    numbers_in(Path::new(&format!("/proc/{pid}/task")))
        .into_iter()
        .filter_map(|thread| read_stat(&format!("/proc/{pid}/task/{thread}/stat")))
        .map(|stat| stat.state)
        .collect()
}

/// The process and everything below it, parents before their children. What was orphaned is found
/// by the process group or the session that the root leads. A container's processes all descend
/// from its init.
#[must_use]
pub fn pids(root: i32) -> Vec<i32> {
    let this = i32::try_from(std::process::id()).unwrap_or(0);
    let mut others: Vec<(i32, Stat)> = numbers_in(Path::new("/proc"))
        .into_iter()
        .filter(|pid| *pid > 1 && *pid != this && *pid != root)
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .filter(|(_, stat)| !stat.is_dead())
        .collect();
    let mut found = vec![root];
    let mut known = BTreeSet::from([root]);
    // Each round takes at least one process out of `others`, or is the last.
    loop {
        let before = found.len();
        others.retain(|(pid, stat)| {
            let belongs = known.contains(&stat.parent) || stat.group == root || stat.session == root;
            if belongs {
                known.insert(*pid);
                found.push(*pid);
            }
            !belongs
        });
        if found.len() == before {
            return found;
        }
    }
}

fn numbers_in(directory: &Path) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut numbers: Vec<i32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_hold_parentheses_and_spaces() {
        let line =
            "42 (a) b (c) T 7 8 9 0 -1 4194304 1 0 0 0 1 2 0 0 20 0 3 0 5555 1000 10 18446744073709551615";
        let stat = Stat::parse(line).expect("parses");
        assert_eq!(stat.command, "a) b (c");
        assert_eq!((stat.state, stat.parent, stat.group, stat.session), ('T', 7, 8, 9));
        assert_eq!(stat.born_ticks, 5555);
    }

    #[test]
    fn a_cut_line_is_no_process() {
        assert_eq!(Stat::parse("42 (sleep) S 1 2"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn this_process_was_born_before_now() {
        let (earliest, _) =
            born(i32::try_from(std::process::id()).unwrap()).expect("this process is in /proc");
        assert!(earliest <= clock::monotonic());
        assert!(earliest > Instant::ZERO);
    }
}
