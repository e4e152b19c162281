//! A store's wall clock, faked as a process's is, and read back by asking the server what time it is.

use std::path::{Path, PathBuf};

use rustix::time::{ClockId, clock_gettime};

use super::{COMMAND_LIMIT, LOOK_AGAIN, seen};
use crate::live::clock;
use crate::live::inject::clock_file::{self, Course};
use crate::live::inject::{Effect, Parts, timed, tree};
use crate::live::observe::connection::{Postgres, Redis};
use crate::live::provision::StoreInstance;
use crate::names::Store;
use crate::time::{Instant, SignedSpan, Span};

/// A server may be interrupted between its clock and its answer, and the host's clock is read apart.
const SLACK_NANOS: i64 = 2_000_000;
/// How far the clock must have moved for its drift to be told from none, and for how long that is
/// waited for.
const DRIFT_SEEN_NANOS: i64 = 20_000_000;
const DRIFT_WINDOW_MIN: Span = Span::from_millis(100);
const DRIFT_WINDOW_MAX: Span = Span::from_secs(5);
/// Of several readings the one that took the least time leaves the least open.
const READINGS: u32 = 8;
const MILLION: i64 = 1_000_000;
/// libfaketime counts a rate from when the server loaded it, which is known to so much.
const LOADED_SLACK_NANOS: i64 = 1_000_000_000;

/// What sets the clock right.
pub(super) struct Moved {
    file: PathBuf,
    /// A rate that libfaketime has read stays until it reads another.
    rated: bool,
    before: SignedSpan,
}

/// The clock's offset from the host's lay between the two at `at`, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    low: i64,
    high: i64,
}

impl Reading {
    const fn middle(self) -> SignedSpan {
        SignedSpan(self.low / 2 + self.high / 2)
    }

    const fn is_near(self, offset: i64, slack: i64) -> bool {
        self.low.saturating_sub(slack) <= offset && offset <= self.high.saturating_add(slack)
    }
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
    match prove(store, by.0).await {
        Ok(after) => {
            let proof = format!("the clock of {} was {before} from the host's, and is {after}", store.store);
            Ok((Effect { from, until, proof }, moved))
        }
        Err(reason) => undone(moved, store, reason).await,
    }
}

pub(super) async fn drift(parts: &Parts, store: &StoreInstance, ppm: i64) -> Result<(Effect, Moved), String> {
    if ppm <= -MILLION {
        return Err(format!("a drift of {ppm} ppm would stop the clock or turn it back"));
    }
    let file = file(parts, store)?;
    let before = read(store).await?.middle();
    let course = Course { offset: SignedSpan(0), since: clock::monotonic(), ppm };
    let (from, until) = write(&file, course, true, store)?;
    let moved = Moved { file, rated: true, before };
    match prove_drift(store, ppm).await {
        Ok(proof) => Ok((Effect { from, until, proof }, moved)),
        Err(reason) => undone(moved, store, reason).await,
    }
}

impl Moved {
    pub(super) async fn reset(self, store: &StoreInstance) -> Result<String, String> {
        write(&self.file, Course::default(), self.rated, store)?;
        let after = prove(store, self.before.0).await?;
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

async fn prove(store: &StoreInstance, offset: i64) -> Result<SignedSpan, String> {
    seen(|| async {
        let reading = read(store).await?;
        if reading.is_near(offset, SLACK_NANOS) {
            Ok(reading.middle())
        } else {
            let read = reading.middle();
            Err(format!("the clock of {} is {read} from the host's, not {}", store.store, SignedSpan(offset)))
        }
    })
    .await
}

async fn prove_drift(store: &StoreInstance, ppm: i64) -> Result<String, String> {
    let first = read(store).await?;
    let jump = i128::from(LOADED_SLACK_NANOS) * i128::from(ppm.unsigned_abs()) / i128::from(MILLION);
    let jump = i64::try_from(jump).unwrap_or(i64::MAX).saturating_add(SLACK_NANOS);
    if !first.is_near(0, jump) {
        return Err(format!("the clock of {} jumped to {}", store.store, first.middle()));
    }
    let nanos = i128::from(DRIFT_SEEN_NANOS) * i128::from(MILLION) / i128::from(ppm.unsigned_abs().max(1));
    let window = Span::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    tokio::time::sleep(window.clamp(DRIFT_WINDOW_MIN, DRIFT_WINDOW_MAX).to_std()).await;
    let second = read(store).await?;
    let elapsed = second.at.since(first.at);
    let slope =
        |gained: i64| i128::from(gained) * i128::from(MILLION) / i128::from(elapsed.as_nanos().max(1));
    let low = slope(second.low.saturating_sub(first.high).saturating_sub(SLACK_NANOS));
    let high = slope(second.high.saturating_sub(first.low).saturating_add(SLACK_NANOS));
    let text = format!(
        "the clock of {} went {} in {elapsed}: {low:+} to {high:+} ppm (asked: {ppm:+})",
        store.store,
        SignedSpan(second.middle().0.saturating_sub(first.middle().0))
    );
    let asked = i128::from(ppm);
    if !(low..=high).contains(&asked) {
        Err(text)
    } else if ppm != 0 && (low..=high).contains(&0) {
        Err(format!("{text}; too small to be told from no drift"))
    } else {
        Ok(text)
    }
}

async fn read(store: &StoreInstance) -> Result<Reading, String> {
    let (redis, postgres) = (Redis::new(COMMAND_LIMIT), Postgres::new(COMMAND_LIMIT));
    let mut best: Option<Reading> = None;
    for _ in 0..READINGS {
        let before = host_nanos();
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
        let (after, at) = (host_nanos(), clock::monotonic());
        let wall = wall.saturating_mul(1_000);
        // Given in whole microseconds, rounded down or to the nearest.
        let reading = Reading {
            at,
            low: wall.saturating_sub(after) - 1_000,
            high: wall.saturating_sub(before) + 1_000,
        };
        let width = |reading: &Reading| reading.high.saturating_sub(reading.low);
        if best.is_none_or(|best| width(&reading) < width(&best)) {
            best = Some(reading);
        }
        tokio::time::sleep(LOOK_AGAIN.to_std()).await;
    }
    best.ok_or_else(|| "the clock was not read".to_owned())
}

/// The host's wall clock, since the Unix epoch.
fn host_nanos() -> i64 {
    let wall = clock_gettime(ClockId::Realtime);
    wall.tv_sec.saturating_mul(1_000_000_000).saturating_add(wall.tv_nsec)
}
