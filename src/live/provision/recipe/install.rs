//! What npm and pip install: the same for every run of the same lock file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::cache;
use crate::backend::BackendError;
use crate::live::provision::cleanup::Guard;
use crate::live::provision::process::failed;
use crate::live::provision::undo::{OWNER_VARIABLE, RUN_VARIABLE};
use crate::live::provision::{Progress, places};
use crate::scenario::recipe::{PACKAGE, PACKAGE_LOCK};

/// Of what a program said before it failed: npm begins with the reason and ends with its usage, pip ends
/// with the reason.
const FIRST_LINES_SHOWN: usize = 6;
const LAST_LINES_SHOWN: usize = 6;
/// A folder's own settings for npm: the registry, and how to sign in.
const NPM_SETTINGS: &str = ".npmrc";
/// Older than any system that a wheel is made for, up to the image's own.
#[cfg(feature = "docker")]
const MANYLINUX: std::ops::RangeInclusive<u32> = 17..=36;

/// The interpreter of an image, which is another than this machine's.
#[cfg(feature = "docker")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Interpreter {
    /// As in `3.11`.
    pub version: &'static str,
    /// Its place in the image.
    pub program: &'static str,
}

/// A directory that holds `node_modules`, of the folder's lock file.
pub(super) fn npm(folder: &Path, guard: &Guard, progress: Progress<'_>) -> Result<PathBuf, BackendError> {
    const HINT: &str = "apt-get install -y nodejs npm";
    for program in ["node", "npm"] {
        if places::find_program(program, &[]).is_none() {
            return Err(missing(program, folder, HINT));
        }
    }
    let read = |name: &str| fs::read(folder.join(name)).map_err(|error| unread(&folder.join(name), &error));
    let (package, lock) = (read(PACKAGE)?, read(PACKAGE_LOCK)?);
    let node = said(Command::new("node").arg("--version"), "ask node for its version", HINT)?;
    let name = cache::name_of("npm", &[&package, &lock, node.as_bytes(), std::env::consts::ARCH.as_bytes()]);
    cache::kept(&name, guard, |arriving, _| {
        progress(&format!("installing the npm packages of {}", folder.display()));
        let settings = folder.join(NPM_SETTINGS);
        let written = fs::write(arriving.join(PACKAGE), &package)
            .and_then(|()| fs::write(arriving.join(PACKAGE_LOCK), &lock))
            .and_then(|()| match settings.exists() {
                true => fs::copy(&settings, arriving.join(NPM_SETTINGS)).map(drop),
                false => Ok(()),
            });
        written.map_err(|error| failed("write a lock file", &error))?;
        let mut command = Command::new("npm");
        command.args(["ci", "--ignore-scripts", "--include=dev", "--no-audit", "--no-fund"]);
        command.arg("--loglevel=error").current_dir(arriving).env_remove("NODE_ENV");
        let doing = format!("install the npm packages of {}", folder.display());
        run(mark(&mut command, guard), &doing, "npm ci, in a copy of that folder, says the same")?;
        // A lock file of no package leaves none.
        fs::create_dir_all(arriving.join("node_modules"))
            .and_then(|()| match settings.exists() {
                true => fs::remove_file(arriving.join(NPM_SETTINGS)),
                false => Ok(()),
            })
            .map_err(|error| failed("finish node_modules", &error))
    })
}

const PYTHON_HINT: &str = "apt-get install -y python3-venv";

/// A virtual environment for this machine's own interpreter.
pub(super) fn venv(
    requirements: &Path,
    guard: &Guard,
    progress: Progress<'_>,
) -> Result<PathBuf, BackendError> {
    let (text, python) = (read_requirements(requirements)?, python_here(requirements)?);
    let name = cache::name_of("venv", &[&text, python.as_bytes()]);
    cache::kept(&name, guard, |arriving, kept| {
        progress(&format!("installing the pip packages of {}", requirements.display()));
        make_venv(arriving, guard)?;
        let mut command = Command::new(arriving.join("bin/python3"));
        command.args(["-m", "pip", "install"]);
        install(&mut command, requirements, guard)?;
        // Its programs name the interpreter by its path.
        rename_in_programs(&arriving.join("bin"), arriving, kept)
            .map_err(|error| failed("move a virtual environment", &error))
    })
}

/// The same for the interpreter of an image, where it is found at `place`. Only wheels: nothing is compiled
/// for another machine.
#[cfg(feature = "docker")]
pub(super) fn venv_for(
    interpreter: Interpreter,
    place: &Path,
    requirements: &Path,
    guard: &Guard,
    progress: Progress<'_>,
) -> Result<PathBuf, BackendError> {
    let (text, python) = (read_requirements(requirements)?, python_here(requirements)?);
    let Interpreter { version, program } = interpreter;
    let parts = [&text, python.as_bytes(), version.as_bytes(), program.as_bytes()];
    cache::kept(&cache::name_of("venv-image", &parts), guard, |arriving, _| {
        progress(&format!("installing the pip packages of {} for an image", requirements.display()));
        let tools = arriving.join("tools");
        make_venv(&tools, guard)?;
        let packages = arriving.join(format!("lib/python{version}/site-packages"));
        let mut command = Command::new(tools.join("bin/python3"));
        command.args(["-m", "pip", "install", "--only-binary=:all:", "--implementation=cp"]);
        command.arg(format!("--python-version={version}")).arg("--target").arg(&packages);
        for minor in MANYLINUX.rev() {
            command.arg(format!("--platform=manylinux_2_{minor}_{}", std::env::consts::ARCH));
        }
        command.arg(format!("--platform=manylinux2014_{}", std::env::consts::ARCH));
        install(&mut command, requirements, guard)?;
        let finish = || {
            fs::remove_dir_all(&tools)?;
            let programs = arriving.join("bin");
            match packages.join("bin") {
                installed if installed.exists() => fs::rename(installed, &programs)?,
                _ => fs::create_dir_all(&programs)?,
            }
            rename_in_programs(&programs, &tools, place)?;
            for name in ["python", "python3"] {
                std::os::unix::fs::symlink(program, programs.join(name))?;
            }
            let home = Path::new(program).parent().unwrap_or(Path::new("/usr/bin")).display();
            let settings = format!("home = {home}\ninclude-system-site-packages = false\n");
            fs::write(arriving.join("pyvenv.cfg"), settings)
        };
        finish().map_err(|error| failed("finish a virtual environment", &error))
    })
}

fn read_requirements(path: &Path) -> Result<Vec<u8>, BackendError> {
    fs::read(path).map_err(|error| unread(path, &error))
}

/// Its version and its place: another is another key.
fn python_here(wanted_by: &Path) -> Result<String, BackendError> {
    const ASK: &str = "import sys; print(sys.version, sys.executable)";
    if places::find_program("python3", &[]).is_none() {
        return Err(missing("python3", wanted_by, PYTHON_HINT));
    }
    said(Command::new("python3").args(["-c", ASK]), "ask python3 for its version", PYTHON_HINT)
}

fn make_venv(at: &Path, guard: &Guard) -> Result<(), BackendError> {
    let mut command = Command::new("python3");
    command.args(["-m", "venv"]).arg(at);
    run(mark(&mut command, guard), "make a virtual environment", PYTHON_HINT)
}

fn install(command: &mut Command, requirements: &Path, guard: &Guard) -> Result<(), BackendError> {
    command.args(["--require-hashes", "--no-input", "--disable-pip-version-check", "--quiet"]);
    command.arg("--requirement").arg(requirements);
    let doing = format!("install the pip packages of {}", requirements.display());
    run(mark(command, guard), &doing, "does pip reach its index here? pip config list")
}

/// Scripts of a virtual environment, where they name its path.
fn rename_in_programs(programs: &Path, from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (from.to_string_lossy().into_owned(), to.to_string_lossy().into_owned());
    for entry in fs::read_dir(programs)? {
        let path = entry?.path();
        if !fs::symlink_metadata(&path)?.is_file() {
            continue;
        }
        // A compiled program names no interpreter.
        if let Ok(text) = String::from_utf8(fs::read(&path)?)
            && text.contains(&from)
        {
            fs::write(&path, text.replace(&from, &to))?;
        }
    }
    Ok(())
}

/// The watchdog finds it by these.
fn mark<'c>(command: &'c mut Command, guard: &Guard) -> &'c mut Command {
    command.env(RUN_VARIABLE, guard.run_id()).env(OWNER_VARIABLE, guard.owner())
}

fn run(command: &mut Command, doing: &str, hint: &str) -> Result<(), BackendError> {
    said(command, doing, hint).map(drop)
}

/// What it printed; if it failed, an error with the last of what it said.
fn said(command: &mut Command, doing: &str, hint: &str) -> Result<String, BackendError> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| failed(doing, &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let mut all = String::from_utf8_lossy(&output.stdout).into_owned();
    all.push_str(&String::from_utf8_lossy(&output.stderr));
    let mut lines: Vec<&str> = all.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.len() > FIRST_LINES_SHOWN + LAST_LINES_SHOWN {
        lines.splice(FIRST_LINES_SHOWN..lines.len() - LAST_LINES_SHOWN, ["…"]);
    }
    Err(BackendError::Environment {
        what: format!("failed to {doing}: {}\n{}", output.status, lines.join("\n")),
        hint: hint.to_owned(),
    })
}

fn missing(program: &str, wanted_by: &Path, hint: &str) -> BackendError {
    let what = format!("{program} is not installed, which the recipe of {} needs", wanted_by.display());
    BackendError::Environment { what, hint: hint.to_owned() }
}

/// It was there when the scenario was checked.
fn unread(path: &Path, error: &io::Error) -> BackendError {
    let what = format!("failed to read {}: {error}", path.display());
    BackendError::Environment { what, hint: "syncope check says what a recipe needs".into() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_moved_environments_programs_name_its_new_place() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("celery");
        fs::write(&script, "#!/a/venv.new/bin/python3\n").unwrap();
        fs::write(directory.path().join("compiled"), b"\xff/a/venv.new\xff").unwrap();
        symlink("/nowhere", directory.path().join("python3")).unwrap();
        rename_in_programs(directory.path(), Path::new("/a/venv.new"), Path::new("/a/venv")).unwrap();
        assert_eq!(fs::read_to_string(script).unwrap(), "#!/a/venv/bin/python3\n");
        assert_eq!(fs::read(directory.path().join("compiled")).unwrap(), b"\xff/a/venv.new\xff");
    }

    #[test]
    fn what_a_program_said_is_in_the_error() {
        let failed = said(Command::new("sh").args(["-c", "seq 20; echo why >&2; exit 3"]), "count", "less");
        let Err(BackendError::Environment { what, hint }) = failed else { panic!("{failed:?}") };
        let shown = "failed to count: exit status: 3\n1\n2\n3\n4\n5\n6\n…\n16\n17\n18\n19\n20\nwhy";
        assert_eq!(what, shown);
        assert_eq!(hint, "less");
    }
}
