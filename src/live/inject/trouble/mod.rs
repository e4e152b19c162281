//! What is wrong with a store that runs and answers: put on, proved, and taken off again.

mod clock;
mod disk;
mod postgres;
mod redis;

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;

use super::{Effect, Outcome, Parts};
use crate::fault::trouble::Trouble;
use crate::live::clock::monotonic;
use crate::live::provision::StoreInstance;
use crate::time::Span;

/// One question to a store.
const COMMAND_LIMIT: Span = Span::from_secs(5);
/// For an effect to show, and to be gone again.
const SEEN_LIMIT: Span = Span::from_secs(10);
const LOOK_AGAIN: Span = Span::from_millis(5);

/// What one scenario's troubles hold while they last.
#[derive(Default)]
pub(super) struct Troubles {
    held: Mutex<Vec<(Trouble, Held)>>,
}

/// What undoes a trouble.
enum Held {
    /// The settings as they were.
    Memory(redis::Memory),
    Slow(redis::Slow),
    Connections(postgres::Hoard),
    Lock(postgres::TableLock),
    Disk(disk::Full),
    Clock(clock::Moved),
    /// The server's own configuration holds it.
    Nothing,
}

impl Troubles {
    pub(super) fn begin(self: &Arc<Self>, parts: &Parts, trouble: Trouble) -> BoxFuture<'static, Outcome> {
        let (this, parts) = (Arc::clone(self), parts.clone());
        Box::pin(async move {
            let store = store_of(&parts, &trouble)?;
            let (effect, held) = begin(&parts, &store, &trouble).await?;
            if let Some(held) = held {
                this.lock().push((trouble, held));
            }
            Ok(effect)
        })
    }

    pub(super) fn end(self: &Arc<Self>, parts: &Parts, trouble: Trouble) -> BoxFuture<'static, Outcome> {
        let (this, parts) = (Arc::clone(self), parts.clone());
        Box::pin(async move {
            let store = store_of(&parts, &trouble)?;
            let held = {
                let mut held = this.lock();
                let place = held.iter().position(|(known, _)| *known == trouble);
                place.map(|place| held.remove(place).1)
            };
            let held = held.ok_or_else(|| format!("{} had not begun", trouble.name()))?;
            let from = monotonic();
            let proof = match held {
                Held::Memory(before) => before.restore(&store).await?,
                Held::Slow(slow) => slow.stop(&store).await?,
                Held::Connections(hoard) => hoard.release(&store).await?,
                Held::Lock(lock) => lock.release(&store).await?,
                Held::Clock(moved) => moved.reset(&store).await?,
                Held::Disk(full) => full.empty(&parts, &store).await?,
                Held::Nothing => postgres::writable(&store).await?,
            };
            Ok(Effect { from, until: monotonic(), proof })
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Trouble, Held)>> {
        // Entries are whole at every moment.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn begin(
    parts: &Parts,
    store: &StoreInstance,
    trouble: &Trouble,
) -> Result<(Effect, Option<Held>), String> {
    Ok(match trouble {
        Trouble::ExpireKeys { patterns, after } => (redis::expire(store, patterns, *after).await?, None),
        Trouble::Wipe => (redis::wipe(store).await?, None),
        Trouble::MaxMemory { limit, policy } => {
            let (effect, before) = redis::limit_memory(store, *limit, *policy).await?;
            (effect, Some(Held::Memory(before)))
        }
        Trouble::Slow { each, every } => {
            let (effect, slow) = redis::occupy(store, *each, *every).await?;
            (effect, Some(Held::Slow(slow)))
        }
        Trouble::TerminateBackends => (postgres::terminate_backends(store).await?, None),
        Trouble::ExhaustConnections => {
            let (effect, hoard) = postgres::exhaust(store).await?;
            (effect, Some(Held::Connections(hoard)))
        }
        Trouble::LockTable { table } => {
            let (effect, lock) = postgres::lock_table(store, table).await?;
            (effect, Some(Held::Lock(lock)))
        }
        Trouble::ClockStep { by, .. } => {
            let (effect, moved) = clock::step(parts, store, *by).await?;
            (effect, Some(Held::Clock(moved)))
        }
        Trouble::ClockDrift { ppm, .. } => {
            let (effect, moved) = clock::drift(parts, store, *ppm).await?;
            (effect, Some(Held::Clock(moved)))
        }
        Trouble::DiskFull { .. } => {
            let (effect, full) = disk::fill(parts, store).await?;
            (effect, Some(Held::Disk(full)))
        }
        Trouble::Operate { statement } => (postgres::operate(store, statement).await?, None),
        Trouble::Replay { letters } => (postgres::replay(store, letters).await?, None),
        Trouble::ReadOnly => (postgres::read_only(store).await?, Some(Held::Nothing)),
    })
}

fn store_of(parts: &Parts, trouble: &Trouble) -> Result<StoreInstance, String> {
    let store = trouble.store();
    parts.site.store(store).ok_or_else(|| format!("there is no {store}"))
}

/// Looks again and again, for at most [`SEEN_LIMIT`], until `look` gives a proof; the last reason why
/// it gave none, else.
async fn seen<T, F>(mut look: impl FnMut() -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, String>>,
{
    let deadline = monotonic() + SEEN_LIMIT;
    loop {
        match look().await {
            Err(_) if monotonic() < deadline => tokio::time::sleep(LOOK_AGAIN.to_std()).await,
            last => return last,
        }
    }
}
