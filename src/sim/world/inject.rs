//! Carries injections out in virtual time. The receipt's proof is the model's own state.

use super::process::State;
use super::server::Health;
use super::{Planned, World};
use crate::fault::misfit::Misfit;
use crate::fault::trouble::Trouble;
use crate::fault::{Injection, Order, OutageKind, Toxic};
use crate::history::What;
use crate::names::{Endpoint, Link, ProcessName, Store};
use crate::sim::world::clock::WallClock;
use crate::time::{Instant, Span};

impl World {
    pub(super) fn inject(&mut self, order: Order, at: Instant) {
        self.plan(at.max(self.now), Planned::Fire { order: Box::new(order) });
    }

    pub(super) fn fire(&mut self, order: Order) {
        let outcome = match order.injection.clone() {
            Injection::Signal { process, signal } => {
                self.known(&process).and_then(|process| self.signal(process, signal))
            }
            Injection::Stop { process, grace } => match self.known(&process) {
                Ok(process) => return self.stop_process(process, grace, order),
                Err(reason) => Err(reason),
            },
            Injection::Start { process } => self.known(&process).and_then(|process| self.start(process)),
            Injection::Pause { process } => self.known(&process).and_then(|process| self.pause(process)),
            Injection::Resume { process } => self.known(&process).map(|process| self.resume(process)),
            Injection::StoreDown { store, how: OutageKind::Refuse } => {
                self.toxic(&self.links_to(store), Toxic::Refuse, true)
            }
            Injection::StoreUp { store, how: OutageKind::Refuse } => {
                self.toxic(&self.links_to(store), Toxic::Refuse, false)
            }
            Injection::StoreDown { store, how } => self.take_down(store, how),
            Injection::StoreUp { store, how } => return self.store_up(store, how, order),
            Injection::ClockStep { process, by } => self.clock(&process, |clock, now| clock.step(now, by)),
            Injection::ClockDrift { process, ppm } => {
                self.clock(&process, |clock, now| clock.drift(now, ppm))
            }
            Injection::ClockReset { process } => self.clock(&process, |clock, _| clock.reset()),
            Injection::Misconfigure { process, grace, .. } | Injection::Reconfigure { process, grace } => {
                match self.known(&process) {
                    Ok(process) if self.processes[process].is_on() => {
                        return self.stop_process(process, grace, order);
                    }
                    Ok(process) => return self.stopped(process, order, "it did not run".to_owned()),
                    Err(reason) => Err(reason),
                }
            }
            Injection::OutOfMemory { process, limit, every } => match self.known(&process) {
                Ok(process) => return self.out_of_memory(process, limit, every, order),
                Err(reason) => Err(reason),
            },
            Injection::Throttle { process, share } => {
                self.known(&process).and_then(|process| self.throttle(process, share))
            }
            Injection::Unthrottle { process } => self.known(&process).map(|process| self.unthrottle(process)),
            Injection::Toxic { links, toxic } => self.toxic(&links, toxic, true),
            Injection::ClearToxic { links, toxic } => self.toxic(&links, toxic, false),
            Injection::DeleteKeys { keys } => self.delete_keys(&keys),
            Injection::Trouble { trouble } => self.trouble(&trouble),
            // It ended, and is started again.
            Injection::TroubleOver { trouble: Trouble::DiskFull { store: Store::Postgres } } => {
                return self.store_up(Store::Postgres, OutageKind::Kill, order);
            }
            Injection::TroubleOver { trouble } => self.trouble_over(&trouble),
        };
        match outcome {
            Ok(proof) => self.done(order, proof),
            Err(reason) => self.unproved(order, reason),
        }
    }

    pub(super) fn done(&mut self, order: Order, proof: String) {
        let effective = (self.now, self.now);
        self.tell(What::FaultDone { order: Box::new(order), effective, lateness: Span::ZERO, proof });
    }

    pub(super) fn unproved(&mut self, order: Order, reason: String) {
        self.tell(What::FaultUnproved { order: Box::new(order), reason });
    }

    fn known(&self, name: &ProcessName) -> Result<usize, String> {
        self.process_named(name).ok_or_else(|| format!("{name} was never started"))
    }

    fn start(&mut self, process: usize) -> Result<String, String> {
        if self.processes[process].state != State::Off {
            return Err(format!("{} runs already", self.processes[process].name));
        }
        self.start_process(process);
        Ok(format!("virtual time: generation {} of it was started", self.processes[process].life))
    }

    /// An ordered stop is over: that was all, or the process is started again, rightly or wrongly.
    pub(super) fn stopped(&mut self, process: usize, order: Order, proof: String) {
        let misfit = match &order.injection {
            Injection::Misconfigure { misfit, .. } => Some(misfit.clone()),
            Injection::Reconfigure { .. } => None,
            _ => return self.done(order, proof),
        };
        let how = misfit.as_ref().map_or("as it should be", Misfit::name);
        let proof = format!("{proof}; started: {how}");
        let starts = misfit != Some(Misfit::NoProgram);
        self.misfits |= misfit.is_some();
        self.processes[process].misfit = misfit;
        if starts {
            self.start_process(process);
        }
        self.done(order, proof);
    }

    fn take_down(&mut self, store: Store, how: OutageKind) -> Result<String, String> {
        if self.health(store) != Health::Up {
            return Err(format!("{store} is not up"));
        }
        self.store_down(store, how);
        Ok(match how {
            OutageKind::Pause => format!("virtual time: {store} stands still"),
            _ => format!("virtual time: {store} is gone and refuses connections"),
        })
    }

    fn clock(
        &mut self,
        name: &ProcessName,
        change: impl FnOnce(&mut WallClock, Instant),
    ) -> Result<String, String> {
        let now = self.now;
        let process = self.known(name)?;
        let it = &mut self.processes[process];
        if !it.is_on() {
            return Err(format!("{name} does not run"));
        }
        change(&mut it.clock, now);
        Ok(format!("virtual time: its clock is {} ms ahead of the host's", it.clock.offset(now) / 1_000_000))
    }

    fn toxic(&mut self, links: &[Link], toxic: Toxic, on: bool) -> Result<String, String> {
        match self.change_links(links, toxic, on) {
            Some(0) | None => Err("no link has these ends".to_owned()),
            Some(count) => Ok(format!("virtual time: {count} links changed at once")),
        }
    }

    fn links_to(&self, store: Store) -> Vec<Link> {
        let links = self.wires.iter().map(|wire| &wire.link);
        links.filter(|link| link.to == Endpoint::Store(store)).cloned().collect()
    }

    fn delete_keys(&mut self, keys: &[String]) -> Result<String, String> {
        if self.health(Store::Redis) != Health::Up {
            return Err("redis does not answer".to_owned());
        }
        let wall = self.redis_time();
        let deleted = self.stores.redis.delete_keys(wall, keys);
        let proof = format!("DEL: {deleted} of {} ({})", keys.len(), keys.join(", "));
        if deleted == 0 { Err(proof) } else { Ok(proof) }
    }
}
