//! What the toxics on a link amount to, together. Pure.

use super::{Direction, Toxic};
use crate::time::Span;

/// Index of the direction from the process to its endpoint.
pub const UP: usize = 0;
/// Index of the direction from the endpoint to the process.
pub const DOWN: usize = 1;

/// The rules of a link. The default is that of a link without toxics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    pub door: Door,
    /// By direction: [`UP`], [`DOWN`].
    pub flow: [Flow; 2],
}

/// What happens to connections as such. In ascending order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Door {
    #[default]
    Open,
    /// Every connection is reset, open or new.
    Resets,
    /// No connection is open, and the port is closed.
    Closed,
}

/// What happens to the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flow {
    pub gate: Gate,
    pub latency: Span,
    pub jitter: Span,
    /// At least 1.
    pub bytes_per_second: Option<u64>,
    /// How much later than its bytes the end of a connection is passed on.
    pub close_delay: Span,
    pub slices: Option<Slices>,
    /// A connection is closed once so many bytes have passed.
    pub bytes_max: Option<u64>,
}

/// In what portions bytes pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slices {
    /// At least 1.
    pub average_size: u64,
    /// Less than `average_size`.
    pub size_variation: u64,
    /// After each.
    pub delay: Span,
}

impl Slices {
    /// The size of one slice, at least 1: `share` of the variation, from 0 to 2³² - 1, from the
    /// smallest to the largest.
    #[must_use]
    pub fn size(&self, share: u32) -> u64 {
        let span = u128::from(self.size_variation) * 2 + 1;
        let part = (span * u128::from(share)) >> 32;
        let least = self.average_size.saturating_sub(self.size_variation);
        least.saturating_add(u64::try_from(part).unwrap_or(u64::MAX)).max(1)
    }

    /// How long a message of so many bytes is under way for the slices' sake, at most: the wait after
    /// the last slice holds up only what follows.
    #[must_use]
    pub fn longest(&self, bytes: u64) -> Span {
        let least = self.average_size.saturating_sub(self.size_variation).max(1);
        self.delay.saturating_mul(bytes.div_ceil(least).saturating_sub(1))
    }
}

/// In ascending order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Gate {
    #[default]
    Open,
    /// Nothing passes until it is healed; nothing is lost.
    Held,
    /// Nothing passes; what comes is lost.
    Swallows,
}

impl Rules {
    /// Toxics of one kind compose too, since faults overlap: latencies and jitters add up, the
    /// narrowest bandwidth rules, delays of a close add up, the smallest slices and the smallest
    /// amount rule, and of gates and doors the one of higher precedence.
    pub fn of(toxics: &[Toxic]) -> Self {
        let mut rules = Self::default();
        for toxic in toxics {
            rules.add(*toxic);
        }
        rules
    }

    /// Whether a connection can be made through the link. It takes both directions to make one.
    pub fn connects(&self) -> bool {
        self.door == Door::Open && self.flow.iter().all(|flow| flow.gate == Gate::Open)
    }

    fn add(&mut self, toxic: Toxic) {
        match toxic {
            Toxic::Latency { latency, jitter, direction } => self.on(direction, |flow| {
                flow.latency = flow.latency + latency;
                flow.jitter = flow.jitter + jitter;
            }),
            Toxic::Bandwidth { bytes_per_second, direction } => self.on(direction, |flow| {
                let narrowest = flow.bytes_per_second.unwrap_or(u64::MAX).min(bytes_per_second);
                flow.bytes_per_second = Some(narrowest.max(1));
            }),
            Toxic::Timeout => self.on(Direction::Both, |flow| flow.gate = Gate::Swallows),
            Toxic::Partition { direction } => {
                self.on(direction, |flow| flow.gate = flow.gate.max(Gate::Held));
            }
            Toxic::ResetPeer => self.door = self.door.max(Door::Resets),
            Toxic::Refuse => self.door = Door::Closed,
            Toxic::SlowClose { delay } => {
                self.on(Direction::Both, |flow| flow.close_delay = flow.close_delay + delay);
            }
            Toxic::Slicer { average_size, size_variation, delay, direction } => {
                let slices = Slices { average_size: average_size.max(1), size_variation, delay };
                self.on(direction, |flow| {
                    let smaller = flow.slices.is_none_or(|known| slices.average_size < known.average_size);
                    if smaller {
                        flow.slices = Some(slices);
                    }
                });
            }
            Toxic::LimitData { bytes, direction } => self.on(direction, |flow| {
                flow.bytes_max = Some(flow.bytes_max.unwrap_or(u64::MAX).min(bytes));
            }),
        }
    }

    fn on(&mut self, direction: Direction, change: impl Fn(&mut Flow)) {
        match direction {
            Direction::Both => self.flow.iter_mut().for_each(change),
            Direction::Upstream => change(&mut self.flow[UP]),
            Direction::Downstream => change(&mut self.flow[DOWN]),
        }
    }
}

impl Flow {
    /// As if there were no proxy.
    pub const CLEAR: Self = Self {
        gate: Gate::Open,
        latency: Span::ZERO,
        jitter: Span::ZERO,
        bytes_per_second: None,
        close_delay: Span::ZERO,
        slices: None,
        bytes_max: None,
    };

    /// Whether bytes pass as if there were no proxy.
    pub fn is_clear(&self) -> bool {
        *self == Self::default()
    }

    /// Whether bytes are under way for a while, so that more than one read is.
    pub fn delays(&self) -> bool {
        !self.latency.is_zero() || !self.jitter.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Span = Span::from_millis(1);

    #[test]
    fn toxics_of_several_kinds_and_directions_compose() {
        let rules = Rules::of(&[
            Toxic::Latency { latency: MS, jitter: MS, direction: Direction::Both },
            Toxic::Latency { latency: MS, jitter: Span::ZERO, direction: Direction::Upstream },
            Toxic::Bandwidth { bytes_per_second: 7, direction: Direction::Downstream },
            Toxic::Bandwidth { bytes_per_second: 9, direction: Direction::Both },
            Toxic::Partition { direction: Direction::Downstream },
        ]);
        let up = Flow { latency: MS + MS, jitter: MS, bytes_per_second: Some(9), ..Flow::default() };
        let down =
            Flow { gate: Gate::Held, latency: MS, jitter: MS, bytes_per_second: Some(7), ..Flow::default() };
        assert_eq!(rules, Rules { door: Door::Open, flow: [up, down] });
        assert!(!rules.connects());
    }

    #[test]
    fn the_order_of_toxics_does_not_matter_to_precedence() {
        let partition = Toxic::Partition { direction: Direction::Both };
        for (toxics, gate, door) in [
            ([Toxic::Timeout, partition], Gate::Swallows, Door::Open),
            ([partition, Toxic::Timeout], Gate::Swallows, Door::Open),
            ([Toxic::Refuse, Toxic::ResetPeer], Gate::Open, Door::Closed),
            ([Toxic::ResetPeer, Toxic::Refuse], Gate::Open, Door::Closed),
        ] {
            let rules = Rules::of(&toxics);
            assert_eq!((rules.flow[UP].gate, rules.door), (gate, door), "{toxics:?}");
        }
    }

    #[test]
    fn the_smallest_slices_and_amounts_rule_and_delays_of_a_close_add_up() {
        let slicer = |average_size| Toxic::Slicer {
            average_size,
            size_variation: 2,
            delay: MS,
            direction: Direction::Upstream,
        };
        let limit = |bytes| Toxic::LimitData { bytes, direction: Direction::Downstream };
        let close = Toxic::SlowClose { delay: MS };
        let rules = Rules::of(&[slicer(9), slicer(7), slicer(8), limit(30), limit(20), close, close]);
        let slices = Slices { average_size: 7, size_variation: 2, delay: MS };
        let up = Flow { close_delay: MS + MS, slices: Some(slices), ..Flow::default() };
        let down = Flow { close_delay: MS + MS, bytes_max: Some(20), ..Flow::default() };
        assert_eq!(rules, Rules { door: Door::Open, flow: [up, down] });
        assert!(rules.connects());
    }

    #[test]
    fn slices_vary_about_their_average_and_are_never_empty() {
        let slices = |average_size, size_variation| Slices { average_size, size_variation, delay: MS };
        for (slices, share, size) in [
            (slices(10, 3), 0, 7),
            (slices(10, 3), u32::MAX, 13),
            (slices(10, 3), 1 << 31, 10),
            (slices(1, 9), 0, 1),
            (slices(5, 0), 77, 5),
        ] {
            assert_eq!(slices.size(share), size, "{slices:?}");
        }
        assert_eq!(slices(10, 5).longest(11), MS + MS, "three slices of five");
        assert_eq!(slices(10, 5).longest(0), Span::ZERO);
    }

    #[test]
    fn no_toxics_are_no_rules() {
        assert!(Rules::of(&[]).flow.iter().all(Flow::is_clear));
        assert!(Rules::of(&[]).connects());
    }
}
