//! The settings that a question lets move: every combination of its axes' values.

use crate::scenario::catalogue::Values;
use crate::scenario::question::{Axis, Question};

/// All combinations, whether the ties allow them or not, by number.
#[derive(Debug, Clone, Copy)]
pub struct Space<'q> {
    axes: &'q [Axis],
}

impl<'q> Space<'q> {
    #[must_use]
    pub fn of(question: &'q Question) -> Self {
        Self { axes: &question.axes }
    }

    /// How many combinations there are; at most [`crate::scenario::question::SETTINGS_MAX`].
    #[must_use]
    pub fn size(&self) -> u64 {
        self.axes.iter().map(|axis| axis.values.len() as u64).product()
    }

    /// Puts the values of the `number`-th combination in place of the present ones, the last axis moving
    /// first.
    ///
    /// # Panics
    /// From [`Self::size`] on, in debug builds.
    pub fn apply(&self, number: u64, values: &mut Values) {
        debug_assert!(number < self.size(), "there are fewer settings");
        let mut rest = number;
        for axis in self.axes.iter().rev() {
            let count = axis.values.len() as u64;
            if let Some(present) = values.get_mut(&axis.parameter) {
                *present = axis.values[(rest % count) as usize];
            }
            rest /= count;
        }
    }
}
