//! A queue for events that are each scheduled after all that are already in it.

/// Where the delay is constant, events are scheduled in the order in which they fall due, and the general
/// queue's work to find their place is saved. Holds one event per worker at most.
#[derive(Debug)]
pub(super) struct Lane {
    /// When due, and whose. A power of two long.
    ring: Box<[(u64, u32)]>,
    /// Both only grow; the place in the ring is the remainder.
    first: usize,
    end: usize,
}

impl Lane {
    /// With its first events, in order, and room for one of each of so many workers.
    pub(super) fn new(first: Vec<(u64, u32)>, workers: u32) -> Self {
        assert!(first.is_sorted_by_key(|(at, _)| *at), "a lane starts in order");
        let end = first.len();
        let mut ring = first;
        ring.resize((workers as usize).next_power_of_two(), (0, 0));
        Self { ring: ring.into(), first: 0, end }
    }

    /// When the next event is due; the end of time if there is none.
    #[inline]
    pub(super) fn next_at(&self) -> u64 {
        if self.first == self.end { u64::MAX } else { self.ring[self.place(self.first)].0 }
    }

    /// Takes the next event, of which there is one: when it is due, and whose it is.
    #[inline]
    pub(super) fn pop(&mut self) -> (u64, u32) {
        let event = self.ring[self.place(self.first)];
        self.first += 1;
        event
    }

    /// Due no sooner than all events in the lane.
    #[inline]
    pub(super) fn push(&mut self, at: u64, worker: u32) {
        debug_assert!(self.end - self.first < self.ring.len(), "a worker has one event in a lane");
        debug_assert!(
            self.first == self.end || self.ring[self.place(self.end.wrapping_sub(1))].0 <= at,
            "an event of a lane is due after those before it"
        );
        let place = self.place(self.end);
        self.ring[place] = (at, worker);
        self.end += 1;
    }

    #[inline]
    fn place(&self, count: usize) -> usize {
        count & (self.ring.len() - 1)
    }
}
