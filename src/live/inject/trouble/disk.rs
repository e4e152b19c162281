//! A full disk: the volume of a store's data, filled up and kept full.
//!
//! What the servers make of it, as observed on a tmpfs with Redis 7.0 and Postgres 15: Redis with an
//! append-only file takes commands until the last page is full, then refuses what writes, and PING,
//! with MISCONF, and goes on as soon as there is room. Postgres refuses statements that need a new page
//! (53100) and serves all others, until its log needs a new segment: then it panics, finds no room to
//! recover in, and ends. A file alone therefore stops no fleet that writes little; the fault uses up
//! the rest of the log as a busy database would.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use tokio::task::JoinHandle;

use super::{COMMAND_LIMIT, LOOK_AGAIN, SEEN_LIMIT, postgres, redis, seen};
use crate::fault::OutageKind;
use crate::live::clock;
use crate::live::inject::{Effect, Parts, blocking, store, tree};
use crate::live::observe::connection::Postgres;
use crate::live::provision::StoreInstance;
use crate::names::Store;
use crate::time::Span;

/// In the volume's root, beside the data.
const FILLER: &str = "syncope-filler";
/// What comes free is taken again so soon: a server that ends throws files away.
const FILL_AGAIN: Span = Span::from_millis(10);
const PAGE_BYTES: u64 = 4_096;
/// One record of the log; several fit into a segment.
const RECORD_BYTES: u32 = 256 * 1024;

/// A volume that is kept full.
pub(super) struct Full {
    filler: Arc<Filler>,
    keeper: JoinHandle<()>,
}

impl Drop for Full {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

pub(super) async fn fill(parts: &Parts, at: &StoreInstance) -> Result<(Effect, Full), String> {
    let volume = parts.site.volume(at.store);
    let volume = volume.ok_or_else(|| format!("{} has no volume of its own", at.store))?;
    let from = clock::monotonic();
    let filler = Arc::new(Filler::new(volume).map_err(|error| format!("failed to fill a volume: {error}"))?);
    let taking = Arc::clone(&filler);
    let proof = blocking(move || taking.fill()).await?;
    let full = Full { keeper: tokio::spawn(keep_full(Arc::clone(&filler))), filler };
    let felt = match at.store {
        Store::Redis => redis::file_refused(at).await,
        Store::Postgres => postgres_ended(at).await,
    };
    match felt {
        Ok(felt) => Ok((Effect { from, until: clock::monotonic(), proof: format!("{proof}; {felt}") }, full)),
        // What is not proved must not go on.
        Err(reason) => match full.empty(parts, at).await {
            Ok(_) => Err(format!("{proof}; {reason}")),
            Err(error) => Err(format!("{proof}; {reason}; and it could not be undone: {error}")),
        },
    }
}

impl Full {
    /// Gives the room back, and starts the server again if it has ended.
    pub(super) async fn empty(self, parts: &Parts, at: &StoreInstance) -> Result<String, String> {
        let filler = Arc::clone(&self.filler);
        let freed = blocking(move || filler.give_back()).await?;
        let taken = match at.store {
            Store::Redis => redis::file_written(at).await?,
            Store::Postgres => {
                let ended = has_ended(at);
                let came = if ended {
                    store::up(parts.clone(), at.store, OutageKind::Kill).await?.proof
                } else {
                    "it had not ended".to_owned()
                };
                let now = parts.site.store(at.store).ok_or("postgres is nowhere to be found")?;
                seen(|| async { postgres::write(&now).await }).await?;
                format!("{came}; a write was taken")
            }
        };
        Ok(format!("{freed} bytes came free; {taken}"))
    }
}

async fn keep_full(filler: Arc<Filler>) {
    loop {
        tokio::time::sleep(FILL_AGAIN.to_std()).await;
        let filler = Arc::clone(&filler);
        // A volume that is gone cannot be kept full, nor one whose room was given back.
        match blocking(move || filler.take().map_err(|error| error.to_string())).await {
            Ok(true) => {}
            Ok(false) | Err(_) => return,
        }
    }
}

/// A file that takes what is free in its volume.
struct Filler {
    volume: PathBuf,
    path: PathBuf,
    /// `None` once the room was given back: an unlinked file that anybody holds open still takes its room.
    file: Mutex<Option<File>>,
}

impl Filler {
    fn new(volume: PathBuf) -> io::Result<Self> {
        let path = volume.join(FILLER);
        let file = Mutex::new(Some(File::create(&path)?));
        Ok(Self { volume, path, file })
    }

    /// Returns what the volume says of itself then.
    fn fill(&self) -> Result<String, String> {
        let volume = self.volume.display();
        self.take().map_err(|error| format!("failed to fill {volume}: {error}"))?;
        let about = rustix::fs::statvfs(&self.volume).map_err(|error| error.to_string())?;
        let (free, all) = (about.f_bfree * about.f_frsize, about.f_blocks * about.f_frsize);
        let text = format!("statvfs {volume}: {free} of {all} bytes are free");
        if free == 0 { Ok(text) } else { Err(text) }
    }

    /// Takes what is free, down to the last page, which others may take meanwhile; `false` if the room was
    /// given back.
    fn take(&self) -> Result<bool, Errno> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = file.as_ref() else { return Ok(false) };
        loop {
            let about = rustix::fs::statvfs(&self.volume)?;
            let free = about.f_bfree.saturating_mul(about.f_frsize);
            if free == 0 {
                return Ok(true);
            }
            let length = rustix::fs::fstat(file)?.st_size.unsigned_abs();
            for bytes in [free, PAGE_BYTES] {
                match rustix::fs::fallocate(file, FallocateFlags::empty(), length, bytes) {
                    Ok(()) => break,
                    Err(Errno::NOSPC) if bytes == PAGE_BYTES => return Ok(true),
                    Err(Errno::NOSPC | Errno::INTR) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// All of it, for good; returns how many bytes came free.
    fn give_back(&self) -> Result<u64, String> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        let bytes = file.and_then(|file| file.metadata().ok()).map_or(0, |about| about.len());
        fs::remove_file(&self.path).map_err(|error| format!("{}: {error}", self.path.display()))?;
        Ok(bytes)
    }
}

fn has_ended(at: &StoreInstance) -> bool {
    tree::stat(at.pid).is_none_or(|stat| stat.is_dead())
}

/// Writes until the log has no room, and waits for the server's end.
async fn postgres_ended(at: &StoreInstance) -> Result<String, String> {
    // Each in a transaction of its own, so that the server has to write it before it answers.
    let record = format!("SELECT pg_logical_emit_message(true, 'syncope', repeat('x', {RECORD_BYTES}))");
    let deadline = clock::monotonic() + SEEN_LIMIT;
    let mut said = "it took every record".to_owned();
    while !has_ended(at) {
        if clock::monotonic() > deadline {
            return Err(format!("postgres (pid {}) has not ended: {said}", at.pid));
        }
        match Postgres::new(COMMAND_LIMIT).query(at, &record, 1).await {
            Ok(_) => {}
            Err(error) => {
                // The first is the cause; what follows hears of its end only.
                if !said.contains("No space left") {
                    said = error;
                }
                tokio::time::sleep(LOOK_AGAIN.to_std()).await;
            }
        }
    }
    Ok(format!("its log could not grow: {said}; pid {} has ended", at.pid))
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;

    use super::*;

    const BYTES: u64 = 1 << 20;

    struct Volume(tempfile::TempDir);

    impl Volume {
        /// `None` where nothing can be mounted: without root, and in some containers with it.
        fn mount() -> Option<Self> {
            let directory = tempfile::tempdir().unwrap();
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &format!("size={BYTES}"), "syncope"]).arg(directory.path());
            mount.output().unwrap().status.success().then_some(Self(directory))
        }
    }

    impl Drop for Volume {
        fn drop(&mut self) {
            let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
            assert!(thread::panicking() || unmounted.unwrap().success());
        }
    }

    /// Postgres was started on a volume that was still full: who kept it full held the file open.
    #[test]
    fn the_room_is_free_at_once_whoever_is_about_to_take_it() {
        let Some(volume) = Volume::mount() else { return };
        let free = || {
            let about = rustix::fs::statvfs(volume.0.path()).unwrap();
            about.f_bfree * about.f_frsize
        };
        for _ in 0..50 {
            let filler = Arc::new(Filler::new(volume.0.path().to_path_buf()).unwrap());
            filler.fill().unwrap();
            assert_eq!(free(), 0);
            let keeper = {
                let filler = Arc::clone(&filler);
                thread::spawn(move || while filler.take().unwrap() {})
            };
            assert_eq!(filler.give_back(), Ok(BYTES));
            assert_eq!(free(), BYTES);
            keeper.join().unwrap();
            assert_eq!((filler.take(), free()), (Ok(false), BYTES));
        }
    }
}
