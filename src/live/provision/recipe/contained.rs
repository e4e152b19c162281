//! In a container: what its recipe gives it. The image has the interpreter and Debian's packages; what npm
//! or pip installed is mounted from the cache, so that one image serves every lock file.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::install::{self, Interpreter};
use super::{PYTHON_VARIABLES, source};
use crate::backend::BackendError;
use crate::live::provision::Progress;
use crate::live::provision::cleanup::Guard;
use crate::live::provision::process::failed;
use crate::scenario::recipe::{Installer, Recipe};

/// Where the source is mounted; `node_modules` lies beside it, where an `import` looks next.
pub(in crate::live::provision) const SOURCE: &str = "/srv/source";
const MODULES: &str = "/srv/node_modules";
const VENV: &str = "/srv/venv";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Of Debian's suite, and of the official image that stands for it.
pub(in crate::live::provision) const PYTHON: &str = "3.11";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::live::provision) struct Contained {
    /// As `host path:container path:ro`.
    pub binds: Vec<String>,
    pub environment: BTreeMap<String, String>,
}

/// As [`super::Outfit::make`]. `python` is the interpreter's place in the image.
pub(in crate::live::provision) fn make(
    recipe: &Recipe,
    python: &'static str,
    directory: &Path,
    guard: &Guard,
) -> Result<Contained, BackendError> {
    let installed = install_for(recipe, python, guard, &|_| {})?;
    source::copy(&recipe.source, directory)?;
    let mut binds = vec![format!("{}:{SOURCE}:ro", directory.display())];
    let mut environment = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    if let (Some(installer), Some(installed)) = (&recipe.installer, installed) {
        match installer {
            Installer::Npm { .. } => {
                binds.push(format!("{}:{MODULES}:ro", installed.join("node_modules").display()));
                symlink(MODULES, directory.join("node_modules"))
                    .map_err(|error| failed("link node_modules", &error))?;
                environment.insert("PATH".into(), format!("{MODULES}/.bin:{PATH}"));
            }
            Installer::Pip { .. } => {
                binds.push(format!("{}:{VENV}:ro", installed.display()));
                environment.insert("PATH".into(), format!("{VENV}/bin:{PATH}"));
                environment.insert("VIRTUAL_ENV".into(), VENV.into());
                environment.extend(PYTHON_VARIABLES.map(|(name, value)| (name.into(), value.into())));
            }
        }
    }
    Ok(Contained { binds, environment })
}

/// What the recipe's lock file names, for a program in the image.
pub(in crate::live::provision) fn install_for(
    recipe: &Recipe,
    python: &'static str,
    guard: &Guard,
    progress: Progress<'_>,
) -> Result<Option<PathBuf>, BackendError> {
    match &recipe.installer {
        Some(Installer::Npm { folder }) => install::npm(folder, guard, progress).map(Some),
        Some(Installer::Pip { requirements }) => {
            let interpreter = Interpreter { version: PYTHON, program: python };
            install::venv_for(interpreter, VENV.as_ref(), requirements, guard, progress).map(Some)
        }
        None => Ok(None),
    }
}
