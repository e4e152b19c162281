//! What a process is told through its environment.

mod pool;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use crate::live::store::{AddressError, Limits, PostgresStore, RedisStore, Stores};
use crate::names::ProcessName;
use crate::protocol::{FleetSettings, TableSettings};

/// The variables, as they were when the process started. Each is looked at when a role needs it.
#[derive(Debug, Clone)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Of this process. Values that are not UTF-8 are left out.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    pub(super) fn settings(&self) -> Result<FleetSettings, EnvironmentError> {
        const NAME: &str = "SYNCOPE_FLEET";
        serde_json::from_str(self.text(NAME)?).map_err(|error| invalid(NAME, error))
    }

    /// Of a fleet whose jobs are in Postgres.
    pub(super) fn table_settings(&self) -> Result<TableSettings, EnvironmentError> {
        const NAME: &str = "SYNCOPE_FLEET";
        serde_json::from_str(self.text(NAME)?).map_err(|error| invalid(NAME, error))
    }

    /// The one store of such a fleet, with the rights of the role.
    pub(super) fn database(
        &self,
        role: Option<&str>,
        settings: &TableSettings,
    ) -> Result<PostgresStore, EnvironmentError> {
        const NAME: &str = "DATABASE_URL";
        let patience = settings.patience.to_std();
        let limits = Limits { connect: patience, command: patience };
        PostgresStore::connect_as(role, self.text(NAME)?, limits).map_err(|error| invalid(NAME, error))
    }

    /// For an operator, who has no settings.
    pub(super) fn operators_database(&self, limits: Limits) -> Result<PostgresStore, EnvironmentError> {
        const NAME: &str = "DATABASE_URL";
        PostgresStore::connect(self.text(NAME)?, limits).map_err(|error| invalid(NAME, error))
    }

    pub(super) fn name(&self) -> Result<ProcessName, EnvironmentError> {
        self.text("SYNCOPE_NAME").map(ProcessName::from)
    }

    /// Tells this process from every other that had its name: the harness's choice, or random.
    pub(super) fn instance(&self) -> String {
        self.0.get("SYNCOPE_INSTANCE").cloned().unwrap_or_else(random_instance)
    }

    pub(super) fn stores(&self, settings: &FleetSettings) -> Result<Stores, EnvironmentError> {
        let limits = limits(settings);
        let (redis, postgres) = (self.text("REDIS_URL")?, self.text("DATABASE_URL")?);
        let wrong = |name| move |error: AddressError| invalid(name, error);
        let keep_failed = settings.queue.keep_failed;
        Ok(Stores {
            redis: RedisStore::connect(redis, &settings.prefix, keep_failed, limits)
                .map_err(wrong("REDIS_URL"))?,
            postgres: PostgresStore::connect(postgres, limits).map_err(wrong("DATABASE_URL"))?,
        })
    }

    pub(super) fn catalogue_url(&self) -> Result<&str, EnvironmentError> {
        self.text("CATALOGUE_URL")
    }

    pub(super) fn port(&self) -> Result<u16, EnvironmentError> {
        self.parsed("PORT")
    }

    fn parsed<T: FromStr<Err: Display>>(&self, name: &'static str) -> Result<T, EnvironmentError> {
        self.text(name)?.parse().map_err(|error| invalid(name, error))
    }

    /// `None` if it is not set.
    pub(super) fn optional(&self, name: &'static str) -> Option<&str> {
        self.text(name).ok()
    }

    fn text(&self, name: &'static str) -> Result<&str, EnvironmentError> {
        self.0.get(name).map(String::as_str).ok_or(EnvironmentError::Missing(name))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    #[error("the environment variable {name} is not valid: {reason}")]
    Invalid { name: &'static str, reason: String },
}

pub(super) fn invalid(name: &'static str, reason: impl Display) -> EnvironmentError {
    EnvironmentError::Invalid { name, reason: reason.to_string() }
}

pub(super) fn limits(settings: &FleetSettings) -> Limits {
    let patience = settings.patience().to_std();
    Limits { connect: patience, command: patience }
}

fn random_instance() -> String {
    let mut bytes = [0; 8];
    // Without randomness (a kernel that is just starting) the process id alone must do.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    format!("{:016x}", u64::from_le_bytes(bytes))
}
