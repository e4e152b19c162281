//! How a pool tells its parts' commands apart.

use crate::names::Store;
use crate::protocol::CommandId;

/// A command's number beside whose it is and which store it goes to, all in one [`CommandId`]: each
/// worker numbers its commands from 1, and the reply alone does not say which store it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    pub part: Part,
    pub store: Store,
    pub number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The pool itself.
    Own,
    /// By its place.
    Worker(usize),
}

impl Tag {
    /// In a pool of so many workers.
    pub fn pack(self, workers: usize) -> CommandId {
        let part = match self.part {
            Part::Own => 0,
            Part::Worker(place) => place as u64 + 1,
        };
        let stores = Store::ALL.len() as u64;
        CommandId((self.number * (workers as u64 + 1) + part) * stores + self.store as u64)
    }

    pub fn unpack(CommandId(packed): CommandId, workers: usize) -> Self {
        let (stores, parts) = (Store::ALL.len() as u64, workers as u64 + 1);
        let store = if packed % stores == Store::Redis as u64 { Store::Redis } else { Store::Postgres };
        let packed = packed / stores;
        let part = usize::try_from(packed % parts).unwrap_or(usize::MAX);
        Self { part: part.checked_sub(1).map_or(Part::Own, Part::Worker), store, number: packed / parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        for workers in [1, 4, 8] {
            for part in [Part::Own, Part::Worker(0), Part::Worker(workers - 1)] {
                for store in Store::ALL {
                    for number in [0, 1, 77_777] {
                        let tag = Tag { part, store, number };
                        assert_eq!(Tag::unpack(tag.pack(workers), workers), tag);
                    }
                }
            }
        }
    }
}
