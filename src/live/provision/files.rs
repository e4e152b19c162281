//! The files that a scenario gives a foreign process.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Writes each text at its relative path below the directory, readable for every user whatever the umask: the
/// process may be another one in its container. No files, no directory.
pub(super) fn write(directory: &Path, files: &BTreeMap<String, String>) -> io::Result<()> {
    for (path, text) in files {
        let path = directory.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
            let made = parent.ancestors().take_while(|folder| folder.starts_with(directory));
            for folder in made.chain(directory.parent()) {
                fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
            }
        }
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_may_read_what_is_written() {
        let run = tempfile::tempdir().unwrap();
        let site = run.path().join("files");
        let directory = site.join("worker-1");
        let files = BTreeMap::from([("a/b/c".to_owned(), "text".to_owned())]);
        // As under a strict umask.
        fs::create_dir_all(directory.join("a")).unwrap();
        for folder in [&site, &directory, &directory.join("a")] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        }
        write(&directory, &files).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folders = [site, directory.clone(), directory.join("a"), directory.join("a/b")];
        assert_eq!(folders.map(|folder| mode(&folder)), [0o755; 4]);
        assert_eq!(mode(&directory.join("a/b/c")), 0o644);
        assert_eq!(fs::read_to_string(directory.join("a/b/c")).unwrap(), "text");
        write(&run.path().join("none"), &BTreeMap::new()).unwrap();
        assert!(!run.path().join("none").exists());
    }
}
