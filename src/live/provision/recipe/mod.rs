//! What a foreign program is given by its recipe: installed packages, which outlive the run, and a copy of
//! its source, which does not. The copy has `node_modules` beside it, where an `import` looks.

mod cache;
#[cfg(feature = "docker")]
pub(super) mod contained;
mod install;
mod source;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::cleanup::Guard;
use super::process::failed;
use super::{Progress, places};
use crate::backend::BackendError;
use crate::scenario::recipe::{Installer, Recipe};
use crate::scenario::{Program, Scenario};

/// What is set unless the scenario sets it: lines are told when they are written.
const PYTHON_VARIABLES: [(&str, &str); 2] = [("PYTHONUNBUFFERED", "1"), ("PYTHONDONTWRITEBYTECODE", "1")];

/// The recipe of a foreign program, if it has one.
pub(super) fn of(program: &Program) -> Option<&Recipe> {
    match program {
        Program::External { recipe, .. } => recipe.as_deref(),
        Program::Missing { instead_of } => of(instead_of),
        Program::Reference { .. } | Program::Table { .. } => None,
    }
}

/// Each of the scenario's recipes once.
pub(super) fn all(scenario: &Scenario) -> impl Iterator<Item = &Recipe> {
    let mut recipes: Vec<&Recipe> = scenario.fleet.programs().filter_map(|s| of(&s.program)).collect();
    recipes.sort();
    recipes.dedup();
    recipes.into_iter()
}

/// Of local processes: where one is started, and what it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outfit {
    pub directory: PathBuf,
    /// Directories of programs, to come first in PATH.
    programs: Vec<PathBuf>,
    variables: Vec<(OsString, OsString)>,
}

impl Outfit {
    /// Installs what the recipe names, or finds it installed, and copies the source to `directory`. Blocks:
    /// the first time for as long as the installation takes.
    pub(super) fn make(recipe: &Recipe, directory: PathBuf, guard: &Guard) -> Result<Self, BackendError> {
        let installed = install_here(recipe, guard, &|_| {})?;
        source::copy(&recipe.source, &directory)?;
        let mut outfit = Self { directory, programs: Vec::new(), variables: Vec::new() };
        let (Some(installer), Some(installed)) = (&recipe.installer, installed) else { return Ok(outfit) };
        match installer {
            Installer::Npm { .. } => {
                let modules = installed.join("node_modules");
                symlink(&modules, outfit.directory.join("node_modules"))
                    .map_err(|error| failed("link node_modules", &error))?;
                outfit.programs.push(modules.join(".bin"));
            }
            Installer::Pip { .. } => {
                outfit.programs.push(installed.join("bin"));
                outfit.variables.push(("VIRTUAL_ENV".into(), installed.into()));
                outfit.variables.extend(PYTHON_VARIABLES.map(|(name, value)| (name.into(), value.into())));
            }
        }
        Ok(outfit)
    }

    /// What the scenario says itself stands; PATH is added to.
    pub(super) fn add_to(&self, environment: &mut BTreeMap<OsString, OsString>) -> io::Result<()> {
        for (name, value) in &self.variables {
            environment.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let path = environment.get(&OsString::from("PATH")).cloned().unwrap_or_default();
        let all = self.programs.iter().cloned().chain(std::env::split_paths(&path));
        environment.insert("PATH".into(), std::env::join_paths(all).map_err(io::Error::other)?);
        Ok(())
    }
}

/// Has every recipe's packages installed before the first scenario starts. What cannot be had is told by
/// its own scenario when its turn comes.
pub(super) fn prepare_here<'s>(
    scenarios: impl IntoIterator<Item = &'s Scenario>,
    guard: &Guard,
    progress: Progress<'_>,
) -> Result<(), BackendError> {
    for scenario in scenarios {
        for recipe in all(scenario) {
            match install_here(recipe, guard, progress) {
                Ok(_) => {}
                Err(BackendError::Environment { what, .. }) => {
                    progress(&format!("{}: {what}", scenario.name));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn install_here(
    recipe: &Recipe,
    guard: &Guard,
    progress: Progress<'_>,
) -> Result<Option<PathBuf>, BackendError> {
    check_packages(&recipe.packages)?;
    match &recipe.installer {
        Some(Installer::Npm { folder }) => install::npm(folder, guard, progress).map(Some),
        Some(Installer::Pip { requirements }) => install::venv(requirements, guard, progress).map(Some),
        None => Ok(None),
    }
}

/// On a machine without Debian's packages nothing can be said of them: the program itself will tell.
fn check_packages(packages: &[String]) -> Result<(), BackendError> {
    let Some(query) = places::find_program("dpkg-query", &[]).filter(|_| !packages.is_empty()) else {
        return Ok(());
    };
    let is_installed = |package: &&String| {
        let mut command = Command::new(&query);
        command.args(["--show", "--showformat=${db:Status-Status}", package]).stdin(Stdio::null());
        command.output().is_ok_and(|output| output.stdout == b"installed")
    };
    let missing: Vec<&str> =
        packages.iter().filter(|package| !is_installed(package)).map(String::as_str).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(BackendError::Environment {
        what: format!("not installed: {}", missing.join(", ")),
        hint: format!("apt-get install -y {}; or --backend docker", missing.join(" ")),
    })
}
