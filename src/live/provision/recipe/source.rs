//! A copy of a program's source, for one scenario: nothing is written into the folder of its author.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::backend::BackendError;

/// A worker's source is small: more than this is a folder that was not meant.
const FILES_MAX: u32 = 10_000;
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Copies the folder's files, without what begins with a dot, `node_modules` and `__pycache__`.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), BackendError> {
    let mut copied = Copied::default();
    copied.folder(from, to).map_err(|error| {
        let what = format!("failed to copy {}: {error}", from.display());
        let hint = "`source: FOLDER` in the recipe names one that holds the program alone".into();
        BackendError::Environment { what, hint }
    })
}

#[derive(Default)]
struct Copied {
    files: u32,
    bytes: u64,
}

impl Copied {
    fn folder(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut pending = vec![(from.to_path_buf(), to.to_path_buf())];
        while let Some((from, to)) = pending.pop() {
            fs::create_dir(&to)?;
            for entry in fs::read_dir(&from)? {
                let entry = entry?;
                let name = entry.file_name();
                if stays_out(&name.to_string_lossy()) {
                    continue;
                }
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    pending.push((entry.path(), to.join(name)));
                } else if kind.is_symlink() {
                    // As it is written: within the folder it leads to the copy.
                    symlink(fs::read_link(entry.path())?, to.join(name))?;
                } else if kind.is_file() {
                    self.count(entry.metadata()?.len())?;
                    fs::copy(entry.path(), to.join(name))?;
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, bytes: u64) -> io::Result<()> {
        self.files += 1;
        self.bytes += bytes;
        if self.files > FILES_MAX || self.bytes > BYTES_MAX {
            let limit = format!("more than {FILES_MAX} files or {} MiB", BYTES_MAX / 1024 / 1024);
            return Err(io::Error::other(limit));
        }
        Ok(())
    }
}

fn stays_out(name: &str) -> bool {
    name.starts_with('.') || name == "node_modules" || name == "__pycache__"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_source_and_nothing_that_is_installed_or_hidden() {
        let directory = tempfile::tempdir().unwrap();
        let from = directory.path().join("from");
        for folder in ["lib", "node_modules/x", ".git", "lib/__pycache__"] {
            fs::create_dir_all(from.join(folder)).unwrap();
        }
        for file in ["worker.js", "lib/a.js", "node_modules/x/index.js", ".git/HEAD", ".env"] {
            fs::write(from.join(file), file).unwrap();
        }
        symlink("lib/a.js", from.join("b.js")).unwrap();
        let to = directory.path().join("to");
        copy(&from, &to).unwrap();
        let mut names: Vec<_> = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["b.js", "lib", "worker.js"]);
        assert_eq!(fs::read_to_string(to.join("b.js")).unwrap(), "lib/a.js");
        assert_eq!(fs::read_dir(to.join("lib")).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_was_not_meant_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let from = directory.path().join("from");
        fs::create_dir(&from).unwrap();
        let large = fs::File::create(from.join("large")).unwrap();
        large.set_len(BYTES_MAX + 1).unwrap();
        let error = copy(&from, &directory.path().join("to")).unwrap_err();
        assert!(error.to_string().contains("more than 10000 files or 64 MiB"), "{error}");
        assert!(error.hint().is_some());
    }
}
