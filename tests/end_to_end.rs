//! Whole runs of `syncope` on local processes: that it judges what is so, and leaves nothing behind.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use syncope::live::clock::monotonic;
use syncope::time::Span;
use tempfile::TempDir;

/// Longer than any run here; a run that takes longer hangs.
const RUN_LIMIT: Span = Span::from_secs(120);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn syncope() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncope"));
    command.current_dir(root()).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

fn run(scenario: &str, out: &Path) -> Command {
    let mut command = syncope();
    command.args(["run", scenario, "--backend", "process", "--seed", "7", "--out"]).arg(out);
    command
}

struct Finished {
    output: Output,
    summary: Value,
    out: TempDir,
}

fn finish(scenario: &str) -> Finished {
    let out = TempDir::new().expect("a temporary folder");
    // As in a suite: a stall of the host says nothing of the fleet.
    let output = run(scenario, out.path()).args(["--host-retries", "2"]).output().expect("syncope starts");
    let summary = summary(out.path()).unwrap_or_else(|| panic!("no summary:\n{}", text(&output)));
    Finished { output, summary, out }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn summary(out: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(out.join("latest/summary.json")).ok()?).ok()
}

impl Finished {
    fn scenario(&self) -> &Value {
        &self.summary["scenarios"][0]
    }

    fn history(&self) -> String {
        let name = self.scenario()["name"].as_str().expect("a name");
        let path = self.out.path().join("latest").join(name).join("history.jsonl");
        fs::read_to_string(path).expect("a history")
    }

    fn failed_checks(&self) -> BTreeSet<String> {
        let checks = self.scenario()["checks"].as_array().expect("checks");
        let failed = checks.iter().filter(|check| check["verdict"] == "fail");
        failed.map(|check| check["name"].as_str().expect("a name").to_owned()).collect()
    }

    #[track_caller]
    fn assert_exit(&self, code: i32) {
        assert_eq!(self.output.status.code(), Some(code), "{}\n{:#}", text(&self.output), self.scenario());
    }
}

#[track_caller]
fn assert_fails_exactly(scenario: &str, checks: &[&str]) {
    let finished = finish(scenario);
    finished.assert_exit(1);
    assert_eq!(
        finished.failed_checks(),
        checks.iter().map(|&name| name.to_owned()).collect(),
        "{:#}",
        finished.scenario()
    );
}

#[test]
fn a_redis_without_persistence_loses_acknowledged_jobs_and_the_verdict_is_fail() {
    let finished = finish("tests/scenarios/redis-none-lost-zero.yaml");
    finished.assert_exit(1);
    assert!(finished.failed_checks().contains("lost"), "{:#}", finished.scenario());
    assert!(finished.scenario()["jobs"]["lost"].as_u64() > Some(0));
}

#[test]
fn the_same_with_an_append_only_file_passes() {
    let finished = finish("tests/scenarios/redis-aof-lost-zero.yaml");
    finished.assert_exit(0);
    assert_eq!(finished.scenario()["jobs"]["lost"], 0);
}

/// What the one fault's receipt says.
fn receipt(finished: &Finished) -> &str {
    finished.scenario()["faults"][0]["proof"].as_str().expect("a proof")
}

#[test]
fn a_kill_before_a_completion_leaves_makes_just_that_job_be_done_twice() {
    let finished = finish("scenarios/redis-queue/queue-kill-before-completion.yaml");
    finished.assert_exit(0);
    let jobs = &finished.scenario()["jobs"];
    assert_eq!((&jobs["lost"], &jobs["duplicated"]), (&Value::from(0), &Value::from(1)));
    let receipt = receipt(&finished);
    assert!(receipt.starts_with("EVALSHA ") && receipt.contains(" command 4 of its kind, "), "{receipt}");
    assert!(
        receipt.contains(" unsent for ") && receipt.contains(" lost with the connection; pid "),
        "{receipt}"
    );
}

#[test]
fn a_kill_after_a_completion_took_effect_leaves_nothing_to_be_done() {
    let finished = finish("scenarios/redis-queue/queue-kill-after-completion.yaml");
    finished.assert_exit(0);
    let jobs = &finished.scenario()["jobs"];
    assert_eq!((&jobs["completed"], &jobs["duplicated"]), (&Value::from(20), &Value::from(0)));
    let receipt = receipt(&finished);
    assert!(receipt.contains(" was carried out; its reply stood in the proxy on worker-"), "{receipt}");
}

#[test]
fn without_a_planted_bug_all_checks_pass() {
    finish("tests/scenarios/no-bug.yaml").assert_exit(0);
}

#[test]
fn a_worker_that_acknowledges_before_its_work_is_done_fails_the_loss_check() {
    assert_fails_exactly("tests/scenarios/bug-acknowledges-early.yaml", &["lost"]);
}

#[test]
fn a_worker_that_never_renews_its_lock_fails_the_mistakes_check() {
    assert_fails_exactly("tests/scenarios/bug-never-renews.yaml", &["mistakes"]);
}

#[test]
fn a_worker_that_drops_saved_steps_fails_the_steps_check() {
    assert_fails_exactly("tests/scenarios/bug-drops-steps.yaml", &["steps_lost"]);
}

#[test]
fn a_foreign_fleet_runs_from_yaml_alone() {
    finish("tests/scenarios/external-python.yaml").assert_exit(0);
}

/// A program hands over each job, and one says what was done; what they leave behind is ended.
#[test]
fn a_foreign_fleet_s_jobs_and_effects_are_told_by_programs_that_are_run_again_and_again() {
    let finished = finish("tests/scenarios/external-call.yaml");
    finished.assert_exit(0);
    let jobs = &finished.scenario()["jobs"];
    let counts = ["acknowledged", "declined", "recovered"].map(|name| jobs[name].as_u64());
    assert_eq!(counts, [Some(6), Some(1), Some(1)], "{}", text(&finished.output));
    assert!(
        finished.history().contains("ended (exit code 3): the answer was lost"),
        "{}",
        finished.history()
    );
    assert_eq!(processes_with("syncope-test-left-behind"), Vec::<String>::new());
}

/// Command lines.
fn processes_with(word: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("Linux").flatten();
    let lines = processes.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(word)).collect()
}

/// It is told its settings by a file, is ready when Redis says so, and ends by SIGINT.
#[test]
fn a_foreign_role_has_files_is_asked_whether_it_is_ready_and_is_stopped_its_own_way() {
    let finished = finish("tests/scenarios/external-role.yaml");
    finished.assert_exit(0);
    let history = finished.history();
    assert!(history.contains("ended with exit code 0 after SIGINT"), "{history}");
    let ready = history.lines().filter(|line| line.contains("\"ready\"")).count();
    assert_eq!(ready, 2, "of each start one: {history}");
}

/// What became of each job is what the program said, or did not say.
#[test]
fn a_foreign_fleet_s_jobs_are_handed_over_by_a_program() {
    let finished = finish("tests/scenarios/external-program.yaml");
    finished.assert_exit(0);
    let jobs = &finished.scenario()["jobs"];
    let counts = ["acknowledged", "declined", "recovered", "indeterminate"].map(|name| jobs[name].as_u64());
    assert_eq!(counts, [Some(8), Some(1), Some(1), Some(2)], "{}", text(&finished.output));
}

/// Its lines tell who holds what, its table who was taken for dead: all that the reference fleets are judged
/// by is judged of it.
#[test]
fn a_foreign_fleet_that_polls_a_table_is_judged_like_our_own() {
    let finished = finish("tests/scenarios/external-table.yaml");
    finished.assert_exit(0);
    let scenario = finished.scenario();
    assert_eq!(scenario["jobs"]["completed"], 8, "{}", text(&finished.output));
    for times in ["detection_ms", "recovery_ms"] {
        assert_eq!(scenario[times]["n"], 1, "{times}: {}", text(&finished.output));
    }
}

#[test]
fn of_a_foreign_fleet_the_death_of_one_worker_is_found_where_each_is_asked_for() {
    let finished = finish("tests/scenarios/external-workers.yaml");
    finished.assert_exit(0);
    assert_eq!(finished.scenario()["detection_ms"]["n"], 1, "{}", text(&finished.output));
}

/// Who holds what is learnt from the table alone, what was done from lines alone.
#[test]
fn a_foreign_fleet_that_says_nothing_is_judged_by_its_queue_s_state() {
    let finished = finish("tests/scenarios/external-state.yaml");
    finished.assert_exit(0);
    let scenario = finished.scenario();
    assert_eq!(scenario["jobs"]["completed"], 8, "{}", text(&finished.output));
    for times in ["detection_ms", "recovery_ms"] {
        assert_eq!(scenario[times]["n"], 1, "{times}: {}", text(&finished.output));
    }
    let figures = scenario["figures"].as_array().expect("figures");
    assert!(figures.iter().any(|figure| figure["name"] == "queue.active"), "{figures:?}");
}

#[test]
fn a_file_with_six_mistakes_prints_six_diagnostics_and_starts_nothing() {
    let out = TempDir::new().expect("a temporary folder");
    let output =
        run("tests/fixtures/scenario/six-mistakes.yaml", out.path()).output().expect("syncope starts");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let printed = String::from_utf8_lossy(&output.stderr);
    assert_eq!(printed.matches("six-mistakes.yaml:").count(), 6, "{printed}");
    assert_eq!(fs::read_dir(out.path()).expect("it can be read").count(), 0);
}

#[test]
fn a_stored_run_is_judged_again_to_the_same_bytes() {
    let out = TempDir::new().expect("a temporary folder");
    let output = run("tests/scenarios/no-bug.yaml", out.path()).output().expect("syncope starts");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let latest = fs::canonicalize(out.path().join("latest")).expect("latest points at the run");
    let names = ["summary.json", "junit.xml", "report.md", "report.html"];
    let read = || names.map(|name| fs::read(latest.join(name)).expect(name));
    let before = read();
    for name in names {
        fs::remove_file(latest.join(name)).expect(name);
    }
    let again = syncope().arg("report").arg(&latest).output().expect("syncope starts");
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    for (name, (old, new)) in names.iter().zip(before.iter().zip(read().iter())) {
        assert!(old == new, "{name} differs");
    }
}

#[test]
fn a_harness_that_was_stopped_for_two_seconds_is_inconclusive() {
    let out = TempDir::new().expect("a temporary folder");
    let mut child = Running::start("tests/scenarios/no-bug.yaml", out.path());
    child.wait_for("\"phase\":\"inject\"");
    child.signal(libc::SIGSTOP);
    // The two seconds are the fault itself, not a wait for something.
    std::thread::sleep(Duration::from_secs(2));
    child.signal(libc::SIGCONT);
    let status = child.wait();
    let summary = summary(out.path()).expect("a summary");
    assert_eq!(status.code(), Some(3), "{summary:#}");
    assert_eq!(summary["scenarios"][0]["verdict"], "inconclusive", "{summary:#}");
}

#[test]
fn ctrl_c_heals_removes_reports_and_exits_with_130() {
    let out = TempDir::new().expect("a temporary folder");
    let mut child = Running::start("tests/scenarios/no-bug.yaml", out.path());
    child.wait_for("\"phase\":\"inject\"");
    let family = child.family();
    assert_eq!(child.temporary_folders().len(), 1, "the scenario's own");
    assert!(family.len() >= 4, "two stores and two workers: {family:?}");
    child.signal(libc::SIGINT);
    assert_eq!(child.wait().code(), Some(130));
    assert_all_gone(&family);
    let summary = summary(out.path()).expect("a summary");
    assert_eq!(summary["scenarios"][0]["verdict"], "inconclusive", "{summary:#}");
    let report = fs::read_to_string(out.path().join("latest/report.md")).expect("a report");
    assert!(report.to_lowercase().contains("interrupted"), "{report}");
}

#[test]
fn nothing_survives_a_kill_9_of_the_harness_at_any_moment() {
    for moment in 0..10u64 {
        let out = TempDir::new().expect("a temporary folder");
        let mut child = Running::start("tests/scenarios/no-bug.yaml", out.path());
        // The moments spread over start, provisioning, warm-up and run.
        std::thread::sleep(Duration::from_millis(moment * 150));
        let family = child.family();
        child.signal(libc::SIGKILL);
        child.wait();
        assert_all_gone(&family);
        wait_until(
            || child.temporary_folders().is_empty(),
            || format!("left: {:?}", child.temporary_folders()),
        );
    }
}

/// A run in the background.
struct Running {
    child: Child,
    out: PathBuf,
}

impl Running {
    fn start(scenario: &str, out: &Path) -> Self {
        let child =
            run(scenario, out).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("syncope starts");
        Self { child, out: out.to_owned() }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for, so its pid is its own.
        assert_eq!(unsafe { libc::kill(self.pid(), signal) }, 0);
    }

    /// Reads the history as it is written, until a line holds `what`.
    fn wait_for(&self, what: &str) {
        wait_until(|| self.history_holds(what), || format!("no {what} in the history"));
    }

    fn history_holds(&self, what: &str) -> bool {
        let Ok(runs) = fs::read_dir(&self.out) else { return false };
        let mut histories = runs.flatten().flat_map(|run| fs::read_dir(run.path()).into_iter().flatten());
        histories.any(|entry| {
            let file = entry.ok().and_then(|entry| fs::File::open(entry.path().join("history.jsonl")).ok());
            file.is_some_and(|file| {
                BufReader::new(file).lines().map_while(Result::ok).any(|line| line.contains(what))
            })
        })
    }

    /// The harness's descendants, the watchdog among them, with their start times.
    fn family(&self) -> BTreeSet<(i32, u64)> {
        let processes = processes();
        let mut family = BTreeSet::new();
        let mut parents = vec![self.pid()];
        while let Some(parent) = parents.pop() {
            for (pid, _, start) in processes.iter().filter(|(_, of, _)| *of == parent) {
                if family.insert((*pid, *start)) {
                    parents.push(*pid);
                }
            }
        }
        family
    }

    /// Folders that bear the run's id, which is the name of its folder of reports.
    fn temporary_folders(&self) -> Vec<PathBuf> {
        let runs: Vec<String> = fs::read_dir(&self.out)
            .expect("it can be read")
            .flatten()
            .map(|run| run.file_name().to_string_lossy().into_owned())
            .filter(|name| name != "latest")
            .collect();
        let places = [PathBuf::from("/dev/shm"), std::env::temp_dir()];
        let entries = places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| runs.iter().any(|run| path.to_string_lossy().contains(run.as_str())))
            .collect()
    }

    fn wait(&mut self) -> ExitStatus {
        let since = monotonic();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(monotonic().since(since) < RUN_LIMIT, "the run hangs");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Every process: pid, parent, start time.
fn processes() -> Vec<(i32, i32, u64)> {
    let all = procfs::process::all_processes().expect("/proc can be read");
    let stats = all.flatten().filter_map(|process| process.stat().ok());
    stats.map(|stat| (stat.pid, stat.ppid, stat.starttime)).collect()
}

#[track_caller]
fn assert_all_gone(family: &BTreeSet<(i32, u64)>) {
    let left = || {
        let now: BTreeSet<_> = processes().into_iter().map(|(pid, _, start)| (pid, start)).collect();
        family.intersection(&now).copied().collect::<Vec<_>>()
    };
    wait_until(|| left().is_empty(), || format!("still there after ten seconds: {:?}", left()));
}

#[track_caller]
fn wait_until(mut done: impl FnMut() -> bool, otherwise: impl Fn() -> String) {
    let since = monotonic();
    while !done() {
        assert!(monotonic().since(since) < Span::from_secs(10), "{}", otherwise());
        std::thread::sleep(Duration::from_millis(20));
    }
}
