//! The external programs of some jobs (S1): where they are, how a worker runs one, and what each does.

use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::Environment;
use crate::protocol::Tool;

/// Where a worker finds its programs.
#[derive(Debug, Clone, Default)]
pub(super) struct Tools([PathBuf; Tool::ALL.len()]);

impl Tools {
    /// By each program's variable; else `syncope-fleet` itself stands for it.
    pub fn of(environment: &Environment) -> Self {
        let own = std::env::current_exe().unwrap_or_default();
        Self(
            Tool::ALL
                .map(|tool| environment.optional(tool.variable()).map_or_else(|| own.clone(), PathBuf::from)),
        )
    }

    /// Whether it is there.
    pub fn has(&self, tool: Tool) -> bool {
        self.0[tool as usize].is_file()
    }

    /// Runs the program to its end, with `text` as its input.
    ///
    /// # Errors
    /// If it is not there, cannot be started, or ends as if something were wrong; the text names it.
    pub fn run(&self, tool: Tool, text: String) -> impl Future<Output = Result<(), String>> + use<> {
        let path = self.0[tool as usize].clone();
        async move {
            let failed = |error: io::Error| tool.missing(&format!("{}: {error}", path.display()));
            let mut child = Command::new(&path)
                .arg(tool.as_str())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .map_err(failed)?;
            if let Some(mut input) = child.stdin.take() {
                input.write_all(text.as_bytes()).await.map_err(failed)?;
            }
            let output = child.wait_with_output().await.map_err(failed)?;
            match output.status.success() && !output.stdout.is_empty() {
                true => Ok(()),
                false => Err(tool.missing(&output.status.to_string())),
            }
        }
    }
}

/// The program itself: reads all of `input`, and writes what it makes of it.
///
/// # Errors
/// If it cannot read or write.
pub fn serve(tool: Tool, mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let mut text = String::new();
    input.read_to_string(&mut text)?;
    match tool {
        Tool::Digest => {
            let mut hasher = DefaultHasher::new();
            hasher.write(text.as_bytes());
            writeln!(output, "{:016x}", hasher.finish())
        }
        Tool::Sort => {
            let mut lines: Vec<&str> = text.lines().collect();
            lines.sort_unstable();
            lines.into_iter().try_for_each(|line| writeln!(output, "{line}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(tool: Tool, text: &str) -> String {
        let mut output = Vec::new();
        serve(tool, text.as_bytes(), &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn the_programs_do_what_they_are_named_for() {
        assert_eq!(made(Tool::Sort, "b\na\n"), "a\nb\n");
        assert_eq!(made(Tool::Digest, "a"), made(Tool::Digest, "a"));
        assert_ne!(made(Tool::Digest, "a"), made(Tool::Digest, "b"));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let tools = Tools(Tool::ALL.map(|tool| PathBuf::from(format!("/nonexistent/{tool}"))));
        let error = tools.run(Tool::Digest, "job-1".to_owned()).await.unwrap_err();
        assert!(error.starts_with("failed to run the program digest: /nonexistent/digest: "), "{error}");
    }
}
