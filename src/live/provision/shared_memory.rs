//! Postgres's System V shared memory: 56 bytes by which a server knows that no other one works in its
//! data directory. A server that ends removes them, one that is killed cannot.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::undo::Cleaned;

const LOCK_FILE: &str = "postmaster.pid";
const SEGMENTS: &str = "/proc/sysvipc/shm";
/// A killed process lets go of its memory while it dies, which a busy host may draw out.
const LET_GO_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Removes the segments of the dead servers whose data directories lie in `directory`. To be called
/// before the directory goes: nothing else names them.
pub(super) fn release(directory: &Path) -> Cleaned {
    let mut cleaned = Cleaned::default();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if let Some(server) = Server::of(&entry.path()) {
            cleaned.add(server.release());
        }
    }
    cleaned
}

/// A server, living or dead, as its data directory tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Server {
    pid: i32,
    user: u32,
    /// What Postgres derives its first key from: the low bits of the directory's inode.
    inode_key: i32,
    /// Key and id; not there yet if the server was killed while it started.
    announced: Option<(i32, i32)>,
}

impl Server {
    /// `None` if there is no lock file: no server works here, or it ended in good order.
    fn of(data: &Path) -> Option<Self> {
        let lock = fs::read_to_string(data.join(LOCK_FILE)).ok()?;
        let about = fs::metadata(data).ok()?;
        // A single-user server writes its pid negated.
        let pid: i32 = lock.lines().next()?.trim().parse().ok()?;
        let announced = lock.lines().nth(6).and_then(|line| {
            let mut words = line.split_whitespace();
            // The key is written without a sign.
            Some((words.next()?.parse::<u32>().ok()?.cast_signed(), words.next()?.parse().ok()?))
        });
        let low_bits = u32::try_from(about.ino() & u64::from(u32::MAX)).ok()?;
        Some(Self { pid: pid.abs(), user: about.uid(), inode_key: low_bits.cast_signed(), announced })
    }

    /// An id is given again, a key may be a stranger's, and so may a pid: all must agree.
    fn owns(&self, segment: &Segment) -> bool {
        segment.creator == self.pid
            && segment.user == self.user
            && match self.announced {
                Some((key, id)) => (segment.key, segment.id) == (key, id),
                None => segment.key == self.inode_key,
            }
    }

    fn release(&self) -> Cleaned {
        let mut cleaned = Cleaned::default();
        let begun = Instant::now();
        while let Some(segment) = segments().into_iter().find(|segment| self.owns(segment)) {
            let what = format!("shared memory {} of postgres (pid {})", segment.id, self.pid);
            if segment.attached > 0 {
                if begun.elapsed() > LET_GO_WITHIN {
                    cleaned.failed.push(format!("{what}: {} processes still use it", segment.attached));
                    return cleaned;
                }
                thread::sleep(LOOK_EVERY);
                continue;
            }
            // SAFETY: IPC_RMID ignores the buffer.
            if unsafe { libc::shmctl(segment.id, libc::IPC_RMID, std::ptr::null_mut()) } == 0 {
                cleaned.removed.push(what);
            } else {
                cleaned.failed.push(format!("{what}: {}", std::io::Error::last_os_error()));
            }
            return cleaned;
        }
        cleaned
    }
}

/// A line of `/proc/sysvipc/shm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    key: i32,
    id: i32,
    creator: i32,
    attached: u64,
    /// Who created it.
    user: u32,
}

fn segments() -> Vec<Segment> {
    // A kernel without System V memory has no Postgres that needs it.
    fs::read_to_string(SEGMENTS).unwrap_or_default().lines().filter_map(Segment::parse).collect()
}

impl Segment {
    /// Columns: key, shmid, perms, size, cpid, lpid, nattch, uid, gid, cuid, and more.
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |column: usize| words.get(column)?.parse::<i64>().ok();
        Some(Self {
            key: number(0)?.try_into().ok()?,
            id: number(1)?.try_into().ok()?,
            creator: number(4)?.try_into().ok()?,
            attached: number(6)?.try_into().ok()?,
            user: number(9)?.try_into().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// A segment of this process, gone with the value.
    struct Mine(i32);

    impl Mine {
        fn create(key: i32) -> Self {
            // SAFETY: no memory is mapped.
            let id = unsafe { libc::shmget(key, 56, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) };
            assert!(id >= 0, "{}", std::io::Error::last_os_error());
            Self(id)
        }

        fn is_there(&self) -> bool {
            segments().iter().any(|segment| segment.id == self.0)
        }
    }

    impl Drop for Mine {
        fn drop(&mut self) {
            // SAFETY: as above. It may be gone already.
            unsafe { libc::shmctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) };
        }
    }

    /// Looks for this process's segment by a lock file with these lines 1 and 7.
    fn is_released(pid: i32, line_7: impl FnOnce(i32, i32) -> String) -> bool {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        fs::create_dir(&data).unwrap();
        let key = i32::try_from(fs::metadata(&data).unwrap().ino() & 0x7fff_ffff).unwrap();
        let mine = Mine::create(key);
        let text = format!("{pid}\n{}\n0\n5432\n\n\n{}\n", data.display(), line_7(key, mine.0));
        fs::write(data.join(LOCK_FILE), text).unwrap();
        let cleaned = release(directory.path());
        assert_eq!(cleaned.failed, Vec::<String>::new());
        assert_eq!(cleaned.removed.len(), usize::from(!mine.is_there()));
        !mine.is_there()
    }

    #[test]
    fn a_segment_goes_only_if_the_lock_file_and_the_kernel_agree_on_it() {
        let me = i32::try_from(std::process::id()).unwrap();
        let announced = |key, id| format!("{key:>9} {id:>9}");
        assert!(is_released(me, announced));
        assert!(is_released(-me, announced), "of a single-user server");
        assert!(is_released(me, |_, _| String::new()), "of a server killed before it announced it");
        assert!(!is_released(1, announced), "another process created it");
        assert!(!is_released(me, |key, id| announced(key + 1, id)), "its id was given again");
        assert!(!is_released(me, |key, id| announced(key, id + 1)), "it is another segment");
    }

    #[test]
    fn a_segment_that_a_dying_server_still_uses_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        fs::create_dir(&data).unwrap();
        let mine = Mine::create(libc::IPC_PRIVATE);
        // Of a key 0, as IPC_PRIVATE is.
        let text = format!("{}\n\n\n\n\n\n0 {}\n", std::process::id(), mine.0);
        fs::write(data.join(LOCK_FILE), text).unwrap();
        // SAFETY: the address is not read, and let go below.
        let address = unsafe { libc::shmat(mine.0, std::ptr::null(), 0) };
        assert_ne!(address.addr(), usize::MAX, "{}", std::io::Error::last_os_error());
        let address = address.expose_provenance();
        let letting_go = thread::spawn(move || {
            // The wait is under way as soon as another process could have seen the attachment.
            let looked = Command::new("cat").arg(SEGMENTS).stdout(Stdio::null()).status();
            assert!(looked.unwrap().success());
            // SAFETY: mapped above, and used by nobody.
            assert_eq!(unsafe { libc::shmdt(std::ptr::with_exposed_provenance(address)) }, 0);
        });
        let cleaned = release(directory.path());
        letting_go.join().unwrap();
        assert_eq!((cleaned.removed.len(), cleaned.failed.len()), (1, 0), "{cleaned:?}");
        assert!(!mine.is_there());
    }
}
