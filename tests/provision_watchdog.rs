//! A kill -9 of the harness leaves nothing: neither of a run in full swing, nor of one that is just
//! bringing up its stores.

mod provision_support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use provision_support::{place, postgres_segments, scenario, shell, until};
use syncope::fault::trouble::Trouble;
use syncope::fault::{Fault, FaultId, FaultKind, OutageKind, Trigger};
use syncope::live::provision::BackendKind;
use syncope::names::Store;
use syncope::scenario::RedisDurability;
use syncope::time::Span;

/// Where this program is the harness, if [`RUN`] is set.
const HARNESS: &str = "a_killed_harness_leaves_no_process_and_no_directory";
const RUN: &str = "SYNCOPE_TEST_RUN";
const BACKEND: &str = "SYNCOPE_TEST_BACKEND";

/// In the name of a run whose Postgres is killed, and so leaves its shared memory; others pause it.
const KILLS_POSTGRES: &str = "outage";

/// In the name of a run whose stores have volumes of their own.
const HAS_VOLUMES: &str = "volumes";

/// The harness that the tests kill. It is this program again, in the test [`HARNESS`].
#[tokio::main]
async fn be_a_harness(run: String) {
    let kind =
        if std::env::var(BACKEND).unwrap() == "docker" { BackendKind::Docker } else { BackendKind::Process };
    let image = (kind == BackendKind::Docker).then_some("syncope/redis:7");
    let spec = shell("worker-1", "setsid sleep 600 & sleep 600", image);
    let mut scenario = scenario(Some(RedisDurability::Aof), true, vec![spec.clone()]);
    if run.contains(HAS_VOLUMES) {
        scenario.faults = Store::ALL.into_iter().map(full_disk).collect();
    }
    let place = place(kind, &run, &scenario).await;
    place.site.start_stores().await.unwrap();
    place.site.start_process(&spec, BTreeMap::new()).await.unwrap();
    // Stopped processes are the hardest to be rid of.
    let how = if run.contains(KILLS_POSTGRES) { OutageKind::Kill } else { OutageKind::Pause };
    place.site.store_down(Store::Postgres, how).await.unwrap();
    println!("down");
    std::future::pending::<()>().await;
}

/// It is never fired: the volume is there because it may be.
fn full_disk(store: Store) -> Fault {
    let kind = FaultKind::Trouble { trouble: Trouble::DiskFull { store }, lasting: Some(Span::ZERO) };
    Fault { id: FaultId(0), kind, when: Trigger::At(Span::ZERO) }
}

/// The mount points that bear the run's name.
fn mounts(run: &str) -> Vec<String> {
    let all = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = all.lines().filter_map(|line| line.split(' ').nth(4)).filter(|point| point.contains(run));
    points.map(str::to_owned).collect()
}

/// Does not outlive a test that fails.
struct Harness(Child);

impl Drop for Harness {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

impl Harness {
    /// Returns when it has brought everything up, and Postgres down.
    fn await_outage(&mut self) {
        let lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line == "down"), "it ended before");
    }
}

fn start(run: &str, backend: &str) -> Harness {
    let started = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", HARNESS])
        .env(RUN, run)
        .env(BACKEND, backend)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    Harness(started.unwrap())
}

/// Kills the harness after each of the delays, and sees that ten seconds later nothing is there.
fn check(backend: &str, delays_ms: &[u64]) {
    for delay in delays_ms {
        let run = format!("{backend}-{delay}");
        let harness = start(&run, backend);
        std::thread::sleep(Duration::from_millis(*delay));
        let id = format!("test-{run}-{}", harness.0.id());
        println!("killed after {delay} ms with {} traces", traces(&id, backend).len());
        drop(harness);
        until(&format!("the end of {id}"), Duration::from_secs(10), || traces(&id, backend).is_empty());
    }
}

/// Everything that bears the run's name: directories, processes, containers, networks.
fn traces(run: &str, backend: &str) -> Vec<String> {
    let mut traces = mounts(run);
    for place in ["/dev/shm".into(), std::env::temp_dir()] {
        let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
        traces.extend(entries.map(|e| e.path().display().to_string()).filter(|path| path.contains(run)));
    }
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let text = String::from_utf8_lossy(&environment);
        // Postgres writes its title over its environment; its directory tells whose it is.
        let directory = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        if text.contains(&format!("SYNCOPE_RUN={run}\0")) || directory.to_string_lossy().contains(run) {
            traces.push(entry.path().display().to_string());
        }
        // The watchdog itself must end, too; until it has, something may still turn up.
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments);
        if arguments.contains("__watchdog") && arguments.contains(run) {
            traces.push(format!("watchdog {}", entry.path().display()));
        }
    }
    if backend == "docker" {
        for command in [&["ps", "-aq"][..], &["network", "ls", "-q"], &["volume", "ls", "-q"]] {
            let filter = format!("label=syncope.run={run}");
            let output = Command::new("docker").args(command).args(["--filter", &filter]).output().unwrap();
            let ids = String::from_utf8(output.stdout).unwrap();
            traces.extend(ids.lines().map(|id| format!("{} {id}", command[0])));
        }
    }
    traces
}

#[test]
fn a_killed_harness_leaves_no_process_and_no_directory() {
    if let Ok(run) = std::env::var(RUN) {
        return be_a_harness(run);
    }
    check("process", &[20, 100, 250, 600, 1_500]);
}

#[cfg(feature = "docker")]
#[test]
fn docker_a_killed_harness_leaves_no_container_and_no_network() {
    check("docker", &[60, 200, 400, 700, 1_000, 1_500, 3_000]);
}

#[test]
fn the_volumes_of_a_killed_harness_are_unmounted() {
    // Elsewhere such a scenario is not run at all.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let backends: &[&str] = if cfg!(feature = "docker") { &["process", "docker"] } else { &["process"] };
    for backend in backends {
        let run = format!("{HAS_VOLUMES}-{backend}");
        let mut harness = start(&run, backend);
        let id = format!("test-{run}-{}", harness.0.id());
        harness.await_outage();
        assert_eq!(mounts(&id).len(), Store::ALL.len(), "{:?}", mounts(&id));
        drop(harness);
        until(&format!("the end of {id}"), Duration::from_secs(20), || traces(&id, backend).is_empty());
    }
}

#[test]
fn the_shared_memory_of_a_killed_postgres_goes_after_a_killed_harness() {
    let mut harness = start(KILLS_POSTGRES, "process");
    let id = format!("test-{KILLS_POSTGRES}-{}", harness.0.id());
    harness.await_outage();
    let left = postgres_segments(&id);
    assert_eq!(left.len(), 1, "a killed server leaves its segment");
    drop(harness);
    until(&format!("the end of {id}"), Duration::from_secs(10), || traces(&id, "process").is_empty());
    assert!(left.iter().all(|segment| !segment.is_there()), "{left:?}");
}

#[test]
fn clean_removes_what_a_run_left_whose_watchdog_was_killed_too() {
    let volumes = if rustix::process::geteuid().is_root() { HAS_VOLUMES } else { "" };
    let run = format!("clean-{KILLS_POSTGRES}-{volumes}");
    let mut harness = start(&run, "process");
    let id = format!("test-{run}-{}", harness.0.id());
    harness.await_outage();
    let segments = postgres_segments(&id);
    assert_eq!(segments.len(), 1, "a killed server leaves its segment");
    let watchdog = traces(&id, "process").into_iter().find_map(|trace| {
        trace
            .strip_prefix("watchdog /proc/")
            .and_then(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?))
    });
    rustix::process::kill_process(watchdog.unwrap(), rustix::process::Signal::KILL).unwrap();
    drop(harness);
    assert!(!traces(&id, "process").is_empty());
    assert!(segments.iter().all(|segment| segment.is_there()), "{segments:?}");
    assert!(Command::new(env!("CARGO_BIN_EXE_syncope")).arg("clean").status().unwrap().success());
    assert_eq!(traces(&id, "process"), Vec::<String>::new());
    assert!(segments.iter().all(|segment| !segment.is_there()), "{segments:?}");
}

/// An engine with a busy disk answers late: what it makes after the watchdog's quiet looks goes too.
#[cfg(feature = "docker")]
#[test]
fn docker_a_container_that_the_engine_makes_late_goes_after_a_killed_harness() {
    let run = format!("test-late-{}", std::process::id());
    let (owner, name) = ("1-1", format!("syncope-{run}-redis"));
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal.jsonl");
    let entries = format!(
        "{{\"owner\":{{\"run\":\"{run}\",\"owner\":\"{owner}\"}}}}\n{{\"asked\":{{\"container\":\"{name}\"}}}}\n"
    );
    std::fs::write(&journal, entries).unwrap();
    let mut watchdog = Command::new(env!("CARGO_BIN_EXE_syncope"))
        .arg("__watchdog")
        .arg(&journal)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    // The looks that have to find nothing span 2 s.
    std::thread::sleep(Duration::from_secs(4));
    assert!(watchdog.try_wait().unwrap().is_none(), "it waits for what was asked for");
    let labels = [format!("syncope.run={run}"), format!("syncope.owner={owner}")];
    let created = Command::new("docker")
        .args(["create", "--name", &name, "--label", &labels[0], "--label", &labels[1], "syncope/redis:7"])
        .stdout(Stdio::null())
        .status();
    assert!(created.unwrap().success());
    assert!(watchdog.wait().unwrap().success());
    assert_eq!(traces(&run, "docker"), Vec::<String>::new());
    assert!(!journal.exists());
}
