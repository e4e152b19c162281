//! Children of the harness: forked by one thread that lives as long as the harness, each in a
//! session of its own, held by a pidfd from its first moment, killed by the kernel if the harness dies.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getppid, kill_process_group, pidfd_open,
    pidfd_send_signal, set_parent_process_death_signal, setsid, waitid,
};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};

use super::output::OutputStream;
use super::{Exit, Input};
use crate::live::clock;
use crate::time::Instant;

/// What is to be started. The environment is complete: nothing is inherited.
#[derive(Debug)]
pub(super) struct Launch {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub env: Vec<(OsString, OsString)>,
    pub directory: PathBuf,
    /// User and group to become.
    pub user: Option<(u32, u32)>,
    /// What the kernel sends to the child when the harness dies. Postgres needs one that lets it
    /// remove its shared memory.
    pub death_signal: Signal,
    pub output: Output,
    /// Its standard input is a pipe; else there is nothing to read.
    pub input: bool,
}

#[derive(Debug)]
pub(super) enum Output {
    Piped,
    /// Both streams, appended.
    File(PathBuf),
}

/// A child that runs. It is reaped by [`Child::watch`] or [`Child::end`], never before: until then its pid is
/// its own.
#[derive(Debug)]
pub(super) struct Child {
    pub pid: i32,
    pub pidfd: OwnedFd,
    reaped: AtomicBool,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

pub(super) async fn launch(launch: Launch) -> io::Result<Child> {
    let (answer, answered) = oneshot::channel();
    let request = Request { launch, answer };
    spawner().send(request).map_err(|_| io::Error::other("the spawner thread is gone"))?;
    answered.await.map_err(|_| io::Error::other("the spawner thread is gone"))?
}

impl Child {
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.pidfd, signal)?)
    }

    /// The pipe to its standard input, if it was asked for.
    pub(super) fn input(&mut self) -> io::Result<Input> {
        let stdin = self.stdin.take().map(pipe::Sender::from_owned_fd).transpose()?;
        Ok(stdin.map_or_else(Input::default, Input::to))
    }

    /// Its standard output and its standard error, if they were asked for.
    pub(super) fn outputs(&mut self) -> io::Result<(pipe::Receiver, pipe::Receiver)> {
        let taken = |end: Option<OwnedFd>| pipe::Receiver::from_owned_fd(end.ok_or(io::ErrorKind::NotFound)?);
        Ok((taken(self.stdout.take())?, taken(self.stderr.take())?))
    }

    /// Waits for its end, and ends whatever is left of its group.
    pub(super) async fn end(&self) -> io::Result<Exit> {
        // SAFETY: as in `watch`.
        let pidfd = unsafe { AsyncFd::register_with_interest(self.pidfd.try_clone()?, Interest::READABLE)? };
        let _ = pidfd.readable().await?;
        self.kill_group();
        self.reaped.store(true, Ordering::Release);
        Ok(reap(pidfd.get_ref()))
    }

    /// Until it is reaped the group's number is its own; then nothing is done.
    pub(super) fn kill_group(&self) {
        if let Some(group) = Pid::from_raw(self.pid).filter(|_| !self.reaped.load(Ordering::Acquire)) {
            // Gone already is as good.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Follows the child's output into the two streams, each to its end.
    pub(super) fn follow(&mut self, stdout: OutputStream, stderr: OutputStream) -> io::Result<()> {
        for (fd, stream) in [(self.stdout.take(), stdout), (self.stderr.take(), stderr)] {
            if let Some(fd) = fd {
                tokio::spawn(pump(pipe::Receiver::from_owned_fd(fd)?, stream));
            }
        }
        Ok(())
    }

    /// Reaps the child when it ends. `ended` is called first, with the moment at which that was seen.
    pub(super) fn watch(
        &self,
        ended: impl FnOnce(Instant, Exit) + Send + 'static,
    ) -> io::Result<watch::Receiver<Option<Exit>>> {
        // SAFETY: the descriptor is owned by the `AsyncFd` until that is dropped, and never replaced.
        let pidfd = unsafe { AsyncFd::register_with_interest(self.pidfd.try_clone()?, Interest::READABLE)? };
        let (tell, told) = watch::channel(None);
        tokio::spawn(async move {
            let seen = pidfd.readable().await.map(|_| clock::monotonic());
            let exit = reap(pidfd.get_ref());
            ended(seen.unwrap_or_else(|_| clock::monotonic()), exit);
            // Nobody may be listening any more.
            let _ = tell.send(Some(exit));
        });
        Ok(told)
    }
}

async fn pump(mut from: pipe::Receiver, mut stream: OutputStream) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        stream.push(&buffer[..length]);
    }
    stream.finish();
}

fn reap(pidfd: &OwnedFd) -> Exit {
    match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
        Ok(Some(status)) => Exit { code: status.exit_status(), signal: status.terminating_signal() },
        Ok(None) | Err(_) => Exit { code: None, signal: None },
    }
}

struct Request {
    launch: Launch,
    answer: oneshot::Sender<io::Result<Child>>,
}

/// PR_SET_PDEATHSIG is tied to the thread that forks, not to its process: children are forked by
/// this one thread, which never ends, and never by a worker of the runtime, which may.
fn spawner() -> &'static Sender<Request> {
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (requests, queue) = channel::<Request>();
        // Where no thread can be had, the queue is dropped, and each send says so.
        let _ = thread::Builder::new().name("syncope-spawner".into()).spawn(move || {
            for request in queue {
                let _ = request.answer.send(spawn(request.launch));
            }
        });
        requests
    })
}

fn spawn(launch: Launch) -> io::Result<Child> {
    let mut command = Command::new(&launch.program);
    command.args(&launch.arguments).env_clear().envs(launch.env).current_dir(&launch.directory);
    command.stdin(if launch.input { Stdio::piped() } else { Stdio::null() });
    match &launch.output {
        Output::Piped => {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        Output::File(path) => {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
            command.stdout(file.try_clone()?).stderr(file);
        }
    }
    if let Some((user, group)) = launch.user {
        command.uid(user).gid(group);
    }
    let death_signal = launch.death_signal;
    let harness = rustix::process::getpid();
    // SAFETY: the closure only makes system calls, and allocates nothing. It runs after the change
    // of user, which would have reset the death signal.
    unsafe {
        command.pre_exec(move || {
            setsid()?;
            set_parent_process_death_signal(Some(death_signal))?;
            // The harness may have died before the signal was asked for.
            if getppid() == Some(harness) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
        });
    }
    let mut child = command.spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let raw = Pid::from_raw(pid).ok_or_else(|| io::Error::other("a child without a pid"))?;
    Ok(Child {
        pid,
        pidfd: pidfd_open(raw, PidfdFlags::NONBLOCK)?,
        reaped: AtomicBool::new(false),
        stdin: child.stdin.take().map(OwnedFd::from),
        stdout: child.stdout.take().map(OwnedFd::from),
        stderr: child.stderr.take().map(OwnedFd::from),
    })
}
