//! What the parts of a machine share: the outputs that wait for the driver, the commands that wait
//! for a reply, and the timers.

use std::collections::VecDeque;

use crate::names::Store;
use crate::protocol::{Command, CommandId, FleetEvent, Output, StoreError};
use crate::time::{Instant, Now, Span};

/// No timer is nearer than this: a zero interval, or a machine that resumes far behind, must not spin.
const NEAREST_TIMER: Span = Span::from_micros(100);

/// Outputs that a driver may leave undrained. A driver drains after each input, which adds a few per
/// slot; far more is a driver that forgot to.
const OUTPUTS_MAX: usize = 1 << 16;

/// `O` says which part sent a command and gets its reply, `T` names a timer.
#[derive(Debug)]
pub(super) struct Desk<O, T> {
    outputs: VecDeque<Output>,
    commands: u64,
    /// Few at a time, the oldest first, and so in the order of their ids.
    pending: VecDeque<(CommandId, O, Store)>,
    /// Few, in the order of their names.
    timers: Vec<(T, Instant)>,
    failing: [bool; Store::ALL.len()],
}

impl<O, T: Ord + Copy> Desk<O, T> {
    pub fn new() -> Self {
        Self {
            outputs: VecDeque::new(),
            commands: 0,
            pending: VecDeque::new(),
            timers: Vec::new(),
            failing: [false; Store::ALL.len()],
        }
    }

    /// Sends a command whose reply goes to `owner`.
    pub fn send(&mut self, owner: O, command: Command) -> CommandId {
        self.commands += 1;
        let id = CommandId(self.commands);
        self.pending.push_back((id, owner, command.store()));
        self.output(Output::Send { id, command });
        id
    }

    pub fn emit(&mut self, event: FleetEvent) {
        self.output(Output::Emit(event));
    }

    pub fn output(&mut self, output: Output) {
        debug_assert!(self.outputs.len() < OUTPUTS_MAX, "a driver drains the outputs after each input");
        self.outputs.push_back(output);
    }

    pub fn poll(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if self.outputs.is_empty() {
            // Begins anew at the front, so that a desk does not wander through all of its memory.
            self.outputs.clear();
        }
        output
    }

    /// Who waits for this reply; `None` if nobody does any more. Says so when a store begins to fail:
    /// an outage is one event, not one for each command that it meets.
    pub fn take<R>(&mut self, id: CommandId, result: &Result<R, StoreError>) -> Option<O> {
        let (_, owner, store) = self.pending.remove(self.place(id)?)?;
        if self.pending.is_empty() {
            self.pending.clear();
        }
        let failed_before = std::mem::replace(&mut self.failing[store as usize], result.is_err());
        if let (Err(error), false) = (result, failed_before) {
            self.emit(FleetEvent::StoreFailed { store, error: error.to_string() });
        }
        Some(owner)
    }

    /// The reply, if one comes, is to go nowhere.
    pub fn forget(&mut self, id: CommandId) {
        if let Some(place) = self.place(id) {
            self.pending.remove(place);
        }
    }

    pub fn set(&mut self, now: Now, timer: T, at: Instant) {
        let at = at.max(now.mono + NEAREST_TIMER);
        match self.timers.binary_search_by_key(&timer, |(known, _)| *known) {
            Ok(place) => self.timers[place].1 = at,
            Err(place) => self.timers.insert(place, (timer, at)),
        }
    }

    pub fn set_after(&mut self, now: Now, timer: T, wait: Span) {
        self.set(now, timer, now.mono + wait);
    }

    pub fn stop(&mut self, timer: T) {
        if let Ok(place) = self.timers.binary_search_by_key(&timer, |(known, _)| *known) {
            self.timers.remove(place);
        }
    }

    pub fn is_set(&self, timer: T) -> bool {
        self.timers.iter().any(|(known, _)| *known == timer)
    }

    /// Takes the earliest timer that is due, with the instant it was set to. Timers set at one
    /// instant come in the order of their names, so a run can be repeated.
    pub fn pop_due(&mut self, now: Now) -> Option<(T, Instant)> {
        let (timer, at) = self.earliest()?;
        if at > now.mono {
            return None;
        }
        self.stop(timer);
        Some((timer, at))
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.earliest().map(|(_, at)| at)
    }

    /// Forgets every timer and every command in flight; outputs already made stay.
    pub fn close(&mut self) {
        self.timers.clear();
        self.pending.clear();
    }

    /// Closes, with the machine's last words.
    pub fn exit(&mut self, forced: bool) {
        self.close();
        self.emit(FleetEvent::Stopped { forced });
        self.output(Output::Exit { forced });
    }

    fn earliest(&self) -> Option<(T, Instant)> {
        self.timers.iter().copied().min_by_key(|(_, at)| *at)
    }

    fn place(&self, id: CommandId) -> Option<usize> {
        self.pending.iter().position(|(known, ..)| *known == id)
    }
}

/// The next due time of something that repeats: `every` after the time that was due, or, after a
/// pause, the first such time that still lies ahead. What was missed is not made up for.
pub(super) fn next_due(due: Instant, every: Span, now: Now) -> Instant {
    let every = every.max(NEAREST_TIMER);
    let missed = now.mono.since(due).as_nanos() / every.as_nanos();
    due + every.saturating_mul(missed + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMillis;

    fn at(millis: u64) -> Now {
        Now { mono: Instant::ZERO + Span::from_millis(millis), wall: UnixMillis(0) }
    }

    #[test]
    fn due_timers_come_out_by_time_and_then_by_name_and_only_once() {
        let mut desk = Desk::<(), u8>::new();
        desk.set(at(0), 2, at(5).mono);
        desk.set(at(0), 1, at(5).mono);
        desk.set(at(0), 3, at(4).mono);
        desk.set(at(0), 4, at(6).mono);
        let due: Vec<u8> = std::iter::from_fn(|| desk.pop_due(at(5))).map(|(timer, _)| timer).collect();
        assert_eq!(due, [3, 1, 2]);
        assert_eq!(desk.next_timeout(), Some(at(6).mono));
    }

    #[test]
    fn a_timer_set_to_the_past_is_not_due_at_once() {
        let mut desk = Desk::<(), u8>::new();
        desk.set(at(9), 1, at(1).mono);
        assert_eq!(desk.pop_due(at(9)), None);
    }

    #[test]
    fn a_repetition_keeps_its_phase_and_skips_what_it_missed() {
        for (due, now, next) in [(10, 10, 20), (10, 12, 20), (10, 20, 30), (10, 47, 50)] {
            assert_eq!(next_due(at(due).mono, Span::from_millis(10), at(now)), at(next).mono, "{due} {now}");
        }
    }

    #[test]
    fn an_outage_is_said_once() {
        let mut desk = Desk::<(), u8>::new();
        let failed: Result<(), _> = Err(StoreError::Timeout);
        for result in [failed.clone(), failed.clone(), Ok(()), failed] {
            let id = desk.send((), Command::ReadBeat { key: "beat".into() });
            assert_eq!(desk.take(id, &result), Some(()));
        }
        let said = std::iter::from_fn(|| desk.poll()).filter(|output| matches!(output, Output::Emit(_)));
        assert_eq!(said.count(), 2);
    }
}
