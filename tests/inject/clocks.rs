//! Clock faults on a real process under libfaketime. Without libfaketime (`make test` installs it)
//! only the reasons for having no proof are tested.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{ChildStdout, Command};

use syncope::fault::Injection;
use syncope::history::{Event, What};
use syncope::protocol::FleetEvent;
use syncope::time::{Instant, SignedSpan, UnixMillis};

use crate::rig::Rig;

/// Reports its monotonic and its wall clock when asked with SIGUSR1.
const REPORTER: &str = "import signal, sys, time
def report(*_):
    since = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    wall = time.time_ns() // 1000000
    at = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    sys.stdout.write('%d %d %d\\n' % (since, at, wall))
    sys.stdout.flush()
signal.signal(signal.SIGUSR1, report)
print('ready', flush=True)
while True:
    signal.pause()
";

fn step(seconds: i64) -> Injection {
    Injection::ClockStep { process: "worker-1".into(), by: SignedSpan(seconds * 1_000_000_000) }
}

fn drift(ppm: i64) -> Injection {
    Injection::ClockDrift { process: "worker-1".into(), ppm }
}

fn reset() -> Injection {
    Injection::ClockReset { process: "worker-1".into() }
}

fn libfaketime() -> Option<PathBuf> {
    let libraries = std::fs::read_dir("/usr/lib").ok()?.flatten();
    libraries.map(|entry| entry.path().join("faketime/libfaketime.so.1")).find(|path| path.exists())
}

/// The interpreter itself: `python3` may be a script that starts it.
fn python() -> Command {
    let found = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    let mut command = Command::new(String::from_utf8(found.stdout).unwrap().trim());
    command.args(["-c", REPORTER]);
    command
}

/// Passes reports on as the integrator does with every event.
fn pass_on(rig: &Rig, output: BufReader<ChildStdout>) {
    let injector = rig.injector.clone();
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let mut words = line.split(' ').map(|word| word.parse::<u64>().unwrap());
            let mut instant = || Instant::from_nanos(words.next().unwrap());
            let (since, at) = (instant(), instant());
            let wall = UnixMillis(i64::try_from(words.next().unwrap()).unwrap());
            injector.observe(&Event {
                at,
                by: "worker-1".into(),
                ev: What::Fleet(FleetEvent::Clock { wall, since }),
            });
        }
    });
}

/// A reporter, under libfaketime if one is given, and with a clock file.
fn reporter(libfaketime: Option<&PathBuf>) -> (Rig, tempfile::NamedTempFile) {
    let rig = Rig::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "+0\n").unwrap();
    rig.site.clock_files.lock().unwrap().insert("worker-1".into(), file.path().to_owned());
    let mut command = python();
    if let Some(library) = libfaketime {
        command
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", file.path())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    let (_, output) = rig.site.run("worker-1", command);
    pass_on(&rig, output);
    (rig, file)
}

#[test]
fn a_step_is_proved_by_the_clock_as_read_back() {
    let Some(library) = libfaketime() else { return };
    let (rig, _file) = reporter(Some(&library));
    rig.check_done(step(30), "(asked: +30s)");
    rig.check_done(step(-90), "(asked: -1m)");
    rig.check_done(reset(), "(asked: +0s)");
}

#[test]
fn a_drift_begins_without_a_jump_and_keeps_a_step() {
    let Some(library) = libfaketime() else { return };
    let (rig, _file) = reporter(Some(&library));
    rig.check_done(step(5), "(asked: +5s)");
    rig.check_done(drift(50_000), "(asked: +50000)");
    rig.check_done(drift(-100_000), "(asked: -100000)");
    // Drift and step together: the step counts from where the drift has led.
    rig.check_done(step(-60), "of pid");
    rig.check_done(reset(), "(asked: +0s)");
}

#[test]
fn a_small_drift_takes_longer_to_prove() {
    let Some(library) = libfaketime() else { return };
    let (rig, _file) = reporter(Some(&library));
    rig.check_done(drift(2_000), "(asked: +2000)");
}

#[test]
fn a_process_out_of_libfaketimes_reach_is_not_proved() {
    let (rig, _file) = reporter(None);
    rig.check_unproved(step(30), "out of libfaketime's reach");
    rig.check_unproved(drift(100_000), "out of libfaketime's reach");
}

#[test]
fn a_clock_cannot_be_made_to_run_backwards() {
    let (rig, _file) = reporter(None);
    rig.check_unproved(drift(-1_000_000), "would stop the clock");
}

#[test]
fn a_process_without_a_handler_is_not_asked_and_lives_on() {
    let rig = Rig::new();
    rig.check_unproved(step(1), "was not started with a clock that can be faked");
    let file = tempfile::NamedTempFile::new().unwrap();
    rig.site.clock_files.lock().unwrap().insert("worker-1".into(), file.path().to_owned());
    let process = rig.site.shell("worker-1", "echo ready; exec sleep 1000");
    rig.check_unproved(step(1), "it has no handler for SIGUSR1");
    assert!(process.exit.borrow().is_none());
}

#[test]
fn the_clock_of_a_process_that_is_gone_can_be_reset() {
    let rig = Rig::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    rig.site.clock_files.lock().unwrap().insert("worker-1".into(), file.path().to_owned());
    rig.check_unproved(step(1), "never started");
    rig.check_done(reset(), "it does not run now");
}
