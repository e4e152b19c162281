//! How long the processes under test wanted a processor and had none.
//!
//! The kernel counts for each thread the time that it was ready to run and did not
//! (`/proc/PID/task/TID/schedstat`, second field, nanoseconds; `sched-stats.rst`). A process that was
//! stopped was not ready: a pause that a scenario orders does not count. The harness's own hiccups do
//! not show this: a thread that sleeps much gets its turn sooner than one that works.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::history::What;
use crate::live::clock;
use crate::live::provision::Site;
use crate::live::sink::Sink;
use crate::names::{ProcessName, Store};
use crate::time::Span;

/// A glance at a dozen processes costs under a millisecond.
const EVERY: Duration = Duration::from_millis(250);
/// Waits that are less than this part of the time, 1 in so many, are how a busy machine works.
const RECORDED_PART: u64 = 2;

/// Runs until it is dropped.
#[derive(Debug)]
pub struct WaitMeter {
    task: JoinHandle<()>,
}

impl WaitMeter {
    /// Of these processes, and of the site's stores. Waits that are half of the time or more become
    /// events.
    #[must_use]
    pub fn start(processes: Vec<ProcessName>, site: Arc<dyn Site>, sink: Sink, runtime: &Handle) -> Self {
        let task = runtime.spawn(async move {
            let mut tick = tokio::time::interval(EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut last = (clock::monotonic(), BTreeMap::new());
            loop {
                tick.tick().await;
                let now = clock::monotonic();
                let within = now.since(last.0);
                let mut waits = BTreeMap::new();
                for (process, root) in roots(&processes, &*site) {
                    let mut longest = 0;
                    for thread in threads(root) {
                        let Some(waited) = waited(thread) else { continue };
                        if let Some(before) = last.1.get(&thread) {
                            longest = longest.max(waited.saturating_sub(*before));
                        }
                        waits.insert(thread, waited);
                    }
                    if longest.saturating_mul(RECORDED_PART) > within.as_nanos() {
                        sink.note(What::Starved { process, waited: Span::from_nanos(longest), within });
                    }
                }
                last = (now, waits);
            }
        });
        Self { task }
    }
}

impl Drop for WaitMeter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn roots<'a>(processes: &'a [ProcessName], site: &'a dyn Site) -> impl Iterator<Item = (ProcessName, i32)> {
    let fleet = processes.iter().filter_map(|name| Some((name.clone(), site.process(name)?.pid)));
    let stores = Store::ALL.into_iter().filter_map(|store| Some((store, site.store(store)?.pid)));
    fleet.chain(stores.map(|(store, pid)| (ProcessName::new(store.as_str()), pid)))
}

/// As process and thread: those of the process, and its children's first ones (Postgres has a process
/// for each connection).
fn threads(root: i32) -> Vec<(i32, i32)> {
    let own = fs::read_dir(format!("/proc/{root}/task")).into_iter().flatten().flatten();
    let own = own.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(|thread| (root, thread));
    let children = fs::read_to_string(format!("/proc/{root}/task/{root}/children")).unwrap_or_default();
    let children = children.split_ascii_whitespace().filter_map(|child| child.parse().ok());
    own.chain(children.map(|child| (child, child))).collect()
}

fn waited((process, thread): (i32, i32)) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{thread}/schedstat")).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}
