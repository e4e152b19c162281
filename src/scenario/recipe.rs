//! What a foreign program needs installed; and whether the files that say so name one version of each.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::diagnostic::{Code, Diagnostic, Place, Report, Source};
use super::{Program, Scenario};

/// What a role's program needs to run, besides itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipe {
    /// The folder of which the program is started in a copy.
    pub source: PathBuf,
    pub installer: Option<Installer>,
    /// Debian packages besides the installer's language; sorted, each once.
    pub packages: Vec<String>,
    /// Where the scenario speaks of it.
    pub place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Installer {
    /// The folder holds [`PACKAGE`] and [`PACKAGE_LOCK`].
    Npm { folder: PathBuf },
    /// A requirements file with versions and hashes.
    Pip { requirements: PathBuf },
}

pub const PACKAGE: &str = "package.json";
pub const PACKAGE_LOCK: &str = "package-lock.json";

/// The first whose `packages` has every package with its path.
const LOCK_VERSION_MIN: u64 = 2;
/// So many packages that are not locked are named.
const NAMED_MAX: usize = 5;

impl Recipe {
    /// With what its language needs.
    #[must_use]
    pub fn debian_packages(&self) -> Vec<&str> {
        let language = match &self.installer {
            Some(Installer::Npm { .. }) => Some("nodejs"),
            Some(Installer::Pip { .. }) => Some("python3"),
            None => None,
        };
        language.into_iter().chain(self.packages.iter().map(String::as_str)).collect()
    }
}

/// What is wrong with the files that the scenario's recipes name. `read` gives a file's text: a stored
/// history is judged again where these files need not be.
pub fn check(
    source: &Source,
    scenario: &Scenario,
    read: impl Fn(&Path) -> io::Result<String>,
) -> Vec<Diagnostic> {
    let mut report = Report::new(source);
    for spec in scenario.fleet.programs() {
        let Program::External { recipe: Some(recipe), .. } = &spec.program else { continue };
        match &recipe.installer {
            Some(Installer::Npm { folder }) => {
                let package = text(&folder.join(PACKAGE), recipe.place, &read, &mut report);
                let lock = text(&folder.join(PACKAGE_LOCK), recipe.place, &read, &mut report);
                if let (Some(_), Some(lock)) = (package, lock) {
                    check_npm(&folder.join(PACKAGE_LOCK), &lock, recipe.place, &mut report);
                }
            }
            Some(Installer::Pip { requirements }) => {
                if let Some(text) = text(requirements, recipe.place, &read, &mut report) {
                    check_pip(requirements, &text, recipe.place, &mut report);
                }
            }
            None => {}
        }
    }
    report.into_sorted()
}

fn text(
    path: &Path,
    place: Place,
    read: &impl Fn(&Path) -> io::Result<String>,
    report: &mut Report<'_>,
) -> Option<String> {
    read(path)
        .inspect_err(|error| {
            let hint = match path.file_name().and_then(|name| name.to_str()) {
                Some(PACKAGE) => "`npm init` makes one; `npm install NAME` adds a package to it",
                Some(PACKAGE_LOCK) => "`npm install --package-lock-only` in that folder makes it",
                _ => "`pip-compile --generate-hashes` makes one",
            };
            report
                .add(Code::Unreadable, place, format!("failed to read {}: {error}", path.display()))
                .hint(hint);
        })
        .ok()
}

fn check_npm(path: &Path, lock: &str, place: Place, report: &mut Report<'_>) {
    const AGAIN: &str =
        "`npm install --package-lock-only` in that folder, with npm 7 or later, makes it anew";
    let path = path.display();
    let lock: Value = match serde_json::from_str(lock) {
        Ok(lock) => lock,
        Err(error) => {
            report.add(Code::NotLocked, place, format!("{path} is not JSON: {error}")).hint(AGAIN);
            return;
        }
    };
    let version = lock["lockfileVersion"].as_u64().unwrap_or_default();
    let Some(packages) = lock["packages"].as_object().filter(|_| version >= LOCK_VERSION_MIN) else {
        let message = format!("{path} is of a version before {LOCK_VERSION_MIN}, or no lock file");
        report.add(Code::NotLocked, place, message).hint(AGAIN);
        return;
    };
    // The first, without a name, is the folder itself.
    let loose = packages.iter().filter(|(name, about)| {
        let bundled = about["inBundle"].as_bool() == Some(true);
        !name.is_empty() && !bundled && !about["integrity"].is_string()
    });
    let loose: Vec<&str> = loose.map(|(name, _)| name.trim_start_matches("node_modules/")).collect();
    if !loose.is_empty() {
        report.add(Code::NotLocked, place, format!("{path} has no integrity for {}", first_of(&loose))).hint(
            "packages from a registry have one; folders and git repositories do not: publish or pack them",
        );
    }
}

fn check_pip(path: &Path, text: &str, place: Place, report: &mut Report<'_>) {
    const REFUSED: [&str; 6] = ["-r", "--requirement", "-c", "--constraint", "-e", "--editable"];
    let mut loose = Vec::new();
    for (line, requirement) in requirements(text) {
        let first = requirement.split([' ', '=']).next().unwrap_or_default();
        if REFUSED.contains(&first) {
            report
                .add(
                    Code::NotLocked,
                    place,
                    format!("{}:{line}: `{first}` leads to another file", path.display()),
                )
                .hint("one file, with each package's version and hash: `pip-compile --generate-hashes`");
        } else if !first.starts_with('-') && !is_pinned(&requirement) {
            let end = requirement.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c));
            loose.push(requirement[..end.unwrap_or(requirement.len())].to_owned());
        }
    }
    if !loose.is_empty() {
        let loose: Vec<&str> = loose.iter().map(String::as_str).collect();
        report
            .add(
                Code::NotLocked,
                place,
                format!("{} does not pin {} by version and hash", path.display(), first_of(&loose)),
            )
            .hint("`pip-compile --generate-hashes` writes `name==1.2.3 --hash=sha256:…` for each");
    }
}

fn is_pinned(requirement: &str) -> bool {
    requirement.contains("==") && requirement.contains("--hash=")
}

/// Without comments; lines that go on are one. Each with the number of its first line.
fn requirements(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (index, line) in text.lines().enumerate() {
        let line = if line.trim_start().starts_with('#') { "" } else { line };
        let line = line.split(" #").next().unwrap_or_default().trim();
        let (part, more) = line.strip_suffix('\\').map_or((line, false), |part| (part.trim_end(), true));
        match found.last_mut().filter(|_| goes_on) {
            Some((_, whole)) => {
                whole.push(' ');
                whole.push_str(part);
            }
            None if part.is_empty() => {}
            None => found.push((index + 1, part.to_owned())),
        }
        goes_on = more;
    }
    found
}

fn first_of(names: &[&str]) -> String {
    let shown = names[..names.len().min(NAMED_MAX)].join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(check: impl Fn(&mut Report<'_>)) -> Vec<String> {
        let source = Source::new("scenario.yaml", "recipe: {npm: .}");
        let mut report = Report::new(&source);
        check(&mut report);
        report.into_sorted().into_iter().map(|found| found.message).collect()
    }

    #[test]
    fn a_lock_file_names_what_npm_will_install() {
        let whole = r#"{"lockfileVersion": 3, "packages": {"": {}, "node_modules/a": {"integrity": "sha512-x"},
            "node_modules/a/node_modules/b": {"inBundle": true}}}"#;
        let folder = r#"{"lockfileVersion": 3, "packages": {"node_modules/a": {"link": true}}}"#;
        for (lock, expected) in [
            (whole, None),
            (folder, Some("lock has no integrity for a")),
            (r#"{"lockfileVersion": 1}"#, Some("lock is of a version before 2, or no lock file")),
            ("[", Some("lock is not JSON: EOF while parsing a list at line 1 column 1")),
        ] {
            let said = said(|report| check_npm(Path::new("lock"), lock, Place::default(), report));
            assert_eq!(said, expected.into_iter().collect::<Vec<_>>(), "{lock}");
        }
    }

    #[test]
    fn a_requirements_file_pins_each_package() {
        for (text, expected) in [
            ("# all\n\nredis==5.0.0 --hash=sha256:1\n", None),
            ("redis==5.0.0 \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\n    # via x\n", None),
            ("--only-binary :all:\n", None),
            ("redis==5.0.0\n", Some("file does not pin redis by version and hash")),
            ("redis>=5 --hash=sha256:1\nvine", Some("file does not pin redis, vine by version and hash")),
            ("\n-r other.txt\n", Some("file:2: `-r` leads to another file")),
        ] {
            let said = said(|report| check_pip(Path::new("file"), text, Place::default(), report));
            assert_eq!(said, expected.into_iter().collect::<Vec<_>>(), "{text}");
        }
    }
}
