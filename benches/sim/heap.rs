//! What anyone would write: a loop on the standard library's heap. Entries are as small as they can be,
//! and events of one instant come in the order of their numbers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Counts;
use crate::agenda::{Queue, simulate};
use crate::workload::Workload;

pub fn run(workload: &Workload) -> Counts {
    simulate(&mut Heap(BinaryHeap::new()), workload)
}

struct Heap(BinaryHeap<Reverse<(u64, u32)>>);

impl Queue for Heap {
    #[inline]
    fn push(&mut self, at: u64, event: u32) {
        self.0.push(Reverse((at, event)));
    }

    #[inline]
    fn pop(&mut self) -> Option<(u64, u32)> {
        self.0.pop().map(|Reverse(entry)| entry)
    }
}
