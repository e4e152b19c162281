//! What was simulated so far: told as it is found, and asked for before it is found again.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::simulated::Simulated;
use crate::scenario::question::Bear;
use crate::timing::Pipeline;

/// All that a simulation of a setting depends on, but for the program itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub u64);

impl Key {
    #[must_use]
    pub fn of(pipeline: &Pipeline, bear: &Bear, events: u64, seed: u64) -> Self {
        let mut hasher = DefaultHasher::new();
        // Neither has a hash; their text says all that is in them.
        (format!("{pipeline:?} {bear:?}"), events, seed).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Called from several threads.
pub trait Ledger: Sync {
    /// So many more settings will be simulated.
    fn expect(&self, settings: usize);
    fn recall(&self, key: Key) -> Option<Simulated>;
    fn keep(&self, key: Key, simulated: &Simulated);
    /// One of the settings is done.
    fn settled(&self);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoLedger;

impl Ledger for NoLedger {
    fn expect(&self, _settings: usize) {}

    fn recall(&self, _key: Key) -> Option<Simulated> {
        None
    }

    fn keep(&self, _key: Key, _simulated: &Simulated) {}

    fn settled(&self) {}
}
