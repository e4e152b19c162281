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
    /// narrowest bandwidth rules, and of gates and doors the one of higher precedence.
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
        let up = Flow { gate: Gate::Open, latency: MS + MS, jitter: MS, bytes_per_second: Some(9) };
        let down = Flow { gate: Gate::Held, latency: MS, jitter: MS, bytes_per_second: Some(7) };
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
    fn no_toxics_are_no_rules() {
        assert!(Rules::of(&[]).flow.iter().all(Flow::is_clear));
        assert!(Rules::of(&[]).connects());
    }
}
