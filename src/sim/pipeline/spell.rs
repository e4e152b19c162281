//! When faults come and go.

use super::draw::Draw;
use super::settings::Spells;
use crate::dist::Random;

const NEVER: u64 = u64::MAX;

/// Spells, and the next one of each worker.
#[derive(Debug)]
pub(super) struct Source {
    gap: Draw,
    lasting: Draw,
    random: Random,
    next: Vec<Spell>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Spell {
    pub(super) start: u64,
    /// Not in it.
    pub(super) end: u64,
}

impl Source {
    pub(super) fn new(spells: &Spells, seed: u64, stream: &str, count: u32) -> Self {
        let random = Random::stream(seed, stream);
        let none = Spell { start: 0, end: 0 };
        let next = vec![none; count as usize];
        let mut source =
            Self { gap: Draw::new(&spells.gap), lasting: Draw::new(&spells.lasting), random, next };
        (0..count).for_each(|index| {
            source.after(index, 0);
        });
        source
    }

    #[inline]
    pub(super) fn next(&self, index: u32) -> Spell {
        self.next[index as usize]
    }

    /// The next spell, the gap before it counted from `at`.
    pub(super) fn after(&mut self, index: u32, at: u64) -> Spell {
        let start = at.saturating_add(self.gap.draw(&mut self.random));
        let end = start.saturating_add(self.lasting.draw(&mut self.random));
        self.next[index as usize] = Spell { start, end };
        self.next[index as usize]
    }

    /// `at`, or the end of the spell that it falls into. For one index, `at` never goes back.
    pub(super) fn skip(&mut self, index: u32, at: u64) -> u64 {
        let mut spell = self.next[index as usize];
        while spell.end <= at && spell.end != NEVER {
            spell = self.after(index, spell.end);
        }
        if spell.start <= at { spell.end } else { at }
    }
}
