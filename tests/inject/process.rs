use std::process::Command;
use std::sync::Arc;

use syncope::fault::{Injection, Signal};
use syncope::live::clock;
use syncope::time::Span;

use crate::fake::wait_exit;
use crate::rig::Rig;

fn signal(signal: Signal) -> Injection {
    Injection::Signal { process: "worker-1".into(), signal }
}

fn stop(grace_millis: u64) -> Injection {
    Injection::Stop { process: "worker-1".into(), grace: Span::from_millis(grace_millis) }
}

fn start() -> Injection {
    Injection::Start { process: "worker-1".into() }
}

#[test]
fn kill_9_is_proved_by_the_exit_status() {
    let rig = Rig::new();
    rig.site.shell("worker-1", "echo ready; exec sleep 1000");
    let before = clock::monotonic();
    let done = rig.check_done(signal(Signal::Kill), "ended by SIGKILL");
    assert!(done.from >= before);
}

#[test]
fn every_signal_that_a_process_does_not_handle_ends_it() {
    for kind in
        [Signal::Term, Signal::Int, Signal::Hup, Signal::Quit, Signal::Abrt, Signal::Segv, Signal::Usr2]
    {
        let rig = Rig::new();
        let script = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\nprint('ready', flush=True)\ntime.sleep(1000)";
        let mut command = Command::new("python3");
        command.args(["-c", script]);
        rig.site.run("worker-1", command);
        rig.check_done(signal(kind), "ended by SIG");
    }
}

#[test]
fn a_process_that_was_never_there_or_is_gone_cannot_be_killed() {
    let rig = Rig::new();
    rig.check_unproved(signal(Signal::Kill), "worker-1 was never started");
    let process = rig.site.shell("worker-1", "echo ready; exit 4");
    wait_exit(&process);
    rig.check_unproved(signal(Signal::Kill), "is gone already: it ended with exit code 4");
    rig.check_unproved(stop(100), "is gone already");
}

#[test]
fn a_handled_sigterm_is_proved_by_the_exit_code() {
    let rig = Rig::new();
    rig.site.shell("worker-1", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done");
    rig.check_done(signal(Signal::Term), "ended with exit code 3 after SIGTERM");
}

#[test]
fn a_signal_that_is_handled_without_an_end_is_proved_by_its_delivery() {
    let rig = Rig::new();
    rig.site.shell("worker-1", "trap : TERM; echo ready; while :; do sleep 0.01; done");
    rig.check_done(signal(Signal::Term), "took SIGTERM, handles it and runs on");
}

#[test]
fn an_ignored_signal_has_no_effect_to_prove() {
    let rig = Rig::new();
    rig.site.shell("worker-1", "trap '' TERM; echo ready; while :; do sleep 0.01; done");
    rig.check_unproved(signal(Signal::Term), "ignores SIGTERM");
}

#[test]
fn a_stopped_process_takes_no_sigterm() {
    let rig = Rig::new();
    rig.site.shell("worker-1", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done");
    rig.inject(Injection::Pause { process: "worker-1".into() }).unwrap();
    rig.check_unproved(signal(Signal::Term), "still pending");
}

#[test]
fn a_graceful_stop_is_proved_by_the_exit_code() {
    let rig = Rig::new();
    rig.site.shell("worker-1", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done");
    rig.check_done(stop(10_000), "ended with exit code 0 after SIGTERM");
}

#[test]
fn a_stop_says_when_it_had_to_kill() {
    let rig = Rig::new();
    rig.site.shell("worker-1", "trap '' TERM; echo ready; while :; do sleep 0.01; done");
    let done = rig.check_done(stop(50), "ended by SIGKILL: it had to be killed 50ms after SIGTERM");
    assert!(done.until.since(done.from) >= Span::from_millis(50));
}

#[test]
fn a_start_is_proved_by_a_process_that_was_born_after_the_order() {
    let rig = Rig::new();
    *rig.launcher.script.lock().unwrap() =
        Some((Arc::clone(&rig.site), "echo ready; exec sleep 1000".to_owned()));
    rig.check_done(start(), "(generation 1) is in /proc and was born after the order");
    rig.check_done(signal(Signal::Kill), "ended by SIGKILL");
    rig.check_done(start(), "(generation 2)");
}

#[test]
fn a_start_that_failed_or_did_not_start_anew_is_not_proved() {
    let rig = Rig::new();
    *rig.launcher.start.lock().unwrap() = Some(Err("no such program".to_owned()));
    rig.check_unproved(start(), "worker-1 could not be started: no such program");

    let old = rig.site.shell("worker-1", "echo ready; exec sleep 1000");
    // /proc tells a birth in ticks of 10 ms.
    std::thread::sleep(std::time::Duration::from_millis(30));
    *rig.launcher.start.lock().unwrap() = Some(Ok(old));
    rig.check_unproved(start(), "was not started again");

    let ended = rig.site.shell("worker-1", "echo ready; exit 7");
    wait_exit(&ended);
    *rig.launcher.start.lock().unwrap() = Some(Ok(ended));
    rig.check_unproved(start(), "is gone already: it ended with exit code 7");
}

#[test]
fn an_order_that_is_called_off_is_not_carried_out() {
    let rig = Rig::new();
    let process = rig.site.shell("worker-1", "echo ready; exec sleep 1000");
    let due = clock::monotonic() + Span::from_millis(200);
    let done = rig.inject_at(signal(Signal::Kill), due, || rig.injector.call_off());
    assert_eq!(done.unwrap_err(), "called off before it was due");
    assert!(process.exit.borrow().is_none());
    rig.check_done(signal(Signal::Kill), "ended by SIGKILL");
}
