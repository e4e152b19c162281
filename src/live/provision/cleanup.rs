//! Nothing outlives a run: the run's guard with its watchdog, and `syncope clean`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::places;
use super::tree::Identity;
pub use super::undo::Cleaned;
use super::undo::{self, Entry, OWNER_FILE, OWNER_VARIABLE, Undo, owner_lives, owner_name};

/// The hidden command that is the watchdog.
pub const WATCHDOG_COMMAND: &str = "__watchdog";
/// What the harness says to the watchdog when nothing is left to be removed.
const DONE: &[u8] = b"done";
/// A watchdog ends in every case: this long after the harness, at the latest.
const WATCHDOG_TIME_MAX: Duration = Duration::from_secs(60);
/// The last looks must have found nothing.
const QUIET_LOOKS: u32 = 4;
/// How long a container is waited for whose making was under way when the harness died. It is mostly
/// there at once; an engine with a busy disk takes seconds; one that noticed the death makes none.
const AWAITED_TIME_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY_PROCESSES: Duration = Duration::from_millis(50);
const LOOK_EVERY_CONTAINERS: Duration = Duration::from_millis(500);

/// The undo journal of one run, and the watchdog that carries it out if the harness dies.
#[derive(Debug)]
pub struct Guard {
    run_id: String,
    owner: String,
    path: PathBuf,
    journal: Mutex<File>,
    watchdog: Mutex<Option<Child>>,
}

impl Guard {
    /// Before anything of the run is created.
    pub fn open(run_id: &str) -> io::Result<Arc<Self>> {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let identity =
            Identity::of(pid).ok_or_else(|| io::Error::other("/proc does not show this process"))?;
        let owner = owner_name(identity);
        let path = places::journals()?.join(format!("{run_id}-{owner}.jsonl"));
        let journal = File::options().create_new(true).append(true).open(&path)?;
        let mut guard = Self {
            run_id: run_id.to_owned(),
            owner: owner.clone(),
            path,
            journal: Mutex::new(journal),
            watchdog: Mutex::new(None),
        };
        let begun = guard
            .record(&Entry::Owner { run: run_id.to_owned(), owner })
            .and_then(|()| start_watchdog(&guard.path))
            .inspect_err(|_| {
                // Nothing was created yet: the journal goes with the attempt.
                let _ = fs::remove_file(&guard.path);
            })?;
        guard.watchdog = Mutex::new(Some(begun));
        Ok(Arc::new(guard))
    }

    #[must_use]
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// `{pid}-{start}` of this harness.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Returns once the entry is in the file: it outlives a kill -9 of the harness from then on.
    pub(super) fn record(&self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
    }

    /// Right after the start of a child, before it is reaped.
    pub(super) fn record_process(&self, pid: i32) -> io::Result<Identity> {
        let process =
            Identity::of(pid).ok_or_else(|| io::Error::other("/proc does not show a new process"))?;
        self.record(&Entry::Process { pid, start: process.start })?;
        Ok(process)
    }

    /// Everything was removed: the journal goes, and the watchdog with it.
    pub fn close(&self) {
        // A journal that cannot be removed is found by `syncope clean`, and is empty work.
        let _ = fs::remove_file(&self.path);
        self.dismiss();
    }

    /// The run's containers stay (`--keep`), until `syncope clean`.
    pub fn keep(&self) {
        self.dismiss();
    }

    fn dismiss(&self) {
        let watchdog = self.watchdog.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut watchdog) = watchdog {
            let told = watchdog.stdin.take().is_some_and(|mut pipe| pipe.write_all(DONE).is_ok());
            if told {
                // It ends at once.
                let _ = watchdog.wait();
            }
        }
    }
}

/// The watchdog is this program again, in a session of its own, so that Ctrl-C does not reach it.
/// Its standard input is a pipe that nobody writes to: it ends when the harness does.
fn start_watchdog(journal: &Path) -> io::Result<Child> {
    let mut command = Command::new(places::own_program("syncope", "SYNCOPE_BIN")?);
    command.arg(WATCHDOG_COMMAND).arg(journal).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: only system calls, no allocation.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
    command.spawn()
}

/// The watchdog's main: `args` is the journal's path. Returns its exit code.
#[must_use]
pub fn watchdog_main(args: &[String]) -> u8 {
    let [journal] = args else { return 2 };
    let mut said = Vec::new();
    // An error of the pipe is an end of it.
    let _ = io::stdin().take(DONE.len() as u64).read_to_end(&mut said);
    if said == DONE {
        return 0;
    }
    let cleaned = carry_out(Path::new(journal));
    u8::from(!cleaned.failed.is_empty())
}

/// Looks again and again, until nothing has been found several times in a row.
fn carry_out(journal: &Path) -> Cleaned {
    let begun = Instant::now();
    let mut cleaned = Cleaned::default();
    let mut quiet = 0;
    let Ok(mut undo) = Undo::read(journal) else { return cleaned };
    let pace = if undo.containers { LOOK_EVERY_CONTAINERS } else { LOOK_EVERY_PROCESSES };
    let awaits = |undo: &Undo| !undo.awaited.is_empty() && begun.elapsed() < AWAITED_TIME_MAX;
    while (quiet < QUIET_LOOKS || awaits(&undo)) && begun.elapsed() < WATCHDOG_TIME_MAX {
        let round = undo.round();
        quiet = if round.is_empty() { quiet + 1 } else { 0 };
        // What could not be removed is tried again: only the last look's failures stand.
        cleaned.failed.clear();
        cleaned.add(round);
        thread::sleep(pace);
    }
    if cleaned.failed.is_empty() {
        // Found again by `syncope clean`, and then with nothing left to do.
        let _ = fs::remove_file(journal);
    }
    cleaned
}

/// Removes what is left of runs whose harness no longer lives.
#[must_use]
pub fn clean_all() -> Cleaned {
    let mut cleaned = Cleaned::default();
    for journal in journals_of_the_dead() {
        cleaned.add(carry_out(&journal));
    }
    // What no journal speaks of any more.
    cleaned.add(undo::kill_marked(|env| env.get(OWNER_VARIABLE).is_some_and(|owner| !owner_lives(owner))));
    #[cfg(feature = "docker")]
    cleaned.add(super::labels::remove_blocking(super::labels::Which::Ownerless));
    cleaned.add(undo::remove_groups(|owner| !owner_lives(owner)));
    let directories = ownerless_directories();
    cleaned.add(undo::kill_strays(&BTreeSet::new(), &directories));
    for directory in directories {
        cleaned.add(undo::remove_directory(&directory));
    }
    cleaned
}

fn journals_of_the_dead() -> Vec<PathBuf> {
    let entries = places::journals().and_then(fs::read_dir).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| Undo::read(path).is_ok_and(|undo| !owner_lives(&undo.owner)))
        .collect()
}

fn ownerless_directories() -> BTreeSet<PathBuf> {
    places::all_scratch()
        .into_iter()
        .filter_map(|place| fs::read_dir(place).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(places::PREFIX))
                && fs::read_to_string(path.join(OWNER_FILE)).is_ok_and(|owner| !owner_lives(&owner))
        })
        .collect()
}
