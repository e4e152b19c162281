//! The queue of coming events in virtual time.
//!
//! A calendar queue (Brown 1988): time is cut into days of 2ᵏ ns, and a ring of buckets holds the days
//! next to come, one bucket a day. Push and pop then cost the same whatever the number of events, where
//! a heap pays a logarithm of it, in cache misses. Two heaps stand by for what a calendar is bad at:
//! `far` for what lies beyond the ring, and `crowd` for a day with many events. At worst, then, this is
//! a heap. The length of a day and the number of days follow the load.
//!
//! No entry has a sequence number in the ring. Entries of one instant are always on one list, and lists,
//! heaps and rebuilding keep their order.

mod heap;
mod ring;
#[cfg(test)]
mod tests;

use crate::time::Instant;
use heap::Heap;
use ring::Ring;

/// Up to how many events a day is kept as a sorted list, where an insertion moves half of them.
const CROWD: usize = 24;
/// Events between two looks at the load, at least, once the agenda has been in use for a while.
const PERIOD_MIN: u64 = 1_024;
/// Events between the first look and the second. What an agenda is made for shows only when it is used, and
/// a short simulation is over before a long period is.
const PERIOD_FIRST: u64 = 128;

/// Events and the instants at which they are due; the earliest comes out first, and events of one instant
/// come out in the order in which they were pushed.
///
/// Time never goes back: an instant before that of the last event popped counts as that one. Instants up
/// to and including `Instant::FAR_FUTURE` are allowed. Holds at most 2³² − 1 events. When the number of
/// events and their density no longer grow, nothing is allocated.
#[derive(Debug, Clone)]
pub struct Agenda<E> {
    /// Of the last event that was popped.
    now: u64,
    len: usize,
    /// Events of days before `ring.first_day`, the latest first: the next to pop is the last.
    today: Vec<(u64, E)>,
    /// Events of the same days that were pushed later than all that are in `today`.
    crowd: Heap<E>,
    ring: Ring<E>,
    /// Events of days after those of the ring. An instant's events are all here or all in the ring.
    far: Heap<E>,
    load: Load,
}

/// What the length of a day is derived from.
#[derive(Debug, Clone, Copy)]
struct Load {
    /// When and since when `events` have been counted.
    since: u64,
    events: u64,
    /// The load is looked at after so many events.
    period: u64,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Agenda<E> {
    #[must_use]
    pub fn new() -> Self {
        Self {
            now: 0,
            len: 0,
            today: Vec::new(),
            crowd: Heap::new(),
            ring: Ring::new(),
            far: Heap::new(),
            load: Load { since: 0, events: 0, period: 0 },
        }
    }

    /// One whose time begins at `now`: the load is measured from there.
    #[must_use]
    pub fn beginning_at(now: Instant) -> Self {
        let now = now.as_nanos();
        let mut agenda = Self::new();
        agenda.now = now;
        agenda.load.since = now;
        agenda.ring.turn_to(agenda.ring.day_of(now));
        agenda
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The instant of the last event that was popped; zero before the first.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    /// # Panics
    /// With 2³² events in the queue.
    #[inline]
    pub fn push(&mut self, at: Instant, event: E) {
        let at = at.as_nanos().max(self.now);
        self.len += 1;
        if self.ring.covers(at) {
            self.ring.push(at, event);
        } else if self.ring.is_past(at) {
            self.push_today(at, event);
        } else {
            self.far.push(at, event);
        }
    }

    #[inline]
    pub fn pop(&mut self) -> Option<(Instant, E)> {
        self.pop_until(Instant::FAR_FUTURE)
    }

    /// The next event, unless it is due after `limit`.
    #[inline]
    pub fn pop_until(&mut self, limit: Instant) -> Option<(Instant, E)> {
        let limit = limit.as_nanos();
        loop {
            if !self.crowd.is_empty() {
                return self.pop_crowd(limit);
            }
            if let Some((at, event)) = self.today.pop_if(|(at, _)| *at <= limit) {
                return Some(self.popped(at, event));
            }
            if !self.today.is_empty() || !self.next_day(limit) {
                return None;
            }
        }
    }

    /// When the next event is due.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        let today = self.today.last().map(|(at, _)| *at);
        let next = today.into_iter().chain(self.crowd.next_at()).min();
        let next = next.or_else(|| self.ring.next_at()).or_else(|| self.far.next_at());
        next.map(Instant::from_nanos)
    }

    #[inline]
    fn popped(&mut self, at: u64, event: E) -> (Instant, E) {
        self.now = at;
        self.len -= 1;
        (Instant::from_nanos(at), event)
    }

    /// Of two events of one instant, that in `today` was pushed first.
    #[cold]
    fn pop_crowd(&mut self, limit: u64) -> Option<(Instant, E)> {
        let crowd = self.crowd.next_at()?;
        let (at, event) = if self.today.last().is_some_and(|(today, _)| *today <= crowd) {
            self.today.pop_if(|(at, _)| *at <= limit)?
        } else if crowd <= limit {
            self.crowd.pop()?
        } else {
            return None;
        };
        Some(self.popped(at, event))
    }

    /// Into a day that has begun. Comes after all events of its instant.
    fn push_today(&mut self, at: u64, event: E) {
        self.load.events += 1;
        if self.crowd.is_empty() && self.today.len() < CROWD {
            let later = self.today.iter().rposition(|(other, _)| *other > at).map_or(0, |index| index + 1);
            self.today.insert(later, (at, event));
        } else {
            self.crowd.push(at, event);
        }
    }

    /// Moves the events of the next day that has any into `today`, which is empty, as `crowd` is. False
    /// if no event is due up to `limit`, roughly: the day may yet hold only events after it.
    #[inline]
    fn next_day(&mut self, limit: u64) -> bool {
        if self.load.events >= self.load.period {
            self.look_at_the_load();
        }
        let Some(day) = self.ring.next_day() else {
            return self.turn_to_far(limit) && self.next_day(limit);
        };
        if self.ring.starts_at(day) > limit {
            return false;
        }
        self.ring.turn_to(day);
        let (today, crowd) = (&mut self.today, &mut self.crowd);
        self.load.events += self.ring.take_day(today);
        if !today.is_sorted_by(|(later, _), (sooner, _)| later >= sooner) {
            if today.len() <= CROWD {
                sort(today);
            } else {
                // Its order is that of pushing, reversed.
                today.drain(..).rev().for_each(|(at, event)| crowd.push(at, event));
            }
        }
        self.let_far_come_near();
        true
    }

    /// Turns the ring, which is empty, to the first event beyond it. False if that is due after `limit`.
    #[cold]
    fn turn_to_far(&mut self, limit: u64) -> bool {
        let Some(at) = self.far.next_at().filter(|at| *at <= limit) else { return false };
        self.ring.turn_to(self.ring.day_of(at));
        self.let_far_come_near();
        true
    }

    /// What the ring now covers goes from `far` into it, before anything is pushed there.
    #[inline]
    fn let_far_come_near(&mut self) {
        while self.far.next_at().is_some_and(|at| self.ring.covers(at)) {
            if let Some((at, event)) = self.far.pop() {
                self.ring.push(at, event);
            }
        }
    }

    /// Sets the length of a day so that about one event falls into it, and as many days as reach the
    /// events to come. `today` and `crowd` are empty.
    #[cold]
    fn look_at_the_load(&mut self) {
        let Load { since, events, period } = self.load;
        let reach = self.reach();
        let gap = match (self.now - since).checked_div(events) {
            Some(gap) if gap > 0 => gap,
            _ => reach / (self.len as u64).max(1),
        };
        let longest = PERIOD_MIN + 4 * self.len as u64;
        self.load = Load { since: self.now, events: 0, period: (period * 4).clamp(PERIOD_FIRST, longest) };
        if self.len > 0 && self.ring.reshape(self.now, gap, reach, self.len, &mut self.far) {
            self.let_far_come_near();
        }
    }

    /// A power of two, in nanoseconds, below which all but one in 32 of the events are away from now.
    fn reach(&self) -> u64 {
        let mut counts = [0_usize; 64];
        for at in self.ring.instants().chain(self.far.instants()) {
            counts[(at.saturating_sub(self.now) | 1).ilog2() as usize] += 1;
        }
        let mut beyond = self.len;
        let bits = counts.iter().take_while(|count| {
            let more = beyond > self.len / 32;
            beyond -= **count;
            more
        });
        1_u64.checked_shl(bits.count() as u32).unwrap_or(u64::MAX)
    }
}

/// By insertion, the latest first. Of one instant, the order stays.
fn sort<E>(day: &mut [(u64, E)]) {
    for end in 1..day.len() {
        let mut index = end;
        while index > 0 && day[index - 1].0 < day[index].0 {
            day.swap(index - 1, index);
            index -= 1;
        }
    }
}
