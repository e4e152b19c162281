//! Limits on what a process may use, as `live::inject::limits` sets them: processor time, counted out in
//! periods as the kernel's bandwidth control does, and memory until the kernel kills it.

use super::{Planned, World};
use crate::fault::{Order, Signal};
use crate::time::{Instant, Span};

/// As the kernel has it by default, and `live::cgroup` leaves it.
const PERIOD: Span = Span::from_millis(100);
const MILLION: u128 = 1_000_000;

/// What the live processes of the fleet use of memory, about.
const USED: u64 = 6 << 20;
/// By so much one grows each time (`live::fleet::ballast`).
const GROWTH: u64 = 8 << 20;
/// At least, between two growths.
const GROW_EVERY: Span = Span::from_millis(20);

/// The processor time of one process: so much in each period, and what was used beyond it is made up for.
#[derive(Debug)]
pub(super) struct Quota {
    each: Span,
    /// Not made up for yet, as of `period`.
    used: Span,
    /// When the period began.
    period: Instant,
}

/// The memory of one process.
#[derive(Debug, Default)]
pub(super) struct Memory {
    grown: u64,
    limit: Option<u64>,
}

impl Quota {
    /// `share` of one processor, in parts per million.
    fn new(share: u32, now: Instant) -> Self {
        let each = u64::try_from(u128::from(PERIOD.as_nanos()) * u128::from(share) / MILLION);
        Self { each: Span::from_nanos(each.unwrap_or(u64::MAX).max(1)), used: Span::ZERO, period: now }
    }

    /// Until when the process has to wait once it has used `cost` more; `None`: it need not.
    fn spend(&mut self, now: Instant, cost: Span) -> Option<Instant> {
        let periods = now.since(self.period).as_nanos() / PERIOD.as_nanos();
        self.period = self.period + PERIOD.saturating_mul(periods);
        self.used = self.used - self.each.saturating_mul(periods) + cost;
        let over = self.used.as_nanos() / self.each.as_nanos();
        (over > 0).then(|| self.period + PERIOD.saturating_mul(over))
    }
}

impl Memory {
    const fn used(&self) -> u64 {
        USED + self.grown
    }
}

impl World {
    pub(super) fn throttle(&mut self, process: usize, share: u32) -> Result<String, String> {
        let it = &mut self.processes[process];
        if !it.is_on() {
            return Err(format!("{} does not run", it.name));
        }
        let quota = Quota::new(share, self.now);
        let each = quota.each;
        self.standing += u32::from(it.quota.replace(quota).is_none());
        Ok(format!("virtual time: pid {} may use {each} of the processor in each {PERIOD}", it.pid))
    }

    pub(super) fn unthrottle(&mut self, process: usize) -> String {
        let it = &mut self.processes[process];
        self.standing -= u32::from(it.quota.take().is_some());
        it.held = false;
        self.let_go(process);
        format!("virtual time: {} may use the whole processor", self.processes[process].name)
    }

    /// A process under a quota does something.
    pub(super) fn spend(&mut self, process: usize) {
        let Some(quota) = &mut self.processes[process].quota else { return };
        let cost = self.delays.processor.sample(&mut self.random);
        if let Some(at) = quota.spend(self.now, cost) {
            let it = &mut self.processes[process];
            it.held = true;
            let life = it.life;
            self.plan(at, Planned::Refilled { process, life });
        }
    }

    /// The process has time again.
    pub(super) fn refilled(&mut self, process: usize, life: u32) {
        let it = &mut self.processes[process];
        if it.life == life && it.held {
            it.held = false;
            self.let_go(process);
        }
    }

    /// Limits the process's memory and has it grow, until the kernel kills it for that.
    pub(super) fn out_of_memory(&mut self, process: usize, limit: u64, every: Span, order: Order) {
        let it = &mut self.processes[process];
        if !it.is_on() {
            let reason = format!("{} is gone already", it.name);
            return self.unproved(order, reason);
        }
        it.memory.limit = Some(limit);
        let life = it.life;
        self.grow(process, life, every.max(GROW_EVERY), Box::new(order));
    }

    pub(super) fn grow(&mut self, process: usize, life: u32, every: Span, order: Box<Order>) {
        let it = &mut self.processes[process];
        if it.life != life || !it.is_on() {
            let reason = format!("{} ended before it lacked memory", it.name);
            return self.unproved(*order, reason);
        }
        // One that stands still does not get to it.
        if !it.stands_still() {
            it.memory.grown += GROWTH;
        }
        match it.memory.limit.filter(|limit| it.memory.used() > *limit) {
            Some(limit) => match self.signal(process, Signal::Kill) {
                Ok(killed) => self.done(*order, format!("{killed}, for want of more than {limit} bytes")),
                Err(reason) => self.unproved(*order, reason),
            },
            None => self.plan_after(every, Planned::Grow { process, life, every, order }),
        }
    }

    /// As the process itself reads it.
    pub(super) fn memory_of(&self, process: usize) -> (u64, Option<u64>) {
        let memory = &self.processes[process].memory;
        (memory.used(), memory.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn what_was_used_beyond_the_quota_is_made_up_for() {
        // 1 ms in each 100.
        let mut quota = Quota::new(10_000, ms(1_000));
        assert_eq!(quota.spend(ms(1_010), Span::from_micros(400)), None);
        assert_eq!(quota.spend(ms(1_020), Span::from_micros(400)), None);
        assert_eq!(quota.spend(ms(1_030), Span::from_micros(400)), Some(ms(1_100)));
        // 0.2 ms of it are gone already, and 3 more make 3.2: three periods.
        assert_eq!(quota.spend(ms(1_100), Span::from_millis(3)), Some(ms(1_400)));
        assert_eq!(quota.spend(ms(1_400), Span::from_micros(700)), None);
        // What is not used is not kept.
        assert_eq!(quota.spend(ms(9_950), Span::from_micros(900)), None);
        assert_eq!(quota.spend(ms(9_951), Span::from_micros(100)), Some(ms(10_000)));
    }
}
