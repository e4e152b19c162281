//! What a pool concludes from its memory readings.

use std::collections::VecDeque;

use crate::protocol::pool::event::Memory;

/// Readings that a leak is judged by.
const TREND_READINGS: usize = 10;
/// A mean rise from check to check of more than this many parts per million of the memory.
const LEAK_RISE_PPM: u32 = 50_000;

/// The last readings, against a threshold.
#[derive(Debug)]
pub(super) struct Pressure {
    threshold_ppm: u32,
    last: Memory,
    shares_ppm: VecDeque<u32>,
    warned: bool,
}

/// What a reading says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finding {
    /// At or over the threshold.
    pub high: bool,
    /// A leak is suspected, and was not before: the mean rise.
    pub leak_rise_ppm: Option<u32>,
}

impl Pressure {
    pub const fn new(threshold_ppm: u32) -> Self {
        Self { threshold_ppm, last: Memory { used: 0, total: 0 }, shares_ppm: VecDeque::new(), warned: false }
    }

    pub const fn last(&self) -> Memory {
        self.last
    }

    pub fn is_high(&self) -> bool {
        self.last.total > 0 && self.last.share_ppm() >= self.threshold_ppm
    }

    pub fn read(&mut self, memory: Memory) -> Finding {
        self.last = memory;
        if self.shares_ppm.len() == TREND_READINGS {
            self.shares_ppm.pop_front();
        }
        self.shares_ppm.push_back(memory.share_ppm());
        let leak = self.rise_ppm().filter(|rise| *rise > LEAK_RISE_PPM);
        let is_new = leak.is_some() && !self.warned;
        self.warned = leak.is_some();
        Finding { high: self.is_high(), leak_rise_ppm: leak.filter(|_| is_new) }
    }

    /// The mean rise from one check to the next, once there are ten; none if the share fell.
    fn rise_ppm(&self) -> Option<u32> {
        if self.shares_ppm.len() < TREND_READINGS {
            return None;
        }
        let (first, last) = (*self.shares_ppm.front()?, *self.shares_ppm.back()?);
        Some(last.checked_sub(first)? / (TREND_READINGS as u32 - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(percent: u64) -> Memory {
        Memory { used: percent, total: 100 }
    }

    #[test]
    fn the_threshold_itself_is_high() {
        let mut pressure = Pressure::new(850_000);
        for (share, high) in [(84, false), (85, true), (100, true), (10, false)] {
            assert_eq!(pressure.read(percent(share)).high, high, "{share}");
        }
    }

    #[test]
    fn a_leak_is_suspected_after_ten_readings_and_told_once() {
        let mut pressure = Pressure::new(1_000_000);
        let told: Vec<_> = (0..12).map(|n| pressure.read(percent(6 * n)).leak_rise_ppm).collect();
        assert_eq!(told[..9], [None; 9]);
        assert_eq!(told[9], Some(60_000));
        assert_eq!(told[10..], [None; 2]);
    }

    #[test]
    fn a_slow_rise_and_a_fall_are_no_leak() {
        for step in [5_i64, 0, -5] {
            let mut pressure = Pressure::new(1_000_000);
            let share = |n: i64| percent((50 + step * n).unsigned_abs());
            assert!((0..10).all(|n| pressure.read(share(n)).leak_rise_ppm.is_none()), "{step}");
        }
    }
}
