//! What a machine has for running scenarios, and how quiet it is.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::places;
use super::template::{Postgres, version_of};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Here,
    Missing,
    /// Neither good nor bad.
    Note,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub what: &'static str,
    pub standing: Standing,
    pub detail: String,
    /// What to do about it.
    pub hint: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    pub findings: Vec<Finding>,
    pub docker_runs: bool,
    pub process_runs: bool,
}

/// Looks at everything, and listens for scheduling delays for so long.
#[must_use]
pub fn survey(listen: Duration) -> Survey {
    let mut findings = Vec::new();
    let docker_runs = survey_engine(&mut findings);
    let redis = places::find_program("redis-server", &[]);
    let redis_version = redis.as_deref().and_then(version_of);
    let postgres = Postgres::find();
    let process_runs = redis_version.is_some() && postgres.is_some();
    findings.push(program("redis-server", redis_version, "apt-get install -y redis-server"));
    let postgres = postgres.and_then(|postgres| version_of(&postgres.server));
    findings.push(program("postgres", postgres, "apt-get install -y postgresql"));
    let faketime = places::libfaketime().map(|path| path.display().to_string());
    findings.push(program("libfaketime", faketime, "apt-get install -y faketime (for clock faults)"));
    for (what, program, install) in [
        ("npm", "npm", "apt-get install -y nodejs npm"),
        ("python3", "python3", "apt-get install -y python3-venv"),
    ] {
        let found = places::find_program(program, &[]).map(|path| path.display().to_string());
        let detail = found.unwrap_or_else(|| format!("not installed, for recipes ({install})"));
        findings.push(note(what, detail));
    }
    let pidfd = pidfd_open(getpid(), PidfdFlags::empty());
    findings.push(Finding {
        what: "pidfd",
        standing: if pidfd.is_ok() { Standing::Here } else { Standing::Missing },
        detail: pidfd.as_ref().map_or_else(ToString::to_string, |_| "supported".into()),
        hint: pidfd.is_err().then(|| "Linux 5.4 or later is needed".into()),
    });
    findings.push(note("cgroups", cgroups()));
    findings.push(note("cores", std::thread::available_parallelism().map_or(1, usize::from).to_string()));
    findings.push(note("memory", memory()));
    findings.push(note("scratch", places::scratch().display().to_string()));
    findings.push(quietness(listen));
    Survey { findings, docker_runs, process_runs: process_runs && pidfd.is_ok() }
}

#[cfg(feature = "docker")]
fn survey_engine(findings: &mut Vec<Finding>) -> bool {
    use super::engine;
    use super::images::local_images;

    let asked = tokio::runtime::Builder::new_current_thread().enable_all().build().map(|runtime| {
        runtime.block_on(async {
            let engine = engine::detect().await?;
            let images = local_images(&engine).await;
            Ok::<_, String>((engine.version, images))
        })
    });
    match asked.map_err(|error| error.to_string()).and_then(|asked| asked) {
        Ok((version, images)) => {
            findings.push(program("container engine", Some(version), ""));
            for (what, found) in images {
                let detail =
                    found.unwrap_or_else(|| "not here: pulled or built (some 30 s) when first needed".into());
                findings.push(note(what, detail));
            }
            let others = ["/usr/sbin", "/sbin"].map(Into::into);
            let builder = places::find_program("mmdebstrap", &others);
            let builder = builder.or_else(|| places::find_program("debootstrap", &others));
            let detail = builder.map_or_else(
                || "not installed: images can only be pulled (apt-get install -y mmdebstrap)".into(),
                |path| path.display().to_string(),
            );
            findings.push(note("image builder", detail));
            true
        }
        Err(error) => {
            findings.push(Finding {
                what: "container engine",
                standing: Standing::Missing,
                detail: error,
                hint: Some("apt-get install -y docker.io, then start dockerd".into()),
            });
            false
        }
    }
}

#[cfg(not(feature = "docker"))]
fn survey_engine(findings: &mut Vec<Finding>) -> bool {
    findings.push(note("container engine", "this syncope was built without the container backend".into()));
    false
}

fn program(what: &'static str, found: Option<String>, install: &str) -> Finding {
    match found {
        Some(detail) => Finding { what, standing: Standing::Here, detail, hint: None },
        None => {
            let (standing, hint) = (Standing::Missing, Some(install.to_owned()));
            Finding { what, standing, detail: "not installed".into(), hint }
        }
    }
}

fn note(what: &'static str, detail: String) -> Finding {
    Finding { what, standing: Standing::Note, detail, hint: None }
}

fn cgroups() -> String {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        "version 2".into()
    } else if Path::new("/sys/fs/cgroup").exists() {
        "version 1".into()
    } else {
        "none".into()
    }
}

fn memory() -> String {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let gibibytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kibibytes / 1024 / 1024)
    };
    match (gibibytes("MemTotal"), gibibytes("MemAvailable")) {
        (Some(total), Some(available)) => format!("{total} GiB, {available} GiB available"),
        _ => "unknown".into(),
    }
}

/// How late a thread wakes that asks for a millisecond's sleep, as jHiccup measures it.
fn quietness(listen: Duration) -> Finding {
    const SLEEP: Duration = Duration::from_millis(1);
    const QUIET: Duration = Duration::from_millis(10);
    let begun = Instant::now();
    let mut delays = Vec::new();
    while begun.elapsed() < listen {
        let asleep = Instant::now();
        std::thread::sleep(SLEEP);
        delays.push(asleep.elapsed().saturating_sub(SLEEP));
    }
    delays.sort();
    let Some(&max) = delays.last() else { return note("quietness", "not listened for".into()) };
    let (p50, p99) = (delays[delays.len() / 2], delays[delays.len() * 99 / 100]);
    let detail = format!("scheduling delay p50 {p50:.2?}, p99 {p99:.2?}, max {max:.2?} in {listen:?}");
    let hint = (p99 > QUIET).then(|| "this host is busy: timing verdicts may be inconclusive".into());
    Finding { what: "quietness", standing: Standing::Note, detail, hint }
}
