//! What a foreign queue has said of its jobs, as far as the run hangs on it.

use crate::history::queue::Queued;
use crate::scenario::Fleet;

#[derive(Debug)]
pub struct QueueTold {
    /// Whether it has ever said how its jobs stand; why not, as far as is known.
    told: Result<(), String>,
    says_claims: bool,
}

impl QueueTold {
    #[must_use]
    pub fn of(fleet: &Fleet) -> Self {
        let told = if fleet.state.is_some() { Err("no answer".to_owned()) } else { Ok(()) };
        Self { told, says_claims: fleet.claims_by_state() }
    }

    /// Whether the answer says who holds what.
    ///
    /// # Errors
    /// If nothing can be learnt from such answers: why the run cannot go on.
    pub fn hear(&mut self, answer: &Queued) -> Result<bool, String> {
        match answer {
            Queued::Changed(_) => self.told = Ok(()),
            Queued::Unknown { error } if self.told.is_err() => self.told = Err(error.clone()),
            Queued::Unknown { .. } => {}
            Queued::Misshapen { error } => {
                return Err(format!("the queue's `state` is told in another shape: {error}"));
            }
        }
        Ok(self.says_claims)
    }

    /// Why there is no steady state.
    #[must_use]
    pub fn lacking(&self) -> Option<String> {
        let error = self.told.as_ref().err()?;
        Some(format!("no steady state: the queue's `state` was not told: {error}"))
    }
}
