//! Who is who at this moment: which processes a role has, who holds which job, which links there are.

use std::collections::BTreeMap;

use crate::dist::Random;
use crate::fault::{JobRef, Target};
use crate::history::queue::{Queued, Standing};
use crate::history::{Event, What};
use crate::names::{Endpoint, JobId, Link, ProcessName};
use crate::protocol::FleetEvent;
use crate::scenario::Fleet;

/// What the trigger was about, if about one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cause {
    pub job: Option<JobId>,
    /// The process whose command stands at the gate.
    pub sender: Option<ProcessName>,
}

#[derive(Debug)]
pub struct Targets {
    roles: BTreeMap<String, Vec<ProcessName>>,
    links: Vec<Link>,
    holders: BTreeMap<JobId, ProcessName>,
    up: BTreeMap<ProcessName, bool>,
}

impl Targets {
    #[must_use]
    pub fn of(fleet: &Fleet) -> Self {
        let mut roles: BTreeMap<String, Vec<ProcessName>> = BTreeMap::new();
        for process in &fleet.processes {
            roles.entry(process.role.clone()).or_default().push(process.name.clone());
        }
        Self { roles, links: fleet.links(), holders: BTreeMap::new(), up: BTreeMap::new() }
    }

    /// Follows who runs and who holds what.
    pub fn observe(&mut self, event: &Event) {
        match &event.ev {
            What::Started { .. } => {
                self.up.insert(event.by.clone(), true);
            }
            What::Exited { .. } => {
                self.up.insert(event.by.clone(), false);
                self.holders.retain(|_, holder| *holder != event.by);
            }
            What::Fleet(FleetEvent::Claimed { job, .. }) => {
                self.holders.insert(job.clone(), event.by.clone());
            }
            What::Fleet(
                FleetEvent::Completed { job }
                | FleetEvent::AttemptFailed { job, .. }
                | FleetEvent::LockLost { job }
                | FleetEvent::Abandoned { job },
            ) if self.holders.get(job) == Some(&event.by) => {
                self.holders.remove(job);
            }
            What::Queue { answer: Queued::Changed(changed), .. } => {
                for standing in changed {
                    self.stands(standing);
                }
            }
            _ => {}
        }
    }

    /// The queue may go on to say that a job is held by one that is gone.
    fn stands(&mut self, standing: &Standing) {
        match standing.claimant().filter(|holder| self.is_up(holder)) {
            Some(holder) => self.holders.insert(standing.job.clone(), holder.clone()),
            None => self.holders.remove(&standing.job),
        };
    }

    #[must_use]
    pub fn anything_held(&self) -> bool {
        !self.holders.is_empty()
    }

    #[must_use]
    pub fn is_up(&self, process: &ProcessName) -> bool {
        self.up.get(process).copied().unwrap_or(false)
    }

    #[must_use]
    pub fn of_role(&self, role: &str) -> &[ProcessName] {
        self.roles.get(role).map_or(&[], Vec::as_slice)
    }

    /// The processes that the target means now; `None` if it means nobody now (no holder).
    pub fn resolve(&self, target: &Target, cause: &Cause, random: &mut Random) -> Option<Vec<ProcessName>> {
        let one = |name: &ProcessName| vec![name.clone()];
        match target {
            Target::Process(name) => Some(one(name)),
            Target::Role(role) => Some(self.of_role(role).to_vec()),
            Target::AnyOf(role) => {
                if let Some(sender) = &cause.sender
                    && self.roles.get(role).is_some_and(|all| all.contains(sender))
                {
                    return Some(one(sender));
                }
                let running: Vec<_> = self.of_role(role).iter().filter(|p| self.is_up(p)).collect();
                if running.is_empty() {
                    return None;
                }
                let index = usize::try_from(random.below(running.len() as u64)).ok()?;
                running.get(index).copied().map(one)
            }
            Target::HolderOf(JobRef::Job(job)) => self.holders.get(job).map(one),
            Target::HolderOf(JobRef::Any) => match (&cause.job, &cause.sender) {
                (Some(job), _) => self.holders.get(job).map(one),
                (None, Some(sender)) if self.holders.values().any(|holder| holder == sender) => {
                    Some(one(sender))
                }
                // Nothing is drawn in vain: the draws must not hang on how long a holder was waited for.
                _ if self.holders.is_empty() => None,
                _ => {
                    let index = usize::try_from(random.below(self.holders.len() as u64)).ok()?;
                    self.holders.values().nth(index).map(one)
                }
            },
        }
    }

    #[must_use]
    pub fn links(&self, from: Option<&[ProcessName]>, to: Option<&Endpoint>) -> Vec<Link> {
        self.links
            .iter()
            .filter(|link| from.is_none_or(|from| from.contains(&link.from)))
            .filter(|link| to.is_none_or(|to| *to == link.to))
            .cloned()
            .collect()
    }
}
