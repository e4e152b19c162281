//! One container: created once, started any number of times, held by a pidfd while it runs.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use bollard::Docker;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, InspectContainerOptions,
    RemoveContainerOptionsBuilder, StartContainerOptions, WaitContainerOptions,
};
use futures_util::StreamExt;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::timeout;

use super::cleanup::Guard;
use super::output::OutputStream;
use super::undo::Entry;
use super::{Exit, Input, pidfd_info, process};
use crate::backend::{BackendError, Unstarted};
use crate::live::clock;
use crate::time::Instant;

/// The engine learns some 0.3 s late that a container has ended.
const ENDED_WITHIN: Duration = Duration::from_secs(3);

/// Shells and the engine report a death by signal `n` as this plus `n`.
const SIGNAL_BASE: i64 = 128;
const SIGNAL_MAX: i64 = 64;

#[derive(Debug, Clone, Default)]
pub(super) struct ContainerSpec {
    pub name: String,
    pub image: String,
    /// `None`: the image's own.
    pub entrypoint: Option<Vec<String>>,
    /// `None`: the image's own.
    pub command: Option<Vec<String>>,
    pub env: BTreeMap<String, String>,
    pub labels: HashMap<String, String>,
    pub network: String,
    /// `host path:container path[:ro]`.
    pub binds: Vec<String>,
    pub working_directory: Option<String>,
    /// Its standard input is open, for what is attached to it.
    pub open_stdin: bool,
    /// Without it the engine keeps no log: the output is followed as it comes.
    pub keeps_log: bool,
}

/// A container that runs.
#[derive(Debug)]
pub(super) struct Started {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub address: IpAddr,
    /// Just before the start was asked for.
    pub at: Instant,
}

/// The journal knows of it before the engine does, and of the answer: a container whose making was under
/// way when the harness died is waited for by the watchdog.
pub(super) async fn create(
    docker: &Docker,
    guard: &Guard,
    spec: ContainerSpec,
) -> Result<String, BackendError> {
    let container = spec.name.clone();
    let unwritten = |error| process::failed("write the journal", &error);
    guard.record(&Entry::Asked { container: container.clone() }).map_err(unwritten)?;
    let created = ask_for(docker, spec).await;
    guard.record(&Entry::Answered { container }).map_err(unwritten)?;
    created
}

async fn ask_for(docker: &Docker, spec: ContainerSpec) -> Result<String, BackendError> {
    let failed = |error: &Error| failed(&format!("create the container {}", spec.name), error);
    let log = (!spec.keeps_log).then(|| HostConfigLogConfig { typ: Some("none".into()), config: None });
    let body = ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: spec.entrypoint.clone(),
        cmd: spec.command.clone(),
        env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        labels: Some(spec.labels.clone()),
        working_dir: spec.working_directory.clone(),
        attach_stdin: Some(spec.open_stdin),
        open_stdin: Some(spec.open_stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(HostConfig {
            network_mode: Some(spec.network.clone()),
            binds: Some(spec.binds.clone()),
            log_config: log,
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(&spec.name).build();
    let created = docker.create_container(Some(options), body).await.map_err(|error| failed(&error))?;
    Ok(created.id)
}

/// What cannot be removed now goes with its site.
pub(super) async fn remove(docker: &Docker, id: &str) {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    let _ = docker.remove_container(id, Some(options)).await;
}

/// The engine's way to say so: a refused start, which the container's runtime explains.
fn has_no_program(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { message, .. } if message.contains("no such file or directory"))
}

/// Follows the output from before the start on, so that no line is lost.
pub(super) async fn attach(
    docker: &Docker,
    id: &str,
    mut stdout: OutputStream,
    mut stderr: OutputStream,
    open_stdin: bool,
) -> Result<Input, BackendError> {
    let options = AttachContainerOptionsBuilder::default().stream(true).stdin(open_stdin);
    let options = options.stdout(true).stderr(true).build();
    let attached = docker.attach_container(id, Some(options)).await;
    let attached = attached.map_err(|error| failed("follow a container's output", &error))?;
    let AttachContainerResults { mut output, input } = attached;
    tokio::spawn(async move {
        while let Some(Ok(chunk)) = output.next().await {
            match chunk {
                LogOutput::StdErr { message } => stderr.push(&message),
                LogOutput::StdOut { message } | LogOutput::Console { message } => stdout.push(&message),
                LogOutput::StdIn { .. } => {}
            }
        }
        stdout.finish();
        stderr.finish();
    });
    Ok(if open_stdin { Input::to(input) } else { Input::default() })
}

/// Starts it, for the first time or again, and takes hold of its process on this host.
pub(super) async fn start(docker: &Docker, id: &str, name: &str) -> Result<Started, BackendError> {
    let starting = |error: Error| match failed(&format!("start the container {name}"), &error) {
        BackendError::Failed(what) if has_no_program(&error) => {
            BackendError::NotStarted { what, why: Unstarted::NoProgram }
        }
        failed => failed,
    };
    // Before: its process may speak before the engine has answered.
    let at = clock::monotonic();
    docker.start_container(id, None::<StartContainerOptions>).await.map_err(starting)?;
    let seen = docker.inspect_container(id, None::<InspectContainerOptions>).await.map_err(starting)?;
    let state = seen.state.unwrap_or_default();
    let pid = state.pid.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0);
    let Some(pid) = pid.filter(|_| state.running == Some(true)) else {
        return Err(ended_at_once(name, format!("exit code {}", state.exit_code.unwrap_or_default())));
    };
    let addresses = seen.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let address = addresses
        .into_values()
        .find_map(|endpoint| endpoint.ip_address?.parse().ok())
        .ok_or_else(|| BackendError::Failed(format!("the engine gave {name} no address")))?;
    match hold(pid, id, name) {
        Ok(pidfd) => Ok(Started { pid, pidfd, address, at }),
        // It may have ended since the engine saw it run.
        Err(invisible) => match timeout(ENDED_WITHIN, exit_of(docker, id)).await {
            Ok(exit) => Err(ended_at_once(name, exit.to_string())),
            Err(_) => Err(invisible),
        },
    }
}

fn ended_at_once(name: &str, how: String) -> BackendError {
    let what = format!("{name} ended as soon as it was started: {how}");
    BackendError::NotStarted { what, why: Unstarted::Ended }
}

/// Starts a container whose work ends by itself, and waits for that.
pub(super) async fn run_to_end(docker: &Docker, id: &str) -> Result<Exit, BackendError> {
    let starting = |error: Error| failed("start a container", &error);
    docker.start_container(id, None::<StartContainerOptions>).await.map_err(starting)?;
    Ok(exit_of(docker, id).await)
}

/// A pidfd, and the certainty that it is of this container.
fn hold(pid: i32, id: &str, name: &str) -> Result<OwnedFd, BackendError> {
    let invisible = || BackendError::Environment {
        what: format!("{name}'s process ({pid} by the engine's word) is not visible on this host"),
        hint: "run syncope on the engine's own host, outside of a container; or --backend process".into(),
    };
    let raw = Pid::from_raw(pid).ok_or_else(invisible)?;
    let pidfd = pidfd_open(raw, PidfdFlags::NONBLOCK).map_err(|_| invisible())?;
    // Read after the pidfd was opened: a process of another container would show here.
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).map_err(|_| invisible())?;
    let is_ours = groups.contains(id) || groups.trim_end() == "0::/";
    is_ours.then_some(pidfd).ok_or_else(invisible)
}

/// Waits for the process's end through its pidfd, which also says how it ended; on a kernel that does
/// not, the engine is asked, which takes it some 0.3 s. The moment that `ended` is told is the pidfd's.
pub(super) fn watch_exit(
    docker: &Docker,
    id: &str,
    pidfd: &OwnedFd,
    ended: impl FnOnce(Instant, Exit) + Send + 'static,
) -> std::io::Result<watch::Receiver<Option<Exit>>> {
    // SAFETY: the descriptor is owned by the `AsyncFd` until that is dropped, and never replaced.
    let pidfd = unsafe { AsyncFd::register_with_interest(pidfd.try_clone()?, Interest::READABLE)? };
    let (tell, told) = watch::channel(None);
    let (docker, id) = (docker.clone(), id.to_owned());
    tokio::spawn(async move {
        let seen = pidfd.readable().await.map(|_| clock::monotonic());
        let at = seen.unwrap_or_else(|_| clock::monotonic());
        let exit = match exit_by_pidfd(pidfd.get_ref()).await {
            Some(exit) => exit,
            None => exit_of(&docker, &id).await,
        };
        ended(at, exit);
        // Nobody may be listening any more.
        let _ = tell.send(Some(exit));
    });
    Ok(told)
}

/// The kernel knows once the parent has reaped the process, which the engine's shim does at once.
async fn exit_by_pidfd(pidfd: &OwnedFd) -> Option<Exit> {
    const LOOKS_MAX: u32 = 50;
    for _ in 0..LOOKS_MAX {
        if let Some(exit) = pidfd_info::exit_of(pidfd).ok()? {
            return Some(exit);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    None
}

/// Whether the kernel killed its process for want of memory when it ran last.
pub(super) async fn lacked_memory(docker: &Docker, id: &str) -> Option<bool> {
    wait_until_stopped(docker, id).await;
    let seen = docker.inspect_container(id, None::<InspectContainerOptions>).await.ok()?;
    seen.state?.oom_killed
}

/// Returns when the engine, too, knows that the container has stopped: before that it starts it no more.
pub(super) async fn wait_until_stopped(docker: &Docker, id: &str) {
    exit_of(docker, id).await;
}

async fn exit_of(docker: &Docker, id: &str) -> Exit {
    let code = match docker.wait_container(id, None::<WaitContainerOptions>).next().await {
        Some(Ok(ended)) => Some(ended.status_code),
        Some(Err(Error::DockerContainerWaitError { code, .. })) => Some(code),
        Some(Err(_)) | None => None,
    };
    match code {
        Some(code) if (SIGNAL_BASE + 1..=SIGNAL_BASE + SIGNAL_MAX).contains(&code) => {
            Exit { code: None, signal: i32::try_from(code - SIGNAL_BASE).ok() }
        }
        code => Exit { code: code.and_then(|code| i32::try_from(code).ok()), signal: None },
    }
}

pub(super) fn failed(what: &str, error: &Error) -> BackendError {
    let what = format!("failed to {what}: {error}");
    match error {
        Error::RequestTimeoutError => BackendError::Hung {
            what,
            hint: "the engine hangs: end it (kill -9 of dockerd), start it again, and run syncope clean"
                .into(),
        },
        _ => BackendError::Failed(what),
    }
}
