//! Where Syncope keeps things: what outlives a run, and what must not.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Every temporary directory of a run begins so.
pub(super) const PREFIX: &str = "syncope-";
const SHARED_MEMORY: &str = "/dev/shm";
/// A scenario's data takes some 40 MiB; a tmpfs with less room than this is not used.
const SHARED_MEMORY_BYTES_MIN: u64 = 512 * 1024 * 1024;

/// Per user: templates of data directories, and the journals of runs.
pub(super) fn cache() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("SYNCOPE_CACHE_DIR")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("syncope")))
        .or_else(|| Some(set("HOME")?.join(".cache/syncope")))
        .unwrap_or_else(|| std::env::temp_dir().join(format!("syncope-cache-{}", user_id())))
}

pub(super) fn journals() -> io::Result<PathBuf> {
    let runs = cache().join("runs");
    fs::create_dir_all(&runs)?;
    Ok(runs)
}

/// Where runs make their temporary directories: memory if there is enough, so that no disk's
/// hiccups are measured.
pub(super) fn scratch() -> PathBuf {
    let roomy = rustix::fs::statvfs(SHARED_MEMORY)
        .is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) >= SHARED_MEMORY_BYTES_MIN);
    let writable = rustix::fs::access(SHARED_MEMORY, rustix::fs::Access::WRITE_OK).is_ok();
    if roomy && writable { PathBuf::from(SHARED_MEMORY) } else { std::env::temp_dir() }
}

/// Everywhere that an earlier run may have made one.
pub(super) fn all_scratch() -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from(SHARED_MEMORY), std::env::temp_dir()];
    places.dedup();
    places
}

/// A new directory that every user may pass through and only its owner may list: servers run as
/// another user than root.
pub(super) fn create_passable(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o711).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o711))
}

/// The first of the programs' directories that has it: PATH, then `others`.
pub(super) fn find_program(name: &str, others: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&path).chain(others.iter().cloned()).collect();
    directories.into_iter().map(|directory| directory.join(name)).find(|program| is_executable(program))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// The program of this package with that name: named by `variable`, or this very program, or beside
/// it (a test's own program is one directory further down).
pub(super) fn own_program(name: &str, variable: &str) -> io::Result<PathBuf> {
    if let Some(program) = std::env::var_os(variable) {
        return Ok(program.into());
    }
    let current = std::env::current_exe()?;
    if current.file_stem() == Some(OsStr::new(name)) {
        return Ok(current);
    }
    current
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(name))
        .find(|program| is_executable(program))
        .ok_or_else(|| {
            let message = format!("the program {name} is not beside {}", current.display());
            io::Error::new(io::ErrorKind::NotFound, message)
        })
}

/// libfaketime's variant for programs with threads.
pub(super) fn libfaketime() -> Option<PathBuf> {
    const NAME: &str = "libfaketimeMT.so.1";
    if let Some(path) = std::env::var_os("SYNCOPE_LIBFAKETIME") {
        return Some(path.into());
    }
    let fixed = ["/usr/lib/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime"];
    // Debian's directory is named after the machine's architecture.
    let multiarch =
        fs::read_dir("/usr/lib").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    multiarch
        .map(|directory| directory.join("faketime"))
        .chain(fixed.map(PathBuf::from))
        .map(|directory| directory.join(NAME))
        .find(|path| path.is_file())
}

pub(super) fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}
