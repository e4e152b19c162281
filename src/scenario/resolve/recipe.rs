//! A role's recipe: paths beside the file, and names of packages that are ones.

use std::path::{Path, PathBuf};

use super::Context;
use crate::scenario::decode::Placed;
use crate::scenario::diagnostic::{Code, Place, Report};
use crate::scenario::raw::fleet as raw;
use crate::scenario::recipe::{Installer, Recipe};
use crate::scenario::scalar::Text;

/// `None` if there is none, or it is wrong and reported.
pub(super) fn resolve(role: &raw::Role, context: &mut Context<'_, '_>) -> Option<Recipe> {
    let placed = role.recipe.given()?;
    let recipe = &placed.value;
    let report = &mut *context.report;
    for (name, place) in
        [("image", role.image.place()), ("working_directory", role.working_directory.place())]
    {
        if let Some(place) = place {
            report
                .add(Code::OneOf, place, format!("`{name}` cannot stand beside `recipe`"))
                .hint("a recipe makes the image, and starts the program in a copy of its `source`");
        }
    }
    if let (Some(_), Some(pip)) = (recipe.npm.given(), recipe.pip.given()) {
        report
            .add(Code::OneOf, pip.place, "`pip` cannot stand beside `npm`")
            .hint("a role's program is of one language; give the other a role of its own");
        return None;
    }
    if recipe.npm.is_absent() && recipe.pip.is_absent() && recipe.packages.is_absent() {
        report
            .add(Code::MissingField, placed.place, "the recipe installs nothing")
            .hint("`npm: .`, `pip: requirements.txt`, or `packages: [ruby]`");
        return None;
    }
    let folder = report.source().path().parent().unwrap_or(Path::new("")).to_owned();
    // Without the dots of `.`: they would stand in every message.
    let beside = |text: &Placed<Text>| -> PathBuf { folder.join(text.text()).components().collect() };
    let (installer, place) = match (recipe.npm.given(), recipe.pip.given()) {
        (Some(npm), _) => (Some(Installer::Npm { folder: beside(npm) }), npm.place),
        (_, Some(pip)) => (Some(Installer::Pip { requirements: beside(pip) }), pip.place),
        (None, None) => (None, placed.place),
    };
    let source = recipe.source.given().map(beside).unwrap_or_else(|| match &installer {
        Some(Installer::Npm { folder }) => folder.clone(),
        Some(Installer::Pip { requirements }) => {
            requirements.parent().map(Path::to_path_buf).unwrap_or_default()
        }
        None => folder.clone(),
    });
    let packages = packages(recipe.packages.value().map_or(&[], Vec::as_slice), report);
    // A path of no part is the folder that the command was started in.
    let source = if source.as_os_str().is_empty() { PathBuf::from(".") } else { source };
    Some(Recipe { source, installer, packages, place })
}

/// Sorted, each once.
fn packages(given: &[Placed<Text>], report: &mut Report<'_>) -> Vec<String> {
    let mut packages = Vec::new();
    for package in given {
        check_package(package.text(), package.place, report);
        packages.push(package.text().to_owned());
    }
    packages.sort();
    packages.dedup();
    packages
}

/// As Debian's policy has it (5.6.1); a version or an option would reach the package manager's words.
fn check_package(name: &str, place: Place, report: &mut Report<'_>) {
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    if name.len() < 2 || !begins || !name.chars().all(allowed) {
        report
            .add(Code::Name, place, "this cannot be the name of a Debian package")
            .hint("small letters, digits, `+`, `-` and `.`: `libpq5`");
    }
}
