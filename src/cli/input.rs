//! The YAML files that a command is given: found, read, and told apart.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::scenario::{
    self, Code, Diagnostic, FileKind, Loaded, Overrides, Place, RulesFile, SOURCE_BYTES_MAX, Source, recipe,
};

/// More than any sane folder of scenarios holds.
const FILES_MAX: usize = 10_000;

#[derive(Debug)]
pub struct Input {
    /// With the rules file that it names, if it does.
    pub source: Source,
    pub kind: FileKind,
}

/// Every file that the paths mean, each once: folders with all `*.yaml` and `*.yml` below them, in order.
/// A file that is named is taken whatever its extension. Beside them, each folder that cannot be looked
/// through, or has no such file.
pub fn find(paths: &[PathBuf]) -> (Vec<PathBuf>, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut broken = Vec::new();
    for path in paths {
        let mut files = Vec::new();
        if path.is_dir() {
            match search(path, &mut files) {
                Err(error) => broken.extend(unreadable(path, &error.to_string())),
                Ok(()) if files.is_empty() => {
                    broken.extend(unreadable(path, "there is no *.yaml in this folder"));
                }
                Ok(()) => files.sort(),
            }
        } else {
            files.push(path.clone());
        }
        found.extend(files.into_iter().filter(|file| seen.insert(file.clone())));
    }
    (found, broken)
}

fn search(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A link to a folder is not followed: it could lead round in a circle.
        if entry.file_type()?.is_dir() {
            search(&entry.path(), files)?;
        } else if entry.path().extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
        {
            files.push(entry.path());
        }
        if files.len() > FILES_MAX {
            return Err(io::Error::other("too many files"));
        }
    }
    Ok(())
}

/// # Errors
/// It cannot be read, or is not UTF-8.
pub fn read(path: &Path) -> Result<Input, Vec<Diagnostic>> {
    let bytes = bounded(path).map_err(|error| unreadable(path, &error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        let end = Place::new(good.len(), good.len());
        vec![Diagnostic::new(&Source::new(path, good), Code::Unreadable, end, "the file is not UTF-8")]
    })?;
    let source = Source::new(path, text);
    let kind = FileKind::of(&source);
    let source = match &kind {
        FileKind::Scenario { rules_file: Some(named) } => source.with_rules(rules(path, named)),
        _ => source,
    };
    Ok(Input { source, kind })
}

/// The scenario, and what is wrong with the files that its recipes name.
///
/// # Errors
/// Every mistake, if there is one.
pub fn load(source: &Source, overrides: &Overrides) -> Result<Loaded, Vec<Diagnostic>> {
    let loaded = scenario::load(source, overrides)?;
    let wrong = recipe::check(source, &loaded.scenario, |path| fs::read_to_string(path));
    if wrong.is_empty() { Ok(loaded) } else { Err(wrong) }
}

/// What cannot be read of it is told by the scenario, which has the place where it is named.
fn rules(scenario: &Path, named: &str) -> RulesFile {
    let path = scenario.parent().unwrap_or(Path::new("")).join(named);
    let text = bounded(&path).and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other));
    RulesFile { path, text: text.map_err(|error| error.to_string()) }
}

/// One byte too many is enough to see that a file is too large.
fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(SOURCE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// # Errors
/// What [`find`] and [`read`] tell, of all paths.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Input>, Vec<Diagnostic>> {
    let mut inputs = Vec::new();
    let (found, mut broken) = find(paths);
    for path in found {
        match read(&path) {
            Ok(input) => inputs.push(input),
            Err(diagnostics) => broken.extend(diagnostics),
        }
    }
    if broken.is_empty() { Ok(inputs) } else { Err(broken) }
}

fn unreadable(path: &Path, why: &str) -> Vec<Diagnostic> {
    let source = Source::new(path, "");
    vec![Diagnostic::new(&source, Code::Unreadable, Place::default(), format!("failed to read: {why}"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yml"] {
            fs::write(folder.path().join(name), "a: 1").unwrap();
        }
        let paths = [folder.path().to_owned(), folder.path().join("b.yaml")];
        let (found, broken) = find(&paths);
        assert!(broken.is_empty(), "{broken:?}");
        assert_eq!(found, [folder.path().join("a.yml"), folder.path().join("b.yaml")]);
    }

    #[test]
    fn every_path_that_cannot_be_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let [empty, latin] = ["empty", "latin.yaml"].map(|name| folder.path().join(name));
        fs::create_dir(&empty).unwrap();
        fs::write(&latin, b"name: \xe9").unwrap();
        let broken = read_all(&[empty, latin, folder.path().join("missing.yaml")]).unwrap_err();
        assert_eq!(broken.len(), 3, "{broken:?}");
        assert_eq!((broken[1].line, broken[1].column), (1, 7));
    }

    #[test]
    fn what_is_wrong_with_a_rules_file_is_left_to_the_scenario() {
        let folder = tempfile::tempdir().unwrap();
        let scenario = folder.path().join("a.yaml");
        fs::write(&scenario, "stack: {prometheus: {rules_file: alerts.yml}}").unwrap();
        let rules = || read(&scenario).unwrap().source.rules().unwrap().clone();
        assert!(rules().text.is_err(), "there is none");
        fs::write(folder.path().join("alerts.yml"), "groups: []").unwrap();
        assert_eq!(rules().text.as_deref(), Ok("groups: []"));
    }
}
