//! Control groups of the harness's own: a limit on what a process tree may use of the machine.
//!
//! A process moves into a group of its own and back to where it was. That is the same for a child of
//! the harness and for a container's process, which is one of the host's, too. A container's process
//! can be limited where it is instead: it then sees the limit as its own. Version 1 has a
//! hierarchy for each controller, version 2 one for all; both want root.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const MOUNT: &str = "/sys/fs/cgroup";
/// Every group of a harness begins so; its owner's name follows.
const PREFIX: &str = "syncope-";
/// Of the processor's time is counted out in periods of this length, as the kernel has it by default.
const PERIOD_MICROS: u64 = 100_000;
/// The kernel takes no less.
const QUOTA_MICROS_MIN: u64 = 1_000;
const MILLION: u64 = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    Cpu,
    Memory,
}

impl Controller {
    const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A group that exists. Dropping it lets its processes go and removes it.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    root: PathBuf,
    controller: Controller,
    version: Version,
    /// Where its first process was before, below the hierarchy's root. `None` if it still is there: the
    /// group is another's.
    home: Option<PathBuf>,
}

impl Group {
    /// Makes an empty group for the process tree that begins with `pid`. `owner` is the harness, as
    /// `{pid}-{start}`.
    ///
    /// # Errors
    /// Why this machine has no such groups, or why this user may not make them.
    pub fn make(controller: Controller, owner: &str, pid: i32) -> Result<Self, String> {
        let (root, version) = hierarchy(controller)?;
        let path = root.join(format!("{PREFIX}{owner}.{pid}"));
        let home = Some(place_of(pid, controller, version).unwrap_or_default());
        fs::create_dir(&path).map_err(|error| format!("failed to make {}: {error}", path.display()))?;
        let group = Self { path, root, controller, version, home };
        if group.path.join(group.limit_file()).exists() {
            Ok(group)
        } else {
            Err(format!("the controller {} is not in force here", controller.name()))
        }
    }

    /// The group that the process is in already, if that is not this harness's own: a container's.
    #[must_use]
    pub fn around(controller: Controller, pid: i32) -> Option<Self> {
        let (root, version) = hierarchy(controller).ok()?;
        let place = place_of(pid, controller, version)?;
        let own = place_of(i32::try_from(std::process::id()).ok()?, controller, version)?;
        let path = below(&root, &place);
        let is_apart = place != own && place != Path::new("/");
        is_apart.then_some(Self { path, root, controller, version, home: None })
    }

    /// Moves the processes in, and shows that they are there.
    ///
    /// # Errors
    /// If one that lives is not there afterwards.
    pub fn admit(&self, pids: &[i32]) -> Result<String, String> {
        for pid in pids {
            // One that has ended needs no moving.
            let _ = fs::write(self.path.join("cgroup.procs"), pid.to_string());
        }
        let inside = self.members();
        let missing = |pid: &&i32| !inside.contains(pid) && Path::new(&format!("/proc/{pid}")).exists();
        match pids.iter().find(missing) {
            Some(pid) => Err(format!("pid {pid} did not go into {}", self.path.display())),
            None if inside.is_empty() => Err("there is no process to limit".to_owned()),
            None => {
                let pids: Vec<String> = inside.iter().map(ToString::to_string).collect();
                Ok(format!("pid {} in {}", pids.join(", "), self.path.display()))
            }
        }
    }

    /// So much of one processor's time, in parts per million.
    ///
    /// # Errors
    /// If the kernel does not take it.
    pub fn limit_cpu(&self, ppm: u32) -> Result<String, String> {
        let quota = (PERIOD_MICROS * u64::from(ppm) / MILLION).max(QUOTA_MICROS_MIN);
        match self.version {
            Version::One => {
                self.write("cpu.cfs_period_us", &PERIOD_MICROS.to_string())?;
                self.write("cpu.cfs_quota_us", &quota.to_string())?;
            }
            Version::Two => self.write("cpu.max", &format!("{quota} {PERIOD_MICROS}"))?,
        }
        Ok(format!("{} reads {}", self.limit_file(), self.read(self.limit_file())?))
    }

    /// So much beyond what the group has now, the cache of files aside: the kernel gives that up first.
    ///
    /// # Errors
    /// If the kernel does not take it.
    pub fn limit_memory(&self, bytes: u64) -> Result<String, String> {
        let (usage, cache) = match self.version {
            Version::One => ("memory.usage_in_bytes", "total_inactive_file"),
            Version::Two => ("memory.current", "inactive_file"),
        };
        let used: u64 = self.read(usage)?.parse().unwrap_or(0);
        let bytes = bytes + used.saturating_sub(self.figure("memory.stat", cache).unwrap_or(0));
        self.write(self.limit_file(), &bytes.to_string())?;
        // Where there is swap, it must not help; where it is not counted, there is none to speak of.
        let _ = match self.version {
            Version::One => self.write("memory.memsw.limit_in_bytes", &bytes.to_string()),
            Version::Two => self.write("memory.swap.max", "0"),
        };
        Ok(format!("{} reads {}", self.limit_file(), self.read(self.limit_file())?))
    }

    /// How many processes of the group the kernel has killed for want of memory.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let file = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        self.figure(file, "oom_kill").unwrap_or(0)
    }

    /// In how many periods the group was held up.
    #[must_use]
    pub fn throttled(&self) -> u64 {
        self.figure("cpu.stat", "nr_throttled").unwrap_or(0)
    }

    fn limit_file(&self) -> &'static str {
        match (self.controller, self.version) {
            (Controller::Cpu, Version::One) => "cpu.cfs_quota_us",
            (Controller::Cpu, Version::Two) => "cpu.max",
            (Controller::Memory, Version::One) => "memory.limit_in_bytes",
            (Controller::Memory, Version::Two) => "memory.max",
        }
    }

    fn members(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn write(&self, file: &str, text: &str) -> Result<(), String> {
        fs::write(self.path.join(file), text).map_err(|error| format!("failed to set {file}: {error}"))
    }

    fn read(&self, file: &str) -> Result<String, String> {
        let text = fs::read_to_string(self.path.join(file));
        Ok(text.map_err(|error| format!("failed to read {file}: {error}"))?.trim().to_owned())
    }

    /// The value of a line `name value`.
    fn figure(&self, file: &str, name: &str) -> Option<u64> {
        let text = self.read(file).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line?.trim().parse().ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(home) = &self.home else {
            // One that is gone has no limit any more.
            let _ = match self.version {
                Version::One => self.write(self.limit_file(), "-1"),
                Version::Two => self.write(self.limit_file(), "max"),
            };
            return;
        };
        let home = below(&self.root, home).join("cgroup.procs");
        for pid in self.members() {
            // One that has ended needs no moving; a home that is gone had no other process.
            if fs::write(&home, pid.to_string()).is_err() {
                let _ = fs::write(self.root.join("cgroup.procs"), pid.to_string());
            }
        }
        // What is still in it ends with its scenario; `sweep` looks again.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Why this machine or this user cannot limit that, if so.
///
/// # Errors
/// The reason.
pub fn permitted(controller: Controller, owner: &str) -> Result<(), String> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    Group::make(controller, &format!("{owner}.probe"), own).map(drop)
}

/// Removes the groups whose owner `gone` says is gone, and returns their names; an error for each that
/// could not be.
pub fn sweep(gone: impl Fn(&str) -> bool) -> Vec<Result<String, (String, io::Error)>> {
    let mut swept = Vec::new();
    for root in
        [Controller::Cpu, Controller::Memory].map(hierarchy).into_iter().flatten().map(|found| found.0)
    {
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('.').next());
            if owner.is_some_and(&gone) {
                let removed = fs::remove_dir(entry.path());
                swept.push(removed.map(|()| name.clone()).map_err(|error| (name, error)));
            }
        }
    }
    swept
}

fn hierarchy(controller: Controller) -> Result<(PathBuf, Version), String> {
    let one = Path::new(MOUNT).join(controller.name());
    if one.join("cgroup.procs").exists() {
        return Ok((one, Version::One));
    }
    let two = PathBuf::from(MOUNT);
    let known = fs::read_to_string(two.join("cgroup.controllers")).unwrap_or_default();
    if !known.split_whitespace().any(|name| name == controller.name()) {
        return Err(format!("this machine has no control groups for {}", controller.name()));
    }
    // In force already on most machines; where it is not and may not be, the group lacks its files.
    let _ = fs::write(two.join("cgroup.subtree_control"), format!("+{}", controller.name()));
    Ok((two, Version::Two))
}

fn below(root: &Path, place: &Path) -> PathBuf {
    root.join(place.strip_prefix("/").unwrap_or(place))
}

/// Where the process is, below the hierarchy's root.
fn place_of(pid: i32, controller: Controller, version: Version) -> Option<PathBuf> {
    place_in(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?, controller, version)
}

fn place_in(text: &str, controller: Controller, version: Version) -> Option<PathBuf> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_it = match version {
            Version::One => controllers.split(',').any(|name| name == controller.name()),
            Version::Two => number == "0" && controllers.is_empty(),
        };
        is_it.then(|| PathBuf::from(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_in_either_version() {
        let text = "9:name=systemd:/\n4:cpu,cpuacct:/docker/12\n3:memory:/a:b\n0::/unified\n";
        for (controller, version, expected) in [
            (Controller::Cpu, Version::One, Some("/docker/12")),
            (Controller::Memory, Version::One, Some("/a:b")),
            (Controller::Memory, Version::Two, Some("/unified")),
        ] {
            assert_eq!(place_in(text, controller, version), expected.map(PathBuf::from), "{controller:?}");
        }
        assert_eq!(place_in("1:cpu:/\n", Controller::Memory, Version::One), None);
    }

    #[test]
    fn a_group_takes_a_process_in_and_lets_it_go() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let before = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        match Group::make(Controller::Cpu, "0-0", pid) {
            Ok(group) => {
                assert!(group.limit_cpu(50_000).unwrap().contains("5000"));
                assert!(group.admit(&[pid]).unwrap().contains(&pid.to_string()));
                assert!(fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap().contains(PREFIX));
                let path = group.path.clone();
                drop(group);
                assert!(!path.exists());
                assert_eq!(fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap(), before);
            }
            // Not root, or no such controller: then nothing was made.
            Err(reason) => assert!(sweep(|owner| owner == "0-0").is_empty(), "{reason}"),
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
