//! Processes that are started wrongly, and then as they should be.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::clocks::Clocks;
use super::process::{running, start, stop};
use super::{Effect, Outcome, Parts};
use crate::backend::BackendError::NotStarted;
use crate::backend::Unstarted;
use crate::fault::misfit::Misfit;
use crate::live::clock;
use crate::live::environment::NO_PROGRAM;
use crate::live::observe::connection::Redis;
use crate::live::provision::RunningProcess;
use crate::names::{ProcessName, Store};
use crate::time::Span;

const START_LIMIT: Span = Span::from_secs(60);
/// For a process that cannot go on to say so and end.
const EXIT_LIMIT: Span = Span::from_secs(10);
/// For a process's environment to be its own: until its program is loaded it is the starter's.
const SEEN_LIMIT: Span = Span::from_secs(5);
/// For a process to connect after its start.
const CLIENT_LIMIT: Span = Span::from_secs(10);
const COMMAND_LIMIT: Span = Span::from_secs(5);
const LOOK_AGAIN: Span = Span::from_millis(2);

/// Sends the stop signal now, if it runs.
pub(super) fn begin(
    parts: &Parts,
    name: &ProcessName,
    misfit: Misfit,
    grace: Span,
) -> BoxFuture<'static, Outcome> {
    let stopped = running(parts, name).is_ok().then(|| stop(parts, name, grace));
    let (parts, name) = (parts.clone(), name.clone());
    let from = clock::monotonic();
    Box::pin(async move {
        if let Some(stopped) = stopped {
            stopped.await?;
        }
        let started = timeout(START_LIMIT.to_std(), parts.launcher.start_with(&name, &misfit)).await;
        let started = started.map_err(|_| format!("{name} did not start within {START_LIMIT}"))?;
        let proof = match (&misfit, started) {
            (Misfit::NoProgram, Err(NotStarted { what, why: Unstarted::NoProgram })) => {
                format!("it was stopped, and could not be started: {what}")
            }
            // A container that ends before it is held has no process to be asked.
            (Misfit::NoVariable { .. }, Err(NotStarted { what, why: Unstarted::Ended })) => {
                format!("it was stopped; started again, {what}")
            }
            (Misfit::NoProgram, Ok(process)) => {
                return Err(format!("{name} (pid {}) was started all the same", process.pid));
            }
            (Misfit::NoVariable { name: variable }, Ok(process)) => refused(&process, variable).await?,
            (Misfit::NoTool { tool }, Ok(process)) => {
                told(&process, tool.variable(), |value| value == NO_PROGRAM).await?
            }
            (Misfit::Prefix { prefix }, Ok(process)) => {
                told(&process, "SYNCOPE_FLEET", |value| value.contains(&format!("\"prefix\":\"{prefix}\"")))
                    .await?
            }
            (Misfit::Database { number }, Ok(process)) => {
                told(&process, "REDIS_URL", |value| value.ends_with(&format!("/{number}"))).await?
            }
            (Misfit::AnotherRedis, Ok(process)) => elsewhere(&parts, &process).await?,
            (_, Err(error)) => return Err(format!("{name} could not be started: {error}")),
        };
        Ok(Effect { from, until: clock::monotonic(), proof })
    })
}

/// Sends the stop signal now, if it runs, and starts it as it should be.
pub(super) fn end(
    parts: &Parts,
    clocks: Arc<Clocks>,
    name: &ProcessName,
    grace: Span,
) -> BoxFuture<'static, Outcome> {
    let stopped = running(parts, name).is_ok().then(|| stop(parts, name, grace));
    let (parts, name) = (parts.clone(), name.clone());
    Box::pin(async move {
        if let Some(stopped) = stopped {
            stopped.await?;
        }
        start(parts, clocks, name).await
    })
}

/// The process was told the other server's address, and that server is another one and has a client.
async fn elsewhere(parts: &Parts, process: &RunningProcess) -> Result<String, String> {
    let other = parts.site.another_redis().ok_or("there is no other Redis")?;
    let own = parts.site.store(Store::Redis).ok_or("there is no Redis")?;
    let url = format!("redis://{}", other.address);
    let told = told(process, "REDIS_URL", |value| value == url).await?;
    let redis = Redis::new(COMMAND_LIMIT);
    let here = redis.info(&own, "server", "run_id").await?;
    let there = redis.info(&other, "server", "run_id").await?;
    if there == here {
        return Err(format!("{told}; but both servers have the run_id {here}"));
    }
    let deadline = clock::monotonic() + CLIENT_LIMIT;
    loop {
        let mut list = redis::cmd("CLIENT");
        list.arg("LIST");
        let clients: String = redis.ask(&other, &list).await?;
        // One of them asks here.
        let others = clients.lines().count().saturating_sub(1);
        if others > 0 {
            return Ok(format!("{told}; run_id {there} with {others} clients, the fleet's has {here}"));
        }
        if clock::monotonic() > deadline {
            return Err(format!("{told}; but nobody has connected there"));
        }
        tokio::time::sleep(LOOK_AGAIN.to_std()).await;
    }
}

/// A process that lacks what it needs ends, and not as if nothing were wrong.
async fn refused(process: &RunningProcess, variable: &str) -> Result<String, String> {
    let mut exit = process.exit.clone();
    let pid = process.pid;
    match timeout(EXIT_LIMIT.to_std(), exit.wait_for(Option::is_some)).await {
        Ok(Ok(exit)) => match *exit {
            Some(exit) if exit.code != Some(0) => Ok(format!("without {variable}, pid {pid}: {exit}")),
            _ => Err(format!("without {variable}, pid {pid} ended as if nothing were wrong")),
        },
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("without {variable}, pid {pid} still runs after {EXIT_LIMIT}")),
    }
}

/// Reads back what the process was told.
async fn told(
    process: &RunningProcess,
    variable: &str,
    is_it: impl Fn(&str) -> bool,
) -> Result<String, String> {
    let deadline = clock::monotonic() + SEEN_LIMIT;
    let pid = process.pid;
    loop {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let value = value_of(&environment, variable);
        if let Some(value) = value.as_deref().filter(|value| is_it(value)) {
            return Ok(format!("/proc/{pid}/environ: {variable}={value}"));
        }
        if clock::monotonic() > deadline {
            let value = value.unwrap_or_else(|| "nothing".to_owned());
            return Err(format!("/proc/{pid}/environ: {variable} is {value}"));
        }
        tokio::time::sleep(LOOK_AGAIN.to_std()).await;
    }
}

fn value_of(environment: &[u8], variable: &str) -> Option<String> {
    let entries = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    entries.into_iter().find_map(|entry| Some(entry.strip_prefix(variable)?.strip_prefix('=')?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let environment = b"AB=1\0A=2=3\0";
        assert_eq!(value_of(environment, "A").as_deref(), Some("2=3"));
        assert_eq!(value_of(environment, "B"), None);
    }
}
