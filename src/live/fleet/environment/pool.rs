//! The pool's variables, with the names that source 004 documents.
//!
//! A variable wins over `SYNCOPE_FLEET`, which wins over the documented defaults: a pool can be
//! started by hand with `REDIS_URL`, `DATABASE_URL` and `SITE_URL` alone.

use super::{Environment, EnvironmentError, invalid};
use crate::names::ProcessName;
use crate::protocol::pool::settings::{CONCURRENCY, HEALTH_INTERVAL, PoolSettings, QUEUE_NAME};
use crate::protocol::{FleetSettings, QueueSettings};
use crate::time::Span;

/// Where the source's container serves its health.
const PORT: u16 = 3001;
const WORKERS_MAX: u32 = 64;
/// At most so many workers where nobody says how many.
const WORKERS_BY_CORES_MAX: usize = 8;
const CONCURRENCY_MAX: u32 = 256;

impl Environment {
    pub(in crate::live::fleet) fn pool_settings(
        &self,
    ) -> Result<(FleetSettings, PoolSettings), EnvironmentError> {
        let mut settings = if self.is_set("SYNCOPE_FLEET") { self.settings()? } else { documented() };
        let mut pool = settings.pool.take().unwrap_or_else(PoolSettings::documented);
        let health_interval = pool.health_interval.unwrap_or(HEALTH_INTERVAL);
        self.read("WORKER_COUNT", &mut pool.workers, whole(WORKERS_MAX))?;
        self.read("WORKER_CONCURRENCY", &mut settings.queue.concurrency, whole(CONCURRENCY_MAX))?;
        self.read("QUEUE_NAME", &mut settings.queue.queues, |name| {
            if name.is_empty() { Err("it is empty".to_owned()) } else { Ok(vec![name.to_owned()]) }
        })?;
        self.read("ENABLE_HEALTH_MONITORING", &mut pool.health_interval, |text| match text {
            "true" => Ok(Some(health_interval)),
            "false" => Ok(None),
            _ => Err("neither true nor false".to_owned()),
        })?;
        self.read("MEMORY_THRESHOLD", &mut pool.memory_threshold_ppm, |text| {
            let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
            share.map(|share| (share * 1e6).round() as u32).ok_or_else(|| "not from 0 to 1".to_owned())
        })?;
        self.read("MAX_JOB_DURATION", &mut pool.max_job_duration, |text| {
            let millis = text.parse().ok().filter(|millis| *millis > 0);
            millis.map(Span::from_millis).ok_or_else(|| "not a number of milliseconds".to_owned())
        })?;
        self.read("LOG_LEVEL", &mut pool.tells_health, |text| match text {
            "debug" | "info" => Ok(true),
            "warn" | "error" => Ok(false),
            _ => Err("none of debug, info, warn, error".to_owned()),
        })?;
        settings.pool = Some(pool.clone());
        Ok((settings, pool))
    }

    pub(in crate::live::fleet) fn pool_name(&self) -> ProcessName {
        self.name().unwrap_or_else(|_| "pool".into())
    }

    pub(in crate::live::fleet) fn pool_port(&self) -> Result<u16, EnvironmentError> {
        if self.is_set("PORT") { self.port() } else { Ok(PORT) }
    }

    pub(in crate::live::fleet) fn site_url(&self) -> Result<&str, EnvironmentError> {
        self.text("SITE_URL")
    }

    fn is_set(&self, name: &'static str) -> bool {
        self.text(name).is_ok()
    }

    /// Leaves the value as it is if the variable is not set.
    fn read<T>(
        &self,
        name: &'static str,
        value: &mut T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<(), EnvironmentError> {
        if let Ok(text) = self.text(name) {
            *value = parse(text).map_err(|reason| invalid(name, reason))?;
        }
        Ok(())
    }
}

fn whole(max: u32) -> impl FnOnce(&str) -> Result<u32, String> {
    move |text| {
        let number = text.parse().ok().filter(|number| (1..=max).contains(number));
        number.ok_or_else(|| format!("not a whole number from 1 to {max}"))
    }
}

/// Half of the cores and what the source says, on a queue with BullMQ's defaults.
fn documented() -> FleetSettings {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = (cores / 2).clamp(1, WORKERS_BY_CORES_MAX) as u32;
    FleetSettings {
        prefix: "syncope:pool".to_owned(),
        queue: QueueSettings {
            queues: vec![QUEUE_NAME.to_owned()],
            concurrency: CONCURRENCY,
            lock_duration: Span::from_secs(30),
            lock_renew: Span::from_secs(15),
            stalled_interval: Span::from_secs(30),
            max_stalled_count: 1,
            claim_poll: Span::from_secs(1),
            shutdown_grace: Span::from_secs(30),
            keep_failed: Span::from_secs(7 * 86_400),
            fencing: true,
        },
        heartbeat: None,
        pool: Some(PoolSettings { workers, ..PoolSettings::documented() }),
        planted_bug: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    #[test]
    fn variables_win_over_the_harness_and_the_harness_over_the_documents() {
        let (documented, _) = environment(&[]).pool_settings().unwrap();
        assert_eq!((documented.queue.queues, documented.queue.concurrency), (vec![QUEUE_NAME.into()], 2));
        let harness = PoolSettings { workers: 3, relief: Span::from_secs(7), ..PoolSettings::documented() };
        let settings = FleetSettings { pool: Some(harness), ..super::documented() };
        let json = serde_json::to_string(&settings).unwrap();
        let (settings, pool) = environment(&[
            ("SYNCOPE_FLEET", &json),
            ("WORKER_CONCURRENCY", "5"),
            ("QUEUE_NAME", "mine"),
            ("ENABLE_HEALTH_MONITORING", "false"),
            ("MEMORY_THRESHOLD", "0.7"),
            ("MAX_JOB_DURATION", "300000"),
            ("LOG_LEVEL", "warn"),
        ])
        .pool_settings()
        .unwrap();
        assert_eq!((settings.queue.queues, settings.queue.concurrency), (vec!["mine".to_owned()], 5));
        let expected = PoolSettings {
            workers: 3,
            relief: Span::from_secs(7),
            health_interval: None,
            memory_threshold_ppm: 700_000,
            max_job_duration: Span::from_secs(300),
            tells_health: false,
            ..PoolSettings::documented()
        };
        assert_eq!((settings.pool, pool), (Some(expected.clone()), expected));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (name, value) in [
            ("WORKER_COUNT", "0"),
            ("WORKER_CONCURRENCY", "many"),
            ("QUEUE_NAME", ""),
            ("ENABLE_HEALTH_MONITORING", "yes"),
            ("MEMORY_THRESHOLD", "85"),
            ("MAX_JOB_DURATION", "10m"),
            ("LOG_LEVEL", "loud"),
        ] {
            let error = environment(&[(name, value)]).pool_settings().unwrap_err();
            assert!(
                matches!(error, EnvironmentError::Invalid { name: named, .. } if named == name),
                "{error}"
            );
        }
    }
}
