//! A store's wall clock, faked as a process's is, and read back by asking the server what time it is.

use std::path::{Path, PathBuf};

use super::{COMMAND_LIMIT, LOOK_AGAIN, seen};
use crate::live::clock;
use crate::live::inject::clock_file::{self, Course};
use crate::live::inject::reading::{self, Reading};
use crate::live::inject::{Effect, Parts, timed, tree};
use crate::live::observe::connection::{Postgres, Redis};
use crate::live::provision::StoreInstance;
use crate::names::Store;
use crate::time::{Instant, SignedSpan};

/// A server may be interrupted between its clock and its answer, and the host's clock is read apart.
const SLACK_NANOS: i64 = 2_000_000;
/// How far the clock must have moved for its drift to be told from none.
const DRIFT_SEEN_NANOS: i64 = 20_000_000;
/// Of several readings the one that took the least time leaves the least open.
const READINGS: u32 = 8;
const MILLION: i64 = 1_000_000;

/// What sets the clock right.
pub(super) struct Moved {
    file: PathBuf,
    /// A rate that libfaketime has read stays until it reads another.
    rated: bool,
    before: SignedSpan,
}

pub(super) async fn step(
    parts: &Parts,
    store: &StoreInstance,
    by: SignedSpan,
) -> Result<(Effect, Moved), String> {
    let file = file(parts, store)?;
    let before = read(store).await?.middle();
    let course = Course { offset: by, since: clock::monotonic(), ppm: 0 };
    let (from, until) = write(&file, course, false, store)?;
    let moved = Moved { file, rated: false, before };
    match prove(store, course).await {
        Ok(after) => {
            let proof = format!("the clock of {} was {before} from the host's, and is {after}", store.store);
            Ok((Effect { from, until, proof }, moved))
        }
        Err(reason) => undone(moved, store, reason).await,
    }
}

pub(super) async fn drift(parts: &Parts, store: &StoreInstance, ppm: i64) -> Result<(Effect, Moved), String> {
    reading::goes_on(ppm)?;
    let file = file(parts, store)?;
    let before = read(store).await?.middle();
    let course = Course { offset: SignedSpan(0), since: clock::monotonic(), ppm };
    let (from, until) = write(&file, course, true, store)?;
    let moved = Moved { file, rated: true, before };
    match prove_drift(store, course).await {
        Ok(proof) => Ok((Effect { from, until, proof }, moved)),
        Err(reason) => undone(moved, store, reason).await,
    }
}

impl Moved {
    pub(super) async fn reset(self, store: &StoreInstance) -> Result<String, String> {
        write(&self.file, Course::default(), self.rated, store)?;
        let after = prove(store, Course { offset: self.before, ..Course::default() }).await?;
        Ok(format!("the clock of {} is {after} from the host's again", store.store))
    }
}

/// What is not proved must not go on.
async fn undone<T>(moved: Moved, store: &StoreInstance, reason: String) -> Result<T, String> {
    match moved.reset(store).await {
        Ok(_) => Err(reason),
        Err(error) => Err(format!("{reason}; and it could not be set back: {error}")),
    }
}

fn file(parts: &Parts, store: &StoreInstance) -> Result<PathBuf, String> {
    let file = parts.site.store_clock_file(store.store);
    file.ok_or_else(|| format!("{} was not started with a clock that can be faked", store.store))
}

fn write(
    file: &Path,
    course: Course,
    rated: bool,
    store: &StoreInstance,
) -> Result<(Instant, Instant), String> {
    let loaded = tree::born(store.pid).map_or(course.since, |(_, latest)| latest);
    let content = clock_file::content(&course, rated, loaded);
    let (from, written, until) = timed(|| clock_file::write(file, &content));
    written.map_err(|error| format!("failed to write the clock file: {error}"))?;
    Ok((from, until))
}

async fn prove(store: &StoreInstance, course: Course) -> Result<SignedSpan, String> {
    seen(|| async {
        let reading = read(store).await?;
        if reading.admits(course) {
            Ok(reading.middle())
        } else {
            let read = reading.middle();
            Err(format!("the clock of {} is {read} from the host's, not {}", store.store, course.offset))
        }
    })
    .await
}

async fn prove_drift(store: &StoreInstance, course: Course) -> Result<String, String> {
    let first = read(store).await?;
    if !first.admits(course) {
        return Err(format!("the clock of {} jumped to {}", store.store, first.middle()));
    }
    tokio::time::sleep(reading::drift_window(DRIFT_SEEN_NANOS, course.ppm).to_std()).await;
    reading::prove_drift(&store.store.to_string(), first, read(store).await?, course.ppm)
}

async fn read(store: &StoreInstance) -> Result<Reading, String> {
    let (redis, postgres) = (Redis::new(COMMAND_LIMIT), Postgres::new(COMMAND_LIMIT));
    let mut best: Option<Reading> = None;
    for _ in 0..READINGS {
        let before = clock::host_wall_nanos();
        let wall = match store.store {
            Store::Redis => {
                let (seconds, micros): (i64, i64) = redis.ask(store, &redis::cmd("TIME")).await?;
                seconds.saturating_mul(MILLION).saturating_add(micros)
            }
            Store::Postgres => {
                let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
                let rows = postgres.query(store, now, 1).await?;
                let said = rows.first().and_then(|row| row.get(0)?.parse::<i64>().ok());
                said.ok_or("postgres does not say what time it is")?
            }
        };
        let (after, at) = (clock::host_wall_nanos(), clock::monotonic());
        let wall = wall.saturating_mul(1_000);
        let reading = Reading {
            at,
            low: wall.saturating_sub(after) - SLACK_NANOS,
            high: wall.saturating_sub(before) + SLACK_NANOS,
        };
        if best.is_none_or(|best| reading.width() < best.width()) {
            best = Some(reading);
        }
        tokio::time::sleep(LOOK_AGAIN.to_std()).await;
    }
    best.ok_or_else(|| "the clock was not read".to_owned())
}
