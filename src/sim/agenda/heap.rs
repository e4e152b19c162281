//! A heap of events that keeps the order of pushing within an instant.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

#[derive(Debug, Clone)]
pub(super) struct Heap<E> {
    entries: BinaryHeap<Entry<E>>,
    pushed: u64,
}

#[derive(Debug, Clone)]
struct Entry<E> {
    at: u64,
    number: u64,
    event: E,
}

impl<E> Heap<E> {
    pub(super) fn new() -> Self {
        Self { entries: BinaryHeap::new(), pushed: 0 }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[inline]
    pub(super) fn next_at(&self) -> Option<u64> {
        self.entries.peek().map(|entry| entry.at)
    }

    pub(super) fn push(&mut self, at: u64, event: E) {
        self.entries.push(Entry { at, number: self.pushed, event });
        self.pushed += 1;
    }

    pub(super) fn pop(&mut self) -> Option<(u64, E)> {
        self.entries.pop().map(|entry| (entry.at, entry.event))
    }

    pub(super) fn instants(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().map(|entry| entry.at)
    }
}

/// The standard heap pops the greatest: the earliest is.
impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}
