use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use syncope::history::What;
use syncope::live::observe::HiccupMeter;
use syncope::live::sink::Sink;
use syncope::time::Span;

use crate::fake::{PATIENCE, spawn};

const STOPPED: Duration = Duration::from_secs(2);

/// Set in the process that the test stops: this program again, in the same test.
const STOPPED_PROCESS: &str = "SYNCOPE_TEST_PRINTS_HICCUPS";

fn print_hiccups() {
    let (sender, events) = channel();
    let meter = HiccupMeter::start(Span::from_millis(5)).unwrap();
    let _subscription = meter.subscribe(Sink::new(sender));
    println!("\nready");
    while let Ok(event) = events.recv_timeout(PATIENCE) {
        if let What::Hiccup { stall } = event.ev {
            println!("\nstall {} {}", event.at.as_nanos(), stall.as_nanos());
            std::io::stdout().flush().unwrap();
        }
    }
}

#[test]
fn a_stop_of_the_harness_is_one_hiccup_of_its_length() {
    if std::env::var_os(STOPPED_PROCESS).is_some() {
        return print_hiccups();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "hiccup::a_stop_of_the_harness_is_one_hiccup_of_its_length", "--nocapture"])
        .env(STOPPED_PROCESS, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = spawn(&mut command);
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "ready"));

    let stopped = std::time::Instant::now();
    kill_process(pid, Signal::STOP).unwrap();
    std::thread::sleep(STOPPED);
    kill_process(pid, Signal::CONT).unwrap();
    let stopped = stopped.elapsed();

    let stall = lines.find_map(|line| {
        let mut words = line.strip_prefix("stall ")?.split(' ');
        let at: u64 = words.next()?.parse().ok()?;
        let stall = Duration::from_nanos(words.next()?.parse().ok()?);
        // A busy machine has short hiccups of its own.
        (stall > STOPPED / 2).then_some((at, stall))
    });
    let (at, stall) = stall.expect("the stop is seen");
    // A signal stops a thread when that is next looked at, which on a busy machine takes a while.
    assert!(stall >= STOPPED * 9 / 10, "{stall:?} of {stopped:?}");
    assert!(at <= syncope::live::clock::monotonic().as_nanos());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn each_subscription_has_its_own_summary_and_ends_when_dropped() {
    let meter = HiccupMeter::start(Span::ZERO).unwrap();
    let (sender, events) = channel();
    let subscription = meter.subscribe(Sink::new(sender));
    // Above zero is every stall: each sample is an event.
    for _ in 0..20 {
        assert!(matches!(events.recv_timeout(PATIENCE).unwrap().ev, What::Hiccup { .. }));
    }
    let What::HiccupSummary { samples, p50, p99, max, recorded_above } = subscription.summary() else {
        panic!("a summary")
    };
    assert!(samples >= 20);
    assert!(Span::ZERO < p50 && p50 <= p99 && p99 <= max, "{p50} {p99} {max}");
    assert_eq!(recorded_above, Span::ZERO);
    drop(subscription);
    // The sender went with the subscription.
    while events.recv_timeout(PATIENCE).is_ok() {}
    assert!(events.recv().is_err());
}
