//! A scenario in the making: what a generator chooses, and its text.

use std::fmt::Write as _;

use crate::virtual_time;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    Heartbeat,
    Queue,
    Pool,
    /// Jobs in Postgres, a sweeper that fails what the dead left.
    Swept,
    /// Jobs in Postgres, workers that put back what the dead left.
    Rescued,
}

impl System {
    pub const ALL: [Self; 5] = [Self::Heartbeat, Self::Queue, Self::Pool, Self::Swept, Self::Rescued];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "redis-heartbeat",
            Self::Queue => "redis-queue",
            Self::Pool => "worker-pool",
            Self::Swept => "postgres-heartbeat",
            Self::Rescued => "postgres-jobs",
        }
    }

    /// The role of those who work on jobs.
    pub const fn role(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Heartbeat | Self::Queue | Self::Swept | Self::Rescued => "worker",
        }
    }

    pub const fn has_redis(self) -> bool {
        !matches!(self, Self::Swept | Self::Rescued)
    }
}

/// Durations are model time in milliseconds. Every draft is shown as YAML, so that what fails can be
/// run as a file.
#[derive(Debug, Clone)]
pub struct Draft {
    pub system: System,
    pub workers: u64,
    pub settings: Vec<(&'static str, String)>,
    pub durability: &'static str,
    pub jobs: u64,
    pub arrival_ms: u64,
    pub delay_ms: u64,
    pub steps: u64,
    pub step_ms: (u64, u64),
    pub faults: Vec<Injected>,
}

/// A fault, its kind, and when it is injected.
#[derive(Debug, Clone)]
pub struct Injected {
    /// As the report counts it: `kill`, `outage redis pause`.
    pub kind: String,
    pub yaml: String,
    pub when: String,
}

impl Draft {
    pub fn text(&self) -> String {
        let mut text = String::from("name: generated\n");
        let system = self.system.name();
        let settings: Vec<String> =
            self.settings.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        let Self { workers, durability, jobs, arrival_ms, delay_ms, steps, step_ms: (least, most), .. } =
            self;
        let redis = match self.system.has_redis() {
            true => format!("  redis: {{durability: {durability}}}\n"),
            false => String::new(),
        };
        let _ = write!(
            text,
            "fleet:\n  system: {system}\n  workers: {workers}\n  settings: {{{}}}\n\
             stack:\n{redis}  postgres: {{}}\n\
             workload:\n  jobs: {jobs}\n  arrival: {{every: {arrival_ms}ms}}\n  steps: {steps}\n  \
             delay: {delay_ms}ms\n  step_time: {{uniform: [{least}ms, {most}ms]}}\n",
            settings.join(", ")
        );
        if !self.faults.is_empty() {
            text.push_str("faults:\n");
        }
        for Injected { yaml, when, .. } in &self.faults {
            let _ = writeln!(text, "  - {yaml}\n    when: {when}");
        }
        let kept = if self.may_wipe() { "any" } else { "0" };
        let _ = write!(
            text,
            "expect:\n  detection_time: model\n  recovery_time: {}\n  mistakes: model\n  lost: {kept}\n  \
             duplicated: any\n  failed: any\n",
            if self.may_wipe() { "any" } else { "model" },
        );
        text
    }

    /// A Redis that does not write before it answers loses jobs with its process.
    fn may_wipe(&self) -> bool {
        let ends =
            |fault: &Injected| ["outage redis kill", "outage redis stop"].contains(&fault.kind.as_str());
        self.system.has_redis() && self.durability != "aof" && self.faults.iter().any(ends)
    }

    /// Adds the fault, unless it cannot be healed beside those that are there.
    pub fn add(&mut self, fault: Injected) -> bool {
        self.faults.push(fault);
        let fits = virtual_time::read(&self.text()).is_ok();
        if !fits {
            self.faults.pop();
        }
        fits
    }

    /// The same with less in it: a fault, half of the jobs, a setting.
    pub fn smaller(&self) -> Vec<Self> {
        let without_fault = (0..self.faults.len()).map(|index| {
            let mut smaller = self.clone();
            smaller.faults.remove(index);
            smaller
        });
        let fewer_jobs = (self.jobs > 1).then(|| Self { jobs: self.jobs / 2, ..self.clone() });
        let fewer_workers = (self.workers > 1).then(|| Self { workers: self.workers - 1, ..self.clone() });
        let fewer_steps = (self.steps > 1).then(|| Self { steps: self.steps / 2, ..self.clone() });
        let without_setting = (0..self.settings.len()).map(|index| {
            let mut smaller = self.clone();
            smaller.settings.remove(index);
            smaller
        });
        without_fault
            .chain(fewer_jobs)
            .chain(fewer_workers)
            .chain(fewer_steps)
            .chain(without_setting)
            .filter(|smaller| virtual_time::read(&smaller.text()).is_ok())
            .collect()
    }
}
