//! A pool's fetches and the site that serves them (S4), and what else only a pool has.

use super::http::{Body, From, HttpAnswer};
use super::process::State;
use super::wire::Message;
use super::{Planned, World};
use crate::fault::rules::DOWN;
use crate::protocol::Input;
use crate::time::Span;

impl World {
    /// Begins to fetch the page that is the slot's work.
    pub(super) fn fetch(&mut self, process: usize, slot: u32, lasting: Span) {
        let it = &self.processes[process];
        let patience = it.duty.pool().map_or(Span::ZERO, |pool| pool.page_timeout);
        let Some(wire) = it.web else {
            debug_assert!(false, "a pool is linked to a site");
            return;
        };
        let exchange = self.exchange(From::Slot { process, slot }, wire, Body::Page(lasting), patience);
        self.processes[process].fetches.insert(slot, exchange);
    }

    pub(super) fn cancel_fetch(&mut self, process: usize, slot: u32) {
        if let Some(exchange) = self.processes[process].fetches.remove(&slot) {
            self.forget_exchange(exchange);
        }
    }

    /// The page has come, or has not.
    pub(super) fn fetched(&mut self, process: usize, slot: u32, result: Result<(), String>) {
        if self.processes[process].fetches.remove(&slot).is_some() {
            let input = match result {
                Ok(()) => Input::WorkDone { slot },
                Err(error) => Input::WorkFailed { slot, error },
            };
            self.input(process, input);
        }
    }

    /// A site takes its time for a page.
    pub(super) fn page_asked(&mut self, process: usize, conn: usize, lasting: Span) {
        let it = &mut self.processes[process];
        if !matches!(it.state, State::Running | State::Draining) {
            return;
        }
        it.pages += 1;
        let life = it.life;
        let at = it.next_tick(self.now + lasting) + self.delays.wake.sample(&mut self.random);
        self.plan(at, Planned::PageDone { process, life, conn });
    }

    pub(super) fn page_done(&mut self, process: usize, life: u32, conn: usize) {
        let it = &mut self.processes[process];
        if it.life != life || !it.is_on() {
            return;
        }
        it.pages -= 1;
        self.send(conn, DOWN, Message::HttpAnswer(HttpAnswer::Found), Span::ZERO);
        self.leave_if_done(process);
    }

    pub(super) fn memory_read(&mut self, process: usize, life: u32) {
        if self.processes[process].life == life {
            let (used, limit) = self.memory_of(process);
            self.input(process, Input::Memory { used, limit });
        }
    }

    /// SIGUSR2.
    pub(super) fn panic_in(&mut self, process: usize) {
        if self.unless_still(Some(process), (), |()| Planned::Panic { process }).is_some() {
            self.input(process, Input::Panic);
        }
    }
}
