//! What `tune` has simulated, in a file beside its answer: a search that was cut short is taken up again there.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::report::console::Console;
use crate::sim::detectors::Estimate;
use crate::time::Span;
use crate::tune::ledger::{Key, Ledger};
use crate::tune::simulated::Simulated;

const FILE: &str = "simulated.jsonl";
/// How far it is is told no more often than that.
const TOLD_EVERY: Duration = Duration::from_secs(2);

/// The first line. Another program may simulate otherwise: what it has found is not taken.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    program: u64,
}

/// Floating numbers by their bits: the answer is the same to the last digit.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    key: u64,
    worker_days: u64,
    mistakes: u64,
    mistakes_per_day: [u64; 3],
    detection: Option<(Span, Span)>,
    crashes: u64,
}

/// A file, if there is a folder for it; and how far the search is, on the console.
pub struct Journal<'c> {
    console: &'c Console,
    known: HashMap<u64, Simulated>,
    state: Mutex<State>,
}

struct State {
    file: Option<File>,
    failed: Option<io::Error>,
    expected: usize,
    settled: usize,
    told: Instant,
}

impl<'c> Journal<'c> {
    /// Takes up what an earlier search of this program has left in the folder.
    ///
    /// # Errors
    /// If its file can be neither read nor written.
    pub fn open(folder: Option<&Path>, console: &'c Console) -> io::Result<Self> {
        let (known, file) = match folder {
            None => (HashMap::new(), None),
            Some(folder) => {
                let (known, file) = taken_up(folder, &Head { program: fingerprint()? })?;
                (known, Some(file))
            }
        };
        let state = State { file, failed: None, expected: 0, settled: 0, told: Instant::now() };
        Ok(Self { console, known, state: Mutex::new(state) })
    }

    /// # Errors
    /// If something could not be kept.
    pub fn close(self) -> io::Result<()> {
        self.console.progress_over();
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.failed.map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for Journal<'_> {
    fn expect(&self, settings: usize) {
        self.lock().expected += settings;
    }

    fn recall(&self, key: Key) -> Option<Simulated> {
        self.known.get(&key.0).copied()
    }

    fn keep(&self, key: Key, simulated: &Simulated) {
        let mut state = self.lock();
        let Some(file) = &mut state.file else { return };
        if let Err(error) = append(file, &Entry::of(key, simulated)) {
            state.failed.get_or_insert(error);
        }
    }

    fn settled(&self) {
        let mut state = self.lock();
        state.settled += 1;
        if state.told.elapsed() >= TOLD_EVERY {
            state.told = Instant::now();
            let State { settled, expected, .. } = *state;
            self.console.progress(&format!("{settled} of {expected} settings simulated"));
        }
    }
}

impl Entry {
    fn of(key: Key, simulated: &Simulated) -> Self {
        let Estimate { value, low, high } = simulated.mistakes_per_day;
        Self {
            key: key.0,
            worker_days: simulated.worker_days.to_bits(),
            mistakes: simulated.mistakes,
            mistakes_per_day: [value, low, high].map(f64::to_bits),
            detection: simulated.detection,
            crashes: simulated.crashes,
        }
    }

    fn simulated(&self) -> Simulated {
        let [value, low, high] = self.mistakes_per_day.map(f64::from_bits);
        Simulated {
            worker_days: f64::from_bits(self.worker_days),
            mistakes: self.mistakes,
            mistakes_per_day: Estimate { value, low, high },
            detection: self.detection,
            crashes: self.crashes,
        }
    }
}

/// What is in the folder's file, and the file to go on with: without a line that was cut short, and without
/// what another program has found.
fn taken_up(folder: &Path, head: &Head) -> io::Result<(HashMap<u64, Simulated>, File)> {
    fs::create_dir_all(folder)?;
    let (path, part) = (folder.join(FILE), folder.join(format!("{FILE}.part")));
    let known = match File::open(&path) {
        Ok(file) => entries(BufReader::new(file), head),
        Err(error) if error.kind() == io::ErrorKind::NotFound => HashMap::new(),
        Err(error) => return Err(error),
    };
    let mut file = File::create(&part)?;
    append(&mut file, head)?;
    for (key, simulated) in &known {
        append(&mut file, &Entry::of(Key(*key), simulated))?;
    }
    fs::rename(part, path)?;
    Ok((known, file))
}

/// Up to the first line that is none: the end of a search that was cut short.
fn entries(lines: BufReader<File>, head: &Head) -> HashMap<u64, Simulated> {
    let mut lines = lines.lines().map_while(Result::ok);
    let first = lines.next().and_then(|line| serde_json::from_str::<Head>(&line).ok());
    if first.as_ref() != Some(head) {
        return HashMap::new();
    }
    let entries = lines.map_while(|line| serde_json::from_str::<Entry>(&line).ok());
    entries.map(|entry| (entry.key, entry.simulated())).collect()
}

fn append(file: &mut File, line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    file.write_all(&text)
}

/// Of the program's own file.
fn fingerprint() -> io::Result<u64> {
    let mut hasher = DefaultHasher::new();
    fs::read(std::env::current_exe()?)?.hash(&mut hasher);
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::console::Mode;

    const fn simulated(mistakes: u64) -> Simulated {
        Simulated {
            worker_days: 1.0 / 3.0,
            mistakes,
            mistakes_per_day: Estimate { value: 0.1, low: 1e-300, high: f64::INFINITY },
            detection: Some((Span::from_secs(3), Span::from_nanos(7))),
            crashes: 9,
        }
    }

    #[test]
    fn what_one_search_has_found_the_next_one_recalls() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let console = Console::new(Mode::Plain);
        let open = || Journal::open(Some(folder.path()), &console).expect("it can be written");
        let first = open();
        assert_eq!(first.recall(Key(1)), None);
        first.keep(Key(1), &simulated(4));
        first.keep(Key(u64::MAX), &simulated(5));
        first.close().expect("it was written");
        // As after a kill -9.
        let path = folder.path().join(FILE);
        let text = fs::read_to_string(&path).expect("it is there");
        fs::write(&path, format!("{text}{}", &text[text.len() / 2..text.len() - 5])).expect("it can be");
        let second = open();
        assert_eq!(second.recall(Key(1)), Some(simulated(4)));
        assert_eq!(second.recall(Key(u64::MAX)), Some(simulated(5)));
        second.keep(Key(2), &simulated(6));
        assert_eq!(open().recall(Key(2)), Some(simulated(6)));
    }

    #[test]
    fn what_another_program_has_found_is_not_taken() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let console = Console::new(Mode::Plain);
        let mut file = File::create(folder.path().join(FILE)).expect("it can be made");
        append(&mut file, &Head { program: 1 }).expect("it is written");
        append(&mut file, &Entry::of(Key(1), &simulated(4))).expect("it is written");
        let journal = Journal::open(Some(folder.path()), &console).expect("it can be written");
        assert_eq!(journal.recall(Key(1)), None);
    }
}
