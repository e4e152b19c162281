//! One direction of a connection: what is under way, and when it may arrive. No I/O, no clock.

use std::collections::VecDeque;

use crate::time::{Instant, Span};

use crate::fault::rules::Flow;

/// Bytes that may be under way under latency, per direction: 20 ms at 200 MB/s.
const UNDER_WAY_MAX: usize = 4 << 20;

/// With a limited bandwidth, bytes are let through in slices of what passes in this time, so that
/// they flow evenly, and no slice needs a wakeup of its own more often than that.
const SLICE: Span = Span::from_millis(5);

/// A slice that was late (the thread did not run) is made up for by the next ones, up to this.
const CREDIT_MAX: Span = Span::from_millis(10);

/// The bytes of one direction that were read and not yet written, in order, and then their end.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    queue: VecDeque<Item>,
    bytes: usize,
    /// What has been let through is paid for, at the bandwidth's rate, up to here.
    paid_until: Instant,
    /// The last slice is followed by nothing before then.
    sliced_until: Instant,
    /// Bytes that have passed since an amount was set for them.
    counted: u64,
}

#[derive(Debug)]
struct Item {
    arrived: Instant,
    /// Which part of the jitter this item gets, from -1 to 1, in units of 2^-31.
    share: i32,
    what: What,
}

#[derive(Debug)]
enum What {
    /// `data[start..]`, not empty.
    Bytes {
        data: Vec<u8>,
        start: usize,
    },
    End(End),
}

/// How a direction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Fin,
    Reset,
}

/// What can be let through.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// Write these, or the first of these, and say how many by [`Pipe::written`].
    Bytes(&'a [u8]),
    End(End),
    /// Nothing before then.
    Wait(Instant),
    Empty,
}

impl Pipe {
    /// Takes in what was read. When it may leave is decided by the rules at that time, not by those
    /// of now: so a change of rules is a change for what is under way, too.
    pub(super) fn push(&mut self, bytes: &[u8], arrived: Instant, share: i32) {
        if bytes.is_empty() {
            return;
        }
        self.bytes += bytes.len();
        self.queue.push_back(Item { arrived, share, what: What::Bytes { data: bytes.to_vec(), start: 0 } });
    }

    pub(super) fn push_end(&mut self, end: End, arrived: Instant, share: i32) {
        self.queue.push_back(Item { arrived, share, what: What::End(end) });
    }

    pub(super) fn next(&self, flow: &Flow, now: Instant) -> Next<'_> {
        let Some(item) = self.queue.front() else {
            return Next::Empty;
        };
        let due = item.due(flow);
        if due > now {
            return Next::Wait(due);
        }
        let What::Bytes { data, start } = &item.what else { return item.end() };
        let rest = &data[*start..];
        let mut most = rest.len();
        if let Some(rate) = flow.bytes_per_second {
            if self.paid_until > now {
                return Next::Wait(self.paid_until);
            }
            most = most.min(slice_bytes(rate));
        }
        if let Some(slices) = &flow.slices {
            if self.sliced_until > now {
                return Next::Wait(self.sliced_until);
            }
            most = most.min(usize::try_from(slices.size(item.share_at(*start))).unwrap_or(usize::MAX));
        }
        if let Some(left) = self.left(flow) {
            most = most.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        if most == 0 { Next::End(End::Fin) } else { Next::Bytes(&rest[..most]) }
    }

    /// Whether as much has passed as may: then the connection is closed.
    pub(super) fn is_spent(&self, flow: &Flow) -> bool {
        self.left(flow) == Some(0) && (self.counted > 0 || !self.queue.is_empty())
    }

    fn left(&self, flow: &Flow) -> Option<u64> {
        flow.bytes_max.map(|most| most.saturating_sub(self.counted))
    }

    /// Begins to count anew: no amount is set.
    pub(super) fn forget_amount(&mut self) {
        self.counted = 0;
    }

    /// The first `count` bytes that [`Self::next`] offered were written.
    pub(super) fn written(&mut self, count: usize, flow: &Flow, now: Instant) {
        let Some(Item { what: What::Bytes { data, start }, .. }) = self.queue.front_mut() else {
            unreachable!("only offered bytes are written");
        };
        *start += count;
        let emptied = *start == data.len();
        self.bytes -= count;
        if let Some(rate) = flow.bytes_per_second {
            self.paid_until = self.paid_until.max(now - CREDIT_MAX) + cost(count, rate);
        }
        if let Some(slices) = &flow.slices {
            self.sliced_until = now + slices.delay;
        }
        self.counted = self.counted.saturating_add(count as u64);
        if emptied {
            self.queue.pop_front();
        }
    }

    /// Whether more should be read. Without latency only when nothing waits: what waits then does so
    /// because the receiver, or the bandwidth, is the narrow place, and the sender should feel it.
    pub(super) fn has_room(&self, flow: &Flow) -> bool {
        self.queue.is_empty() || flow.delays() && self.bytes < UNDER_WAY_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Forgets everything that is under way, and returns how many bytes that was.
    pub(super) fn drop_all(&mut self) -> usize {
        self.queue.clear();
        std::mem::take(&mut self.bytes)
    }
}

impl Item {
    fn due(&self, flow: &Flow) -> Instant {
        let latency = i128::from(flow.latency.as_nanos());
        let jitter = (i128::from(flow.jitter.as_nanos()) * i128::from(self.share)) >> 31;
        let passed =
            self.arrived + Span::from_nanos(u64::try_from((latency + jitter).max(0)).unwrap_or(u64::MAX));
        match self.what {
            What::Bytes { .. } => passed,
            What::End(_) => passed + flow.close_delay,
        }
    }

    fn end(&self) -> Next<'_> {
        match self.what {
            What::End(end) => Next::End(end),
            What::Bytes { .. } => Next::Empty,
        }
    }

    /// Another share for each place in the item, and the same one whenever it is asked for.
    fn share_at(&self, start: usize) -> u32 {
        // The golden ratio's bits, as in Fibonacci hashing, spread neighbouring places.
        let start = u32::try_from(start % (1 << 31)).unwrap_or(0);
        self.share.cast_unsigned().wrapping_add(start.wrapping_mul(0x9E37_79B9))
    }
}

fn slice_bytes(bytes_per_second: u64) -> usize {
    let bytes = u128::from(bytes_per_second) * u128::from(SLICE.as_nanos()) / 1_000_000_000;
    usize::try_from(bytes).unwrap_or(usize::MAX).max(1)
}

fn cost(bytes: usize, bytes_per_second: u64) -> Span {
    let nanos = (bytes as u128 * 1_000_000_000).div_ceil(u128::from(bytes_per_second));
    Span::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::rules::Slices;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(1_000 * MS + millis * MS)
    }

    /// Lets everything through, waiting as told, and returns the bytes with their times.
    fn drain(pipe: &mut Pipe, flow: &Flow, mut now: Instant) -> Vec<(Instant, u8)> {
        let mut out = Vec::new();
        loop {
            let count = match pipe.next(flow, now) {
                Next::Empty | Next::End(_) => return out,
                Next::Wait(until) => {
                    assert!(until > now, "a wait is for later");
                    now = until;
                    continue;
                }
                Next::Bytes(bytes) => {
                    out.extend(bytes.iter().map(|byte| (now, *byte)));
                    bytes.len()
                }
            };
            pipe.written(count, flow, now);
        }
    }

    #[test]
    fn every_chunk_is_late_by_the_latency_after_its_own_arrival() {
        let flow = Flow { latency: Span::from_millis(100), ..Flow::default() };
        let mut pipe = Pipe::default();
        for chunk in 0..5 {
            pipe.push(&[chunk], at(u64::from(chunk)), 0);
        }
        let expected: Vec<_> = (0..5).map(|chunk| (at(100 + u64::from(chunk)), chunk)).collect();
        assert_eq!(drain(&mut pipe, &flow, at(0)), expected);
    }

    #[test]
    fn bytes_pass_at_the_rate_and_evenly() {
        let flow = Flow { bytes_per_second: Some(10_000), ..Flow::default() };
        let mut pipe = Pipe::default();
        pipe.push(&[7; 1_000], at(0), 0);
        let out = drain(&mut pipe, &flow, at(0));
        let by = |millis| out.iter().filter(|(when, _)| *when <= at(millis)).count();
        // Ten bytes per millisecond; a slice is five, and the credit of a rested pipe ten of them.
        for millis in [0, 10, 50, 80] {
            let due = usize::try_from(millis * 10).unwrap();
            assert!((due..=due + 200).contains(&by(millis)), "{} by {millis} ms", by(millis));
        }
        assert!(out.last().unwrap().0 >= at(80));
    }

    #[test]
    fn what_is_under_way_obeys_new_rules() {
        let slow = Flow { latency: Span::from_secs(3_600), ..Flow::default() };
        let mut pipe = Pipe::default();
        pipe.push(b"a", at(0), 0);
        assert_eq!(pipe.next(&slow, at(1)), Next::Wait(at(3_600_000)));
        assert_eq!(pipe.next(&Flow::default(), at(1)), Next::Bytes(b"a"));
    }

    #[test]
    fn the_end_comes_after_the_bytes_and_as_late() {
        let flow = Flow { latency: Span::from_millis(10), ..Flow::default() };
        let mut pipe = Pipe::default();
        pipe.push(b"a", at(0), 0);
        pipe.push_end(End::Fin, at(5), 0);
        assert_eq!(drain(&mut pipe, &flow, at(0)), [(at(10), b'a')]);
        assert_eq!(pipe.next(&flow, at(10)), Next::Wait(at(15)));
        assert_eq!(pipe.next(&flow, at(15)), Next::End(End::Fin));
    }

    #[test]
    fn bytes_pass_in_slices_with_a_wait_after_each() {
        let slices = Slices { average_size: 10, size_variation: 4, delay: Span::from_millis(3) };
        let flow = Flow { slices: Some(slices), ..Flow::default() };
        let mut pipe = Pipe::default();
        pipe.push(&[7; 100], at(0), 12_345);
        let out = drain(&mut pipe, &flow, at(0));
        assert_eq!(out.len(), 100);
        let mut sizes: std::collections::BTreeMap<Instant, u64> = std::collections::BTreeMap::new();
        out.iter().for_each(|(when, _)| *sizes.entry(*when).or_default() += 1);
        let times: Vec<Instant> = sizes.keys().copied().collect();
        assert!(times.windows(2).all(|pair| pair[1].since(pair[0]) == slices.delay), "{times:?}");
        let mut whole = sizes.values().rev().skip(1);
        assert!(whole.all(|size| (6..=14).contains(size)), "{sizes:?}");
    }

    #[test]
    fn the_end_comes_late_and_the_bytes_do_not() {
        let flow = Flow { close_delay: Span::from_millis(10), ..Flow::default() };
        let mut pipe = Pipe::default();
        pipe.push(b"a", at(0), 0);
        pipe.push_end(End::Fin, at(5), 0);
        assert_eq!(drain(&mut pipe, &flow, at(0)), [(at(0), b'a')]);
        assert_eq!(pipe.next(&flow, at(5)), Next::Wait(at(15)));
        assert_eq!(pipe.next(&flow, at(15)), Next::End(End::Fin));
    }

    #[test]
    fn no_more_bytes_pass_than_the_amount() {
        let flow = Flow { bytes_max: Some(5), ..Flow::default() };
        let mut pipe = Pipe::default();
        pipe.push(b"abc", at(0), 0);
        pipe.push(b"defg", at(0), 0);
        assert!(!pipe.is_spent(&flow));
        let out = drain(&mut pipe, &flow, at(0));
        assert_eq!(out.iter().map(|(_, byte)| *byte).collect::<Vec<_>>(), b"abcde");
        assert!(pipe.is_spent(&flow));
        pipe.forget_amount();
        assert!(!pipe.is_spent(&flow));
    }

    proptest! {
        #[test]
        fn under_any_rules_bytes_leave_in_order_and_not_before_they_may(
            chunks in prop::collection::vec((0u64..50, 1usize..300, any::<i32>()), 1..40),
            latency in 0u64..200,
            jitter in 0u64..300,
            rate in prop::option::of(1u64..1_000_000),
        ) {
            let flow = Flow {
                latency: Span::from_millis(latency),
                jitter: Span::from_millis(jitter),
                bytes_per_second: rate,
                ..Flow::default()
            };
            let (mut pipe, mut sent, mut millis) = (Pipe::default(), Vec::new(), 0);
            for (gap, len, share) in chunks {
                millis += gap;
                for _ in 0..len {
                    sent.push((at(millis + latency.saturating_sub(jitter)), sent.len() as u8));
                }
                let bytes: Vec<u8> = sent[sent.len() - len..].iter().map(|(_, byte)| *byte).collect();
                pipe.push(&bytes, at(millis), share);
            }
            let out = drain(&mut pipe, &flow, at(0));
            prop_assert_eq!(out.len(), sent.len());
            for ((when, byte), (earliest, expected)) in out.iter().zip(&sent) {
                prop_assert_eq!(byte, expected);
                prop_assert!(when >= earliest);
            }
            prop_assert!(out.is_sorted_by_key(|(when, _)| *when));
            prop_assert_eq!(pipe.bytes, 0);
        }
    }
}
