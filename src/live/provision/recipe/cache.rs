//! Installed packages, kept in the cache: made once, and whole or not at all.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Timespec, Timestamps, UTIME_NOW, flock, futimens};

use crate::backend::BackendError;
use crate::live::provision::cleanup::Guard;
use crate::live::provision::process::failed;
use crate::live::provision::undo::Entry;
use crate::live::provision::{places, undo};

/// Of the way in which packages are installed. Counts up when those of before will not do.
const FORMAT: u32 = 1;
/// What nobody has used for so long goes when something new is made.
const KEPT_UNUSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The directory of this name. `make` is given an empty one to fill, and the place that it will have; it is
/// moved there at one stroke, and removed if `make` fails. Who comes meanwhile, of this harness or another,
/// waits. Blocks for as long as `make` takes.
pub(super) fn kept(
    name: &str,
    guard: &Guard,
    make: impl FnOnce(&Path, &Path) -> Result<(), BackendError>,
) -> Result<PathBuf, BackendError> {
    kept_in(&places::cache().join("packages"), name, guard, make)
}

fn kept_in(
    shelf: &Path,
    name: &str,
    guard: &Guard,
    make: impl FnOnce(&Path, &Path) -> Result<(), BackendError>,
) -> Result<PathBuf, BackendError> {
    let making = |error: io::Error| failed("make a place for packages", &error);
    let kept = shelf.join(name);
    if is_kept(&kept) {
        return Ok(kept);
    }
    fs::create_dir_all(shelf).map_err(making)?;
    let lock = File::create(shelf.join(format!("{name}.lock"))).map_err(making)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| making(error.into()))?;
    if is_kept(&kept) {
        return Ok(kept);
    }
    let arriving = shelf.join(format!("{name}.new"));
    // Whoever holds the lock is alone: what is there was left by one that died.
    undo::remove_directory(&arriving);
    guard.record(&Entry::Directory { path: arriving.clone() }).map_err(making)?;
    fs::create_dir(&arriving).map_err(making)?;
    let made = make(&arriving, &kept).and_then(|()| fs::rename(&arriving, &kept).map_err(making));
    if made.is_err() {
        undo::remove_directory(&arriving);
    }
    made?;
    forget_unused(shelf);
    Ok(kept)
}

/// Notes that it was used.
fn is_kept(path: &Path) -> bool {
    let Ok(directory) = File::open(path) else { return false };
    // Without the note it would be made again, one day.
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let _ = futimens(&directory, &Timestamps { last_access: now, last_modification: now });
    true
}

fn forget_unused(shelf: &Path) {
    for entry in fs::read_dir(shelf).into_iter().flatten().flatten() {
        let age = entry.metadata().ok().filter(fs::Metadata::is_dir).and_then(|about| about.modified().ok());
        if age.and_then(|modified| modified.elapsed().ok()).is_some_and(|age| age > KEPT_UNUSED) {
            // What cannot be removed is tried again another time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A name for what is made of these, and of nothing else. Of a kind that another compiler may change: then
/// it is made once more.
pub(super) fn name_of(kind: &str, parts: &[&[u8]]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write_u32(FORMAT);
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    format!("{kind}-{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    fn guard(run: &str) -> Arc<Guard> {
        Guard::open(&format!("cache-test-{run}-{}", std::process::id())).expect("a journal")
    }

    #[test]
    fn what_fails_half_way_leaves_nothing_and_is_made_again() {
        let shelf = tempfile::tempdir().unwrap();
        let guard = guard("fails");
        let broken = kept_in(shelf.path(), "x", &guard, |arriving, _| {
            fs::write(arriving.join("half"), "").unwrap();
            Err(BackendError::Failed("no".into()))
        });
        assert!(broken.is_err());
        let left: Vec<_> = fs::read_dir(shelf.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["x.lock"]);
        // As after a kill -9 of the harness.
        fs::create_dir(shelf.path().join("x.new")).unwrap();
        fs::write(shelf.path().join("x.new/half"), "").unwrap();
        let made = kept_in(shelf.path(), "x", &guard, |arriving, kept| {
            assert_eq!(kept, shelf.path().join("x"));
            fs::write(arriving.join("whole"), "").map_err(|error| failed("write", &error))
        });
        let names: Vec<_> = fs::read_dir(made.unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["whole"]);
        guard.close();
    }

    #[test]
    fn who_comes_at_once_waits_for_the_one_that_makes_it() {
        let shelf = tempfile::tempdir().unwrap();
        let (guard, made) = (guard("once"), AtomicU32::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let kept = kept_in(shelf.path(), "x", &guard, |arriving, _| {
                        made.fetch_add(1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(20));
                        fs::write(arriving.join("whole"), "").map_err(|error| failed("write", &error))
                    });
                    assert!(kept.unwrap().join("whole").exists());
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
        guard.close();
    }

    #[test]
    fn what_was_used_lately_stays() {
        let shelf = tempfile::tempdir().unwrap();
        let guard = guard("unused");
        for (name, days) in [("old", 31), ("new", 29), ("found", 31)] {
            let path = shelf.path().join(name);
            fs::create_dir(&path).unwrap();
            let directory = File::open(path).unwrap();
            let now = directory.metadata().unwrap().modified().unwrap();
            directory.set_modified(now - Duration::from_secs(days * 24 * 60 * 60)).unwrap();
        }
        assert!(is_kept(&shelf.path().join("found")));
        kept_in(shelf.path(), "x", &guard, |_, _| Ok(())).unwrap();
        let there = ["old", "new", "found", "x"].map(|name| shelf.path().join(name).exists());
        assert_eq!(there, [false, true, true, true]);
        guard.close();
    }

    #[test]
    fn a_name_is_of_every_part() {
        let name = name_of("npm", &[b"a", b"bc"]);
        assert!(name.starts_with("npm-"));
        assert_eq!(name, name_of("npm", &[b"a", b"bc"]));
        assert_ne!(name, name_of("npm", &[b"ab", b"c"]));
    }
}
