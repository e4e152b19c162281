//! What the probes say of the fleet's life, or of each worker's.

use std::collections::BTreeMap;

use crate::history::Sample;
use crate::names::ProcessName;
use crate::run::targets::Targets;
use crate::scenario::{Ask, Fleet};

/// Liveness answers in a row, of each subject, that prove the steady state.
const STEADY_SAMPLES: u32 = 3;

#[derive(Debug)]
pub struct Opinion {
    /// Good answers in a row, and how many are wanted.
    steady: u32,
    wanted: u32,
    /// The last answer; by worker, where each is asked for.
    believed: BTreeMap<Option<ProcessName>, bool>,
}

impl Opinion {
    #[must_use]
    pub fn of(fleet: &Fleet) -> Self {
        let subjects = match fleet.liveness.as_ref().map(|probe| &probe.ask) {
            None => 0,
            Some(Ask::Workers(_)) => fleet.workers().len(),
            Some(_) => 1,
        };
        let wanted = STEADY_SAMPLES.saturating_mul(u32::try_from(subjects).unwrap_or(u32::MAX));
        Self { steady: 0, wanted, believed: BTreeMap::new() }
    }

    pub fn hear(&mut self, sample: &Sample) {
        match sample {
            Sample::Alive { subject, alive } => {
                self.steady = if *alive { self.steady + 1 } else { 0 };
                self.believed.insert(subject.clone(), *alive);
            }
            Sample::Stalls(_) => self.steady += 1,
            Sample::Unknown { .. } => self.steady = 0,
        }
    }

    #[must_use]
    pub fn is_steady(&self) -> bool {
        self.steady >= self.wanted
    }

    /// Who is said to live does, and nobody else.
    #[must_use]
    pub fn is_true(&self, targets: &Targets) -> bool {
        self.believed.iter().all(|(subject, alive)| {
            *alive
                == match subject {
                    Some(worker) => targets.is_up(worker),
                    None => targets.of_role("worker").iter().any(|worker| targets.is_up(worker)),
                }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Event, What};
    use crate::scenario::{Overrides, Source, resolve};
    use crate::time::Instant;

    fn fleet(liveness: &str) -> Fleet {
        let text = format!(
            "name: x\nfleet:\n  external:\n    roles: {{worker: {{count: 2, command: [w]}}}}\n    \
             enqueue: {{redis: [LPUSH, jobs, '${{job}}']}}\n    effects: {{redis: [HGETALL, x]}}\n    \
             liveness: {liveness}\nstack: {{redis: {{}}}}\n\
             workload: {{jobs: 1, arrival: {{every: 1s}}, step_time: {{constant: 1s}}}}\n"
        );
        resolve(&Source::new("x.yaml", text.as_str()), &Overrides::default()).expect("it resolves").fleet
    }

    fn alive(subject: Option<&str>, alive: bool) -> Sample {
        Sample::Alive { subject: subject.map(Into::into), alive }
    }

    #[test]
    fn a_state_is_steady_when_every_worker_was_found_alive_so_often() {
        let mut opinion = Opinion::of(&fleet("{workers: {redis: [SMEMBERS, x]}}"));
        for round in 0..3 {
            assert!(!opinion.is_steady(), "{round}");
            opinion.hear(&alive(Some("worker-1"), true));
            opinion.hear(&alive(Some("worker-2"), round > 0));
        }
        opinion.hear(&alive(Some("worker-1"), true));
        assert!(!opinion.is_steady(), "worker-2 was found alive twice");
        opinion.hear(&alive(Some("worker-2"), true));
        assert!(opinion.is_steady());
        opinion.hear(&Sample::Unknown { error: "late".into() });
        assert!(!opinion.is_steady());
    }

    #[test]
    fn an_opinion_is_true_of_each_worker_or_of_the_fleet() {
        for (liveness, one, of_one) in [
            ("{workers: {redis: [SMEMBERS, x]}}", Some("worker-1"), false),
            ("{redis: [GET, x]}", None, true),
        ] {
            let fleet = fleet(liveness);
            let (mut targets, mut opinion) = (Targets::of(&fleet), Opinion::of(&fleet));
            let started = What::Started { generation: 1, pid: 1 };
            targets.observe(&Event { at: Instant::ZERO, by: "worker-2".into(), ev: started });
            assert!(opinion.is_true(&targets), "nothing was said");
            opinion.hear(&alive(one, true));
            assert_eq!(opinion.is_true(&targets), of_one, "{liveness}: only worker-2 runs");
            opinion.hear(&alive(one, false));
            assert_eq!(opinion.is_true(&targets), !of_one, "{liveness}");
        }
    }
}
