//! How much memory this process uses, and how much it may use.

use std::fs;
use std::path::{Path, PathBuf};

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    pub used: u64,
    /// What the control group allows; none if it allows anything.
    pub limit: Option<u64>,
}

/// Under a limit: what the whole control group uses, without the file cache that the kernel would
/// give up before it kills. Without: this process's resident pages. `None` if nothing can be read.
pub(super) fn read() -> Option<Reading> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limited = [Version::Two, Version::One].into_iter().find_map(|version| limited(version, &groups));
    limited.or_else(|| Some(Reading { used: resident()?, limit: None }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A limit above this is none: without one, version 1 shows the largest number of whole pages.
const LIMIT_MAX: u64 = 1 << 60;

fn limited(version: Version, groups: &str) -> Option<Reading> {
    let (limit, usage, cache) = match version {
        Version::One => ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        Version::Two => ("memory.max", "memory.current", "inactive_file"),
    };
    // A container may see its group's path on the host, and its own files at the mount's root.
    let folder = folders(version, groups)?.into_iter().find(|folder| folder.join(limit).exists())?;
    let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    let limit = number(limit).filter(|limit| *limit < LIMIT_MAX)?;
    let cache = cached(&fs::read_to_string(folder.join("memory.stat")).unwrap_or_default(), cache);
    Some(Reading { used: number(usage)?.saturating_sub(cache), limit: Some(limit) })
}

fn folders(version: Version, groups: &str) -> Option<[PathBuf; 2]> {
    let mount = Path::new(match version {
        Version::One => "/sys/fs/cgroup/memory",
        Version::Two => "/sys/fs/cgroup",
    });
    let path = path_of(version, groups)?;
    Some([mount.join(path.trim_start_matches('/')), mount.to_owned()])
}

/// The group's path in `/proc/self/cgroup`, whose lines are `number:controllers:path`.
fn path_of(version: Version, groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let fits = match version {
            Version::One => controllers.split(',').any(|controller| controller == "memory"),
            Version::Two => controllers.is_empty(),
        };
        fits.then_some(path)
    })
}

fn cached(stat: &str, name: &str) -> u64 {
    let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0)
}

fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = size.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_found_in_either_version() {
        let one = "12:cpu,cpuacct:/a\n4:memory:/docker/b\n1:name=systemd:/c\n";
        assert_eq!(path_of(Version::One, one), Some("/docker/b"));
        assert_eq!(path_of(Version::Two, one), None);
        assert_eq!(path_of(Version::Two, "0::/system.slice/d:e\n"), Some("/system.slice/d:e"));
    }

    #[test]
    fn the_cache_is_read_by_its_whole_name() {
        let stat = "inactive_file 4096\ntotal_inactive_file 8192\n";
        assert_eq!((cached(stat, "inactive_file"), cached(stat, "total_inactive_file")), (4_096, 8_192));
        assert_eq!(cached("active_file 1\n", "inactive_file"), 0);
    }

    #[test]
    fn this_process_uses_something() {
        assert!(read().is_some_and(|reading| reading.used > 100_000));
    }
}
