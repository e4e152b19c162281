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
        match &item.what {
            What::End(end) => Next::End(*end),
            What::Bytes { data, start } => match flow.bytes_per_second {
                None => Next::Bytes(&data[*start..]),
                Some(_) if self.paid_until > now => Next::Wait(self.paid_until),
                Some(rate) => {
                    let rest = &data[*start..];
                    Next::Bytes(&rest[..rest.len().min(slice_bytes(rate))])
                }
            },
        }
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
        self.arrived + Span::from_nanos(u64::try_from((latency + jitter).max(0)).unwrap_or(u64::MAX))
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
