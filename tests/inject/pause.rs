use syncope::fault::{Injection, Signal};

use crate::fake::{PATIENCE, wait_exit};
use crate::rig::Rig;

fn pause() -> Injection {
    Injection::Pause { process: "worker-1".into() }
}

fn resume() -> Injection {
    Injection::Resume { process: "worker-1".into() }
}

/// The pids that a proof names.
fn pids(proof: &str) -> Vec<i32> {
    proof.split("pid ").skip(1).map(|rest| rest.trim_end_matches(", ").parse().unwrap()).collect()
}

/// A shell starts its children in its own time.
fn wait_for_sleepers(group: i32, expected: usize) {
    let started = std::time::Instant::now();
    let sleepers = || {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let stats = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
        stats
            .filter(|stat| stat.contains("(sleep)"))
            .filter(|stat| stat.rsplit_once(") ").unwrap().1.split(' ').nth(2) == Some(&group.to_string()))
            .count()
    };
    while sleepers() < expected {
        assert!(started.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}

fn state(pid: i32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1[..1].to_owned()
}

#[test]
fn a_pause_stops_the_whole_tree_and_a_resume_lets_it_run() {
    let rig = Rig::new();
    // A child, a grandchild below another, and an orphan that only the group betrays.
    let script = "sleep 1000 & sh -c 'sleep 1000 & wait' & (sleep 1000 &); echo ready; wait";
    let root = rig.site.shell("worker-1", script);
    wait_for_sleepers(root.pid, 3);

    let paused = pids(&rig.check_done(pause(), "every thread in state T").proof);
    assert_eq!(paused[0], root.pid);
    assert_eq!(paused.len(), 5, "{paused:?}");
    assert!(paused.iter().all(|pid| state(*pid) == "T"));

    let mut resumed = pids(&rig.check_done(resume(), "none in state T").proof);
    let mut paused = paused;
    resumed.sort_unstable();
    paused.sort_unstable();
    assert_eq!(resumed, paused);
    assert!(paused.iter().all(|pid| state(*pid) != "T"));
}

#[test]
fn every_thread_of_a_process_is_stopped() {
    let rig = Rig::new();
    let script = "import threading, time\n\
        def spin():\n    while True: pass\n\
        [threading.Thread(target=spin, daemon=True).start() for _ in range(3)]\n\
        print('ready', flush=True)\ntime.sleep(1000)";
    let mut command = std::process::Command::new("python3");
    command.args(["-c", script]);
    rig.site.run("worker-1", command);
    rig.check_done(pause(), "every thread in state T");
    rig.check_done(resume(), "none in state T");
}

#[test]
fn what_is_gone_cannot_be_paused_and_need_not_be_resumed() {
    let rig = Rig::new();
    rig.check_unproved(pause(), "never started");
    let process = rig.site.shell("worker-1", "echo ready; exec sleep 1000");
    rig.check_done(pause(), "state T");
    rig.check_done(Injection::Signal { process: "worker-1".into(), signal: Signal::Kill }, "SIGKILL");
    wait_exit(&process);
    rig.check_unproved(pause(), "is gone already");
    rig.check_done(resume(), "nothing is left to resume");
}
