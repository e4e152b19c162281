//! The undo journal: what a run is about to create, written down before it is created; and how all
//! of it is removed by somebody else than the run.
//!
//! A process's pid is not known before it exists, so processes carry the run's name in their
//! environment, and are found by that; the pid in the journal serves for what outlives a process.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::tree::{Identity, all_processes};
use super::{shared_memory, volume};
use crate::live::cgroup;

/// In the environment of every process of a run, and on its containers as `syncope.run`.
pub(super) const RUN_VARIABLE: &str = "SYNCOPE_RUN";
/// The harness that owns it, as `{pid}-{start}`; on containers `syncope.owner`.
pub(super) const OWNER_VARIABLE: &str = "SYNCOPE_OWNER";
/// A file with the owner's name, in every temporary directory.
pub(super) const OWNER_FILE: &str = ".owner";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// The first entry.
    Owner {
        run: String,
        owner: String,
    },
    Directory {
        path: PathBuf,
    },
    /// Written right after the start; before it, the environment's variable is the trace.
    Process {
        pid: i32,
        start: u64,
    },
    /// Containers, networks and volumes with the run's labels may exist from here on.
    Containers,
    /// The engine is about to be asked for a container of this name …
    Asked {
        container: String,
    },
    /// … and has answered.
    Answered {
        container: String,
    },
}

/// What was, or could not be, removed. Texts for a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleaned {
    pub removed: Vec<String>,
    pub failed: Vec<String>,
}

impl Cleaned {
    pub(super) fn add(&mut self, other: Self) {
        self.removed.extend(other.removed);
        self.failed.extend(other.failed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.failed.is_empty()
    }
}

/// How a removed container is named in [`Cleaned`].
#[cfg(feature = "docker")]
pub(super) fn container_text(name: &str) -> String {
    format!("container {name}")
}

/// Who owns a run: a harness process, not to be mistaken for a later one with its pid.
pub(super) fn owner_name(identity: Identity) -> String {
    format!("{}-{}", identity.pid, identity.start)
}

pub(super) fn owner_lives(name: &str) -> bool {
    let identity = name
        .split_once('-')
        .and_then(|(pid, start)| Some(Identity { pid: pid.parse().ok()?, start: start.parse().ok()? }));
    identity.is_some_and(Identity::lives)
}

/// A journal as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undo {
    pub run: String,
    pub owner: String,
    pub directories: BTreeSet<PathBuf>,
    pub processes: BTreeSet<Identity>,
    pub containers: bool,
    /// Containers that the engine was asked for and had not answered about when the harness died. They
    /// appear when it has made them, which takes a loaded engine many seconds.
    pub awaited: BTreeSet<String>,
}

impl Undo {
    /// A last line that was cut short announces nothing that exists: it is passed over.
    pub(super) fn read(journal: &Path) -> io::Result<Self> {
        let mut undo: Option<Self> = None;
        for line in io::BufReader::new(fs::File::open(journal)?).lines() {
            let Ok(entry) = serde_json::from_str(&line?) else { continue };
            match (entry, &mut undo) {
                (Entry::Owner { run, owner }, None) => undo = Some(Self::of(run, owner)),
                (Entry::Directory { path }, Some(undo)) => {
                    undo.directories.insert(path);
                }
                (Entry::Process { pid, start }, Some(undo)) => {
                    undo.processes.insert(Identity { pid, start });
                }
                (Entry::Containers, Some(undo)) => undo.containers = true,
                (Entry::Asked { container }, Some(undo)) => {
                    undo.containers = true;
                    undo.awaited.insert(container);
                }
                (Entry::Answered { container }, Some(undo)) => {
                    undo.awaited.remove(&container);
                }
                (Entry::Owner { .. }, Some(_)) | (_, None) => {}
            }
        }
        undo.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the journal names no owner"))
    }

    pub(super) fn of(run: String, owner: String) -> Self {
        Self {
            run,
            owner,
            directories: BTreeSet::new(),
            processes: BTreeSet::new(),
            containers: false,
            awaited: BTreeSet::new(),
        }
    }

    /// One look for everything of the run, removing what is found. Nothing found: empty.
    pub(super) fn round(&mut self) -> Cleaned {
        let mut cleaned =
            kill_marked(|env| env.has(RUN_VARIABLE, &self.run) && env.has(OWNER_VARIABLE, &self.owner));
        cleaned.add(kill_strays(&self.processes, &self.directories));
        #[cfg(feature = "docker")]
        if self.containers {
            cleaned.add(super::labels::remove_blocking(super::labels::Which::Run {
                run: &self.run,
                owner: &self.owner,
            }));
            self.awaited.retain(|name| !cleaned.removed.contains(&container_text(name)));
        }
        for directory in &self.directories {
            cleaned.add(remove_directory(directory));
        }
        cleaned.add(remove_groups(|owner| owner == self.owner));
        for process in &self.processes {
            remove_faketime_files(process.pid);
        }
        cleaned
    }
}

/// Kills every process whose environment `matches` accepts.
pub(super) fn kill_marked(matches: impl Fn(&Environment) -> bool) -> Cleaned {
    let mut cleaned = Cleaned::default();
    let own = rustix::process::getpid().as_raw_nonzero().get();
    for (pid, stat) in all_processes() {
        if pid == own || matches!(stat.state, 'Z' | 'X') {
            continue;
        }
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { continue };
        if !matches(&Environment(environment)) {
            continue;
        }
        // Its identity was read before its environment: a later process with the pid is not hit.
        cleaned.add(kill(Identity { pid, start: stat.starttime }, &stat.comm));
    }
    cleaned
}

/// Kills what is left of the sessions that these processes began, and what works in these
/// directories, whoever the parent is by now. Some programs write their title over their environment
/// and begin sessions of their own (Postgres does both), and have only their directory as a trace.
pub(super) fn kill_strays(leaders: &BTreeSet<Identity>, directories: &BTreeSet<PathBuf>) -> Cleaned {
    let mut cleaned = Cleaned::default();
    for (pid, stat) in all_processes() {
        if matches!(stat.state, 'Z' | 'X') {
            continue;
        }
        // A session's number is not given again while it has a member; a leader with another start
        // is of another, later session.
        let is_later = |leader: &Identity| Identity::of(leader.pid).is_some_and(|now| now != *leader);
        let began = leaders.iter().find(|leader| leader.pid == stat.session);
        if began.is_some_and(|leader| !is_later(leader)) || works_in(pid, directories) {
            cleaned.add(kill(Identity { pid, start: stat.starttime }, &stat.comm));
        }
    }
    cleaned
}

fn works_in(pid: i32, directories: &BTreeSet<PathBuf>) -> bool {
    let Ok(directory) = fs::read_link(format!("/proc/{pid}/cwd")) else { return false };
    let directory = directory.to_string_lossy();
    let directory = Path::new(directory.trim_end_matches(" (deleted)"));
    directories.iter().any(|within| directory.starts_with(within))
}

fn kill(process: Identity, name: &str) -> Cleaned {
    let mut cleaned = Cleaned::default();
    let what = format!("process {} ({name})", process.pid);
    match process.signal(Signal::KILL) {
        Ok(()) => cleaned.removed.push(what),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
        Err(error) => cleaned.failed.push(format!("{what}: {error}")),
    }
    remove_faketime_files(process.pid);
    cleaned
}

/// A process's environment as it was started.
pub(super) struct Environment(Vec<u8>);

impl Environment {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.split(|byte| *byte == 0).find_map(|entry| {
            let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            std::str::from_utf8(value).ok()
        })
    }

    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }
}

/// With the shared memory of the servers that were killed in it, and the volumes that are mounted in it.
/// What still uses that memory keeps the directory, so that the next attempt finds both.
pub(super) fn remove_directory(path: &Path) -> Cleaned {
    let mut cleaned = Cleaned::default();
    if !path.exists() {
        return cleaned;
    }
    cleaned.add(shared_memory::release(path));
    if !cleaned.failed.is_empty() {
        return cleaned;
    }
    cleaned.add(volume::unmount_all(path));
    if !cleaned.failed.is_empty() {
        return cleaned;
    }
    match fs::remove_dir_all(path) {
        Ok(()) => cleaned.removed.push(format!("directory {}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => cleaned.failed.push(format!("directory {}: {error}", path.display())),
    }
    cleaned
}

/// Control groups of harnesses that `gone` accepts. One that holds a process which has yet to end is
/// there for the next look.
pub(super) fn remove_groups(gone: impl Fn(&str) -> bool) -> Cleaned {
    let mut cleaned = Cleaned::default();
    for swept in cgroup::sweep(gone) {
        match swept {
            Ok(name) => cleaned.removed.push(format!("control group {name}")),
            Err((name, error)) => cleaned.failed.push(format!("control group {name}: {error}")),
        }
    }
    cleaned
}

/// What libfaketime leaves in shared memory when its process is killed.
pub(super) fn remove_faketime_files(pid: i32) {
    for name in [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")] {
        // Mostly there is none.
        let _ = fs::remove_file(Path::new("/dev/shm").join(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_was_cut_short_still_names_what_it_announced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let lines = [
            Entry::Owner { run: "r".into(), owner: "1-2".into() },
            Entry::Directory { path: "/x".into() },
            Entry::Process { pid: 7, start: 9 },
            Entry::Containers,
            Entry::Asked { container: "made".into() },
            Entry::Answered { container: "made".into() },
            Entry::Asked { container: "in the making".into() },
        ];
        let mut text: String =
            lines.iter().map(|entry| serde_json::to_string(entry).unwrap() + "\n").collect();
        text.push_str("{\"directory\":{\"pa");
        fs::write(&path, text).unwrap();
        let undo = Undo::read(&path).unwrap();
        assert_eq!(undo.directories, BTreeSet::from(["/x".into()]));
        assert_eq!(undo.processes, BTreeSet::from([Identity { pid: 7, start: 9 }]));
        assert!(undo.containers);
        assert_eq!(undo.awaited, BTreeSet::from(["in the making".into()]));
    }

    #[test]
    fn a_process_is_found_by_its_environment_and_by_nothing_less() {
        let sleeper = |run: &str| {
            std::process::Command::new("sleep")
                .arg("60")
                .env(RUN_VARIABLE, run)
                .env(OWNER_VARIABLE, "1-1")
                .spawn()
                .unwrap()
        };
        let (mut mine, mut other) = (sleeper("undo-test"), sleeper("undo-test-2"));
        Undo::of("undo-test".into(), "1-1".into()).round();
        assert!(!mine.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn an_owner_is_more_than_its_pid() {
        let me = Identity::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(owner_lives(&owner_name(me)));
        assert!(!owner_lives(&owner_name(Identity { start: me.start + 1, ..me })));
        assert!(!owner_lives("nonsense"));
    }
}
