//! The settings that a question lets move: every combination of its axes' values that its ties allow.

use crate::scenario::catalogue::{Quantity, Values};
use crate::scenario::question::{Axis, Question};

/// One combination: for each axis the index of its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting(pub Box<[u16]>);

/// All combinations, ties or not, by number.
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

    /// The `number`-th combination, the last axis moving first.
    ///
    /// # Panics
    /// From [`Self::size`] on, in debug builds.
    #[must_use]
    pub fn setting(&self, number: u64) -> Setting {
        debug_assert!(number < self.size(), "there are fewer settings");
        let mut rest = number;
        let mut indices = vec![0_u16; self.axes.len()];
        for (index, axis) in indices.iter_mut().zip(self.axes).rev() {
            let values = axis.values.len() as u64;
            *index = u16::try_from(rest % values).unwrap_or(u16::MAX);
            rest /= values;
        }
        Setting(indices.into())
    }

    /// The values of a setting, in the axes' order.
    pub fn values<'s>(&'s self, setting: &'s Setting) -> impl Iterator<Item = (&'q str, Quantity)> + 's {
        let chosen = self.axes.iter().zip(&setting.0);
        chosen.map(|(axis, index)| (axis.parameter.as_str(), axis.values[usize::from(*index)]))
    }

    /// Every parameter of the system, with the setting's values in place of the present ones.
    pub fn apply(&self, setting: &Setting, values: &mut Values) {
        for (parameter, value) in self.values(setting) {
            if let Some(present) = values.get_mut(parameter) {
                *present = value;
            }
        }
    }
}
