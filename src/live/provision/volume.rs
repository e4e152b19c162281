//! A volume of its own for a store's data, so that a fault can fill it: a tmpfs of a fixed size, mounted
//! in the scenario's directory, and unmounted with that ([`undo::remove_directory`](super::undo)).

use std::collections::BTreeSet;
use std::ffi::{CString, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::places;
use super::undo::Cleaned;
use crate::backend::BackendError;
use crate::fault::FaultKind;
use crate::fault::trouble::Trouble;
use crate::names::Store;
use crate::scenario::Scenario;

const MOUNTS: &str = "/proc/self/mountinfo";
const MEBIBYTE: u64 = 1 << 20;

/// Who may do what in the volume's root directory.
#[derive(Debug, Clone, Copy)]
pub(super) enum Root {
    /// Its user alone: it is a data directory.
    Of(Option<(u32, u32)>),
    /// Everybody: who works there is the container's affair.
    #[cfg(feature = "docker")]
    Open,
}

/// The stores whose disk a fault of the scenario fills.
pub(super) fn wanted(scenario: &Scenario) -> BTreeSet<Store> {
    let store = |kind: &FaultKind| match kind {
        FaultKind::Trouble { trouble: Trouble::DiskFull { store }, .. } => Some(*store),
        _ => None,
    };
    scenario.faults.iter().filter_map(|fault| store(&fault.kind)).collect()
}

/// Mounts the store's volume in the scenario's directory, which is in the journal by now: what removes
/// that unmounts this.
///
/// # Errors
/// `Unsupported` if the harness is not privileged: it says so of the scenario, which is not run here.
pub(super) fn mount(site: &Path, store: Store, root: Root) -> Result<PathBuf, BackendError> {
    let path = site.join(store.as_str());
    let unprivileged = |why: &str| {
        BackendError::Unsupported(format!(
            "the scenario fills the disk of {store}, and a volume cannot be mounted here: {why}"
        ))
    };
    if places::user_id() != 0 {
        return Err(unprivileged("that takes root"));
    }
    let failed = |error: io::Error| super::process::failed(&format!("mount a volume for {store}"), &error);
    fs::create_dir(&path).map_err(failed)?;
    let options = match root {
        #[cfg(feature = "docker")]
        Root::Open => format!("size={},mode=0777", bytes(store)),
        Root::Of(user) => {
            let (user, group) = user.unwrap_or((0, 0));
            format!("size={},mode=0700,uid={user},gid={group}", bytes(store))
        }
    };
    match mount_tmpfs(&path, &options) {
        Ok(()) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(unprivileged(&error.to_string()))
        }
        Err(error) => Err(failed(error)),
    }
}

/// Unmounts what is mounted in the directory or below, the innermost first.
pub(super) fn unmount_all(directory: &Path) -> Cleaned {
    let mut cleaned = Cleaned::default();
    let mounts = fs::read(MOUNTS).unwrap_or_default();
    for mounted in mount_points(&mounts).into_iter().rev().filter(|path| path.starts_with(directory)) {
        let what = format!("mount {}", mounted.display());
        match unmount(&mounted) {
            Ok(()) => cleaned.removed.push(what),
            Err(error) => cleaned.failed.push(format!("{what}: {error}")),
        }
    }
    cleaned
}

/// A Postgres takes some 40 MiB before its first row, and its log grows by segments of 1 or 16 MiB.
const fn bytes(store: Store) -> u64 {
    match store {
        Store::Redis => 16 * MEBIBYTE,
        Store::Postgres => 128 * MEBIBYTE,
    }
}

fn mount_tmpfs(path: &Path, options: &str) -> io::Result<()> {
    let (path, options) = (CString::new(path.as_os_str().as_bytes())?, CString::new(options)?);
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // SAFETY: all pointers are to C strings that outlive the call.
    let mounted = unsafe {
        libc::mount(c"syncope".as_ptr(), path.as_ptr(), c"tmpfs".as_ptr(), flags, options.as_ptr().cast())
    };
    if mounted == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// At once, for everybody who looks: a process that still works in it keeps it alive for itself alone.
fn unmount(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the pointer is to a C string that outlives the call.
    let unmounted = unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) };
    if unmounted == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// In the order in which they were mounted. The fifth word of each line; a blank in it is `\040`
/// (proc_pid_mountinfo(5)).
fn mount_points(mounts: &[u8]) -> Vec<PathBuf> {
    let lines = mounts.split(|byte| *byte == b'\n');
    lines.filter_map(|line| Some(unescaped(line.split(|byte| *byte == b' ').nth(4)?))).collect()
}

fn unescaped(word: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_with_their_blanks() {
        let mounts = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\n\
            37 35 0:51 / /tmp/a\\040b\\134c rw - tmpfs syncope rw\n";
        assert_eq!(mount_points(mounts), [PathBuf::from("/mnt2"), PathBuf::from("/tmp/a b\\c")]);
    }

    #[test]
    fn a_volume_has_its_size_and_goes_with_its_directory() {
        if places::user_id() != 0 {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let volume = match mount(directory.path(), Store::Redis, Root::Of(None)) {
            Ok(volume) => volume,
            // A container's root may have no right to mount.
            Err(BackendError::Unsupported(_)) => return,
            Err(error) => panic!("{error}"),
        };
        let about = rustix::fs::statvfs(&volume).unwrap();
        assert_eq!(about.f_blocks * about.f_frsize, bytes(Store::Redis));
        fs::write(volume.join("data"), "x").unwrap();
        let cleaned = super::super::undo::remove_directory(directory.path());
        assert_eq!(cleaned.failed, Vec::<String>::new());
        assert!(!directory.path().exists());
        assert!(!mount_points(&fs::read(MOUNTS).unwrap()).contains(&volume));
    }
}
