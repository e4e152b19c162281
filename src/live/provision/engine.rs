//! The container engine: is there one, and what it is.

use std::time::Duration;

use bollard::Docker;
use tokio::time::timeout;

/// An engine that does not answer a ping in this time is none.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// An engine that answers, spoken to in a version of the API that it knows.
#[derive(Debug, Clone)]
pub struct Engine {
    pub docker: Docker,
    /// As in `20.10.24+dfsg1`.
    pub version: String,
}

/// `DOCKER_HOST`, or the usual socket. The error says what was tried.
pub async fn detect() -> Result<Engine, String> {
    let place = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "the usual socket".to_owned());
    let asked = async {
        let docker = Docker::connect_with_defaults()?.negotiate_version().await?;
        let version = docker.version().await?.version.unwrap_or_else(|| "unknown".into());
        Ok::<_, bollard::errors::Error>(Engine { docker, version })
    };
    match timeout(ANSWERS_WITHIN, asked).await {
        Ok(Ok(engine)) => Ok(engine),
        Ok(Err(error)) => Err(format!("no container engine at {place}: {error}")),
        Err(_) => Err(format!("the container engine at {place} did not answer in {ANSWERS_WITHIN:?}")),
    }
}
