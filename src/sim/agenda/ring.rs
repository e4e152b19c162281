//! The ring of days: a bucket per day, a list per bucket, all lists in one pool.

use super::heap::Heap;

const NONE: u32 = u32::MAX;
/// As many as the nearest cache bears, so that a small simulation's timers wait here and not in the heap.
const DAYS_MIN: u64 = 1_024;
/// Days per event, at most. More would let fewer events wait in the heap, but cost more cache.
const DAYS_PER_EVENT: u64 = 4;

#[derive(Debug, Clone)]
pub(super) struct Ring<E> {
    /// A day has 2^`shift` ns; at least 1, so that a day's number plus a ring of days fits.
    shift: u32,
    /// The earliest day that the ring covers.
    first_day: u64,
    /// The number of days is a power of two; this is one less.
    mask: u64,
    /// Of each bucket's list, the entry that was pushed last.
    heads: Vec<u32>,
    /// A bit per bucket that is not empty.
    occupied: Vec<u64>,
    pool: Vec<Node<E>>,
    free: u32,
}

#[derive(Debug, Clone)]
struct Node<E> {
    at: u64,
    /// The entry of the bucket that was pushed before this one.
    next: u32,
    /// `None` if the node is free.
    event: Option<E>,
}

impl<E> Ring<E> {
    pub(super) fn new() -> Self {
        Self {
            shift: 20,
            first_day: 0,
            mask: DAYS_MIN - 1,
            heads: vec![NONE; DAYS_MIN as usize],
            occupied: vec![0; DAYS_MIN as usize / 64],
            pool: Vec::new(),
            free: NONE,
        }
    }

    #[inline]
    pub(super) fn day_of(&self, at: u64) -> u64 {
        at >> self.shift
    }

    #[inline]
    pub(super) fn starts_at(&self, day: u64) -> u64 {
        day << self.shift
    }

    /// Whether the ring has a bucket for the instant now.
    #[inline]
    pub(super) fn covers(&self, at: u64) -> bool {
        self.day_of(at).wrapping_sub(self.first_day) <= self.mask
    }

    #[inline]
    pub(super) fn is_past(&self, at: u64) -> bool {
        self.day_of(at) < self.first_day
    }

    /// The ring covers `at`.
    #[inline]
    pub(super) fn push(&mut self, at: u64, event: E) {
        let bucket = (self.day_of(at) & self.mask) as usize;
        let next = self.heads[bucket];
        let node = Node { at, next, event: Some(event) };
        let index = self.free;
        if let Some(slot) = self.pool.get_mut(index as usize) {
            self.free = slot.next;
            *slot = node;
            self.heads[bucket] = index;
        } else {
            assert!(self.pool.len() < NONE as usize, "an agenda holds fewer than 2^32 events");
            self.heads[bucket] = self.pool.len() as u32;
            self.pool.push(node);
        }
        if next == NONE {
            self.occupied[bucket / 64] |= 1 << (bucket % 64);
        }
    }

    /// The earliest day that has events.
    #[inline]
    pub(super) fn next_day(&self) -> Option<u64> {
        let start = self.first_day & self.mask;
        let words = self.occupied.len();
        let mut word = (start / 64) as usize;
        let mut bits = self.occupied[word] & (u64::MAX << (start % 64));
        // Once round, and the first word's lower half again.
        for _ in 0..=words {
            if bits != 0 {
                let bucket = word as u64 * 64 + u64::from(bits.trailing_zeros());
                return Some(self.first_day + (bucket.wrapping_sub(start) & self.mask));
            }
            word = if word + 1 == words { 0 } else { word + 1 };
            bits = self.occupied[word];
        }
        None
    }

    /// The earliest instant that has events.
    pub(super) fn next_at(&self) -> Option<u64> {
        let bucket = (self.next_day()? & self.mask) as usize;
        self.list(self.heads[bucket]).map(|node| node.at).min()
    }

    /// Makes `day` the first. No earlier day has events.
    #[inline]
    pub(super) fn turn_to(&mut self, day: u64) {
        self.first_day = day;
    }

    /// Moves the first day's events into `into`, in the reverse of the order of pushing, and turns to the
    /// next day. How many they were.
    #[inline]
    pub(super) fn take_day(&mut self, into: &mut Vec<(u64, E)>) -> u64 {
        let bucket = (self.first_day & self.mask) as usize;
        self.first_day += 1;
        self.occupied[bucket / 64] &= !(1 << (bucket % 64));
        let mut index = std::mem::replace(&mut self.heads[bucket], NONE);
        let mut count = 0;
        while let Some(node) = self.pool.get_mut(index as usize) {
            if let Some(event) = node.event.take() {
                into.push((node.at, event));
            }
            let next = std::mem::replace(&mut node.next, self.free);
            self.free = index;
            index = next;
            count += 1;
        }
        count
    }

    pub(super) fn instants(&self) -> impl Iterator<Item = u64> {
        self.pool.iter().filter(|node| node.event.is_some()).map(|node| node.at)
    }

    /// Makes days of about `gap` ns, and so many that they reach `reach` ns from `now` on, or as many as
    /// suit `len` events. What they do not cover goes to `far`. False if all stays as it is, because the
    /// days are about right.
    pub(super) fn reshape(&mut self, now: u64, gap: u64, reach: u64, len: usize, far: &mut Heap<E>) -> bool {
        let shift = gap.max(2).ilog2().min(62);
        let most = (len as u64 * DAYS_PER_EVENT).next_power_of_two();
        let days = (reach >> shift).next_power_of_two().min(most).max(DAYS_MIN);
        let is = self.mask + 1;
        if shift.abs_diff(self.shift) <= 1 && days <= is * 2 && is <= days * 4 {
            return false;
        }
        let mut all = self.unlink_all();
        self.shift = shift;
        self.first_day = self.day_of(now);
        self.mask = days - 1;
        self.heads.clear();
        self.heads.resize(days as usize, NONE);
        self.occupied.clear();
        self.occupied.resize(days as usize / 64, 0);
        while let Some(node) = self.pool.get_mut(all as usize) {
            let index = all;
            all = node.next;
            let at = node.at;
            if self.covers(at) {
                let bucket = (self.day_of(at) & self.mask) as usize;
                self.occupied[bucket / 64] |= 1 << (bucket % 64);
                self.pool[index as usize].next = std::mem::replace(&mut self.heads[bucket], index);
            } else {
                let node = &mut self.pool[index as usize];
                node.next = std::mem::replace(&mut self.free, index);
                if let Some(event) = node.event.take() {
                    far.push(at, event);
                }
            }
        }
        true
    }

    /// Strings all entries together, those of one instant in the order in which they were pushed.
    fn unlink_all(&mut self) -> u32 {
        let mut all = NONE;
        for head in &self.heads {
            let mut index = *head;
            while let Some(node) = self.pool.get_mut(index as usize) {
                let next = std::mem::replace(&mut node.next, all);
                all = index;
                index = next;
            }
        }
        all
    }

    fn list(&self, head: u32) -> impl Iterator<Item = &Node<E>> {
        std::iter::successors(self.pool.get(head as usize), |node| self.pool.get(node.next as usize))
    }
}
