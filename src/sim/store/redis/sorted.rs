//! A sorted set of jobs.

use std::collections::BTreeSet;

use super::queue::Slot;
use crate::names::JobId;

/// Ordered by score, and by name where the scores are equal, as Redis orders them.
#[derive(Debug, Clone, Default)]
pub(super) struct Sorted {
    order: BTreeSet<(i64, JobId, Slot)>,
    /// By slot; shorter than the table of jobs where the last ones were never members.
    scores: Vec<Option<i64>>,
}

impl Sorted {
    /// The changes that the server would count.
    pub fn add(&mut self, job: &JobId, slot: Slot, score: i64) -> u64 {
        if self.scores.len() <= slot as usize {
            self.scores.resize(slot as usize + 1, None);
        }
        let before = self.scores[slot as usize].replace(score);
        if before == Some(score) {
            return 0;
        }
        if let Some(before) = before {
            self.order.remove(&(before, job.clone(), slot));
        }
        self.order.insert((score, job.clone(), slot));
        1
    }

    /// Takes out the first member if its score is at most `limit`.
    pub fn pop_until(&mut self, limit: i64) -> Option<Slot> {
        let (score, _, _) = self.order.first()?;
        if *score > limit {
            return None;
        }
        let (_, _, slot) = self.order.pop_first()?;
        self.scores[slot as usize] = None;
        Some(slot)
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn clear(&mut self) {
        self.order.clear();
        self.scores.clear();
    }

    pub fn iter(&self) -> impl Iterator<Item = (&JobId, i64)> {
        self.order.iter().map(|(score, job, _)| (job, *score))
    }
}
