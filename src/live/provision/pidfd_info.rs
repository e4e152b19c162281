//! How a process ended, asked of its pidfd: also of one that is not our child. Linux 6.15 or later.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::Exit;

/// `PIDFD_GET_INFO`: `_IOWR(0xFF, 11, struct pidfd_info)`, with the structure's first version.
const GET_INFO: libc::Ioctl = (3 << 30 | 64 << 16 | 0xFF << 8 | 11) as libc::Ioctl;
/// `PIDFD_INFO_EXIT`, asked for and answered in `mask`.
const INFO_EXIT: u64 = 1 << 3;

/// `struct pidfd_info` of `linux/pidfd.h`, 64 bytes.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    /// As `waitpid` gives it.
    status: i32,
}

const _: () = assert!(size_of::<PidfdInfo>() == 64);

/// `None`: not yet known. An error: this kernel does not tell.
pub(super) fn exit_of(pidfd: &OwnedFd) -> io::Result<Option<Exit>> {
    let mut info = PidfdInfo { mask: INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the kernel writes at most the 64 bytes that the request's number states.
    let answered = unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO, &raw mut info) };
    if answered != 0 {
        let error = io::Error::last_os_error();
        // A process that has ended and is not yet reaped.
        return if error.raw_os_error() == Some(libc::ESRCH) { Ok(None) } else { Err(error) };
    }
    if info.mask & INFO_EXIT == 0 {
        return Ok(None);
    }
    let status = info.status;
    Ok(Some(Exit {
        code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
        signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
    }))
}
