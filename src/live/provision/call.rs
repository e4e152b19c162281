//! Programs of the scenario's that run on this machine, do one thing and end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::child::{self, Child, Launch, Output};
use super::process::program_path;
use super::undo::{self, OWNER_VARIABLE, RUN_VARIABLE};
use super::{Exit, RunContext};
use crate::time::Span;

/// What a process of a run inherits; what else the harness was told is none of its business.
const INHERITED: [&str; 8] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH"];
/// In the environment of every process: the scenario's site, for the sweep of its tear-down.
pub(super) const SITE_VARIABLE: &str = "SYNCOPE_SITE";
/// Of standard error the end is told.
const LAST_WORDS_MAX: usize = 300;
const ERRORS_MAX: usize = 64 * 1024;

/// What a program said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub exit: Exit,
    pub output: Vec<u8>,
    /// The last line of its standard error.
    pub last_words: String,
}

impl Said {
    /// How it ended, where that is not with 0.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        (self.exit.code != Some(0)).then(|| format!("the program ended ({}): {}", self.exit, self.last_words))
    }
}

impl RunContext {
    /// Runs the program to its end, in the folder. At most for `limit`; at most so many bytes of output. What
    /// has not ended by then, or when the future is dropped, is killed with its group.
    ///
    /// # Errors
    /// If it cannot be started, does not end in time, or says too much: why.
    pub async fn call(
        &self,
        command: &[String],
        folder: &str,
        limit: Span,
        bytes_max: usize,
    ) -> Result<Said, String> {
        let (program, arguments) = command.split_first().ok_or("the command is empty")?;
        let folder = if folder.is_empty() { "." } else { folder };
        let folder = std::fs::canonicalize(folder).map_err(|error| format!("{folder}: {error}"))?;
        let started = self.launch(program, arguments, &folder).await;
        let mut child = Called(Some(started.map_err(|error| format!("{program}: {error}"))?));
        let ended = timeout(limit.to_std(), child.hear(bytes_max)).await;
        match ended {
            Ok(said) => said.map_err(|error| format!("{program}: {error}")),
            Err(_) => Err(format!("{program} did not end within {limit}")),
        }
    }

    async fn launch(&self, program: &str, arguments: &[String], folder: &Path) -> io::Result<Child> {
        let child = child::launch(Launch {
            program: program_path(program, Some(folder)),
            arguments: arguments.iter().map(OsString::from).collect(),
            env: self.environment().into_iter().collect(),
            directory: PathBuf::from(folder),
            user: None,
            death_signal: Signal::KILL,
            output: Output::Piped,
            input: false,
        })
        .await?;
        self.guard.record_process(child.pid).inspect_err(|_| child.kill_group())?;
        Ok(child)
    }

    /// What every process of the run is told.
    pub(super) fn environment(&self) -> BTreeMap<OsString, OsString> {
        let inherited = INHERITED.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
        let marks = [
            (RUN_VARIABLE, self.guard.run_id().to_owned()),
            (OWNER_VARIABLE, self.guard.owner().to_owned()),
            (SITE_VARIABLE, self.site_name()),
        ];
        inherited.chain(marks.map(|(name, value)| (name.into(), value.into()))).collect()
    }

    /// Ends what was started for this scenario on this machine and has left its group; returns what could not
    /// be ended.
    #[must_use]
    pub fn sweep(&self) -> Vec<String> {
        let (site, owner) = (self.site_name(), self.guard.owner());
        undo::kill_marked(|env| env.has(SITE_VARIABLE, &site) && env.has(OWNER_VARIABLE, owner)).failed
    }
}

/// Taken out once it is reaped.
struct Called(Option<Child>);

impl Called {
    async fn hear(&mut self, bytes_max: usize) -> io::Result<Said> {
        let child = self.0.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let (output, errors) = child.outputs()?;
        let (exit, output, errors) =
            tokio::join!(child.end(), all(output, bytes_max), all(errors, ERRORS_MAX));
        let exit = exit?;
        self.0 = None;
        let output =
            output?.ok_or_else(|| io::Error::other(format!("more than {bytes_max} bytes of output")))?;
        let errors = errors?.unwrap_or_default();
        let errors = String::from_utf8_lossy(&errors);
        let last = errors.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        Ok(Said { exit, output, last_words: last.chars().take(LAST_WORDS_MAX).collect() })
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        if let Some(child) = self.0.take() {
            child.kill_group();
            // At the end of the harness nobody reaps it but the kernel.
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(async move { child.end().await });
            }
        }
    }
}

/// To its end; `None` if that is further off than so many bytes. What is more is read all the same, so that
/// nobody waits for a reader.
async fn all(mut from: impl AsyncRead + Unpin, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    (&mut from).take(bytes_max as u64).read_to_end(&mut bytes).await?;
    let more = tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok((more == 0).then_some(bytes))
}
