use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use syncope::history::What;
use syncope::live::observe::WaitMeter;
use syncope::live::provision::Site;
use syncope::live::sink::Sink;
use syncope::names::ProcessName;

use crate::fake::{FakeSite, PATIENCE};

/// On the first core, for ever busy.
fn spinning() -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0", "sh", "-c", "echo ready; while :; do :; done"]);
    command
}

#[test]
fn who_gets_no_processor_is_starved_and_who_is_stopped_is_not() {
    const RIVALS: u32 = 6;
    let site = FakeSite::default();
    let _ = site.run("hungry", spinning());
    let (stopped, _) = site.run("stopped", spinning());
    kill_process(Pid::from_raw(stopped.pid).unwrap(), Signal::STOP).unwrap();
    for rival in 1..=RIVALS {
        let _ = site.run(&format!("rival-{rival}"), spinning());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (sender, events) = channel();
    let names = ["hungry", "stopped"].map(ProcessName::from).to_vec();
    let site: Arc<dyn Site> = Arc::new(site);
    let meter = WaitMeter::start(names, Arc::clone(&site), Sink::new(sender), &runtime.handle().clone());

    let begun = Instant::now();
    let mut hungry = 0;
    while hungry < 4 {
        let event = events.recv_timeout(PATIENCE).expect("nobody is starved");
        let What::Starved { process, waited, within } = event.ev else { continue };
        assert_eq!(process.as_str(), "hungry");
        // The kernel counts a wait when it ends, so it may have begun before this look.
        assert!(waited.as_nanos() * 2 > within.as_nanos(), "{waited} of {within}");
        hungry += 1;
        assert!(begun.elapsed() < PATIENCE);
    }
    drop(meter);
    std::thread::sleep(Duration::from_millis(100));
    while events.try_recv().is_ok() {}
    assert!(events.recv_timeout(Duration::from_millis(600)).is_err(), "it goes on after its end");
}
