//! Signals to processes in virtual time.

use super::World;
use crate::fault::Signal;
use crate::history::What;
use crate::protocol::FleetEvent;

impl World {
    /// What the kernel, or the process itself, makes of a signal.
    pub(super) fn signal(&mut self, process: usize, signal: Signal) -> Result<String, String> {
        let it = &self.processes[process];
        let (name, pid) = (it.name.clone(), it.pid);
        if !it.is_on() {
            return Err(format!("{name} is gone already"));
        }
        match signal {
            Signal::Term => {
                self.terminate(process);
                Ok(format!("virtual time: pid {pid} took SIGTERM and handles it"))
            }
            Signal::Usr1 => {
                let wall = self.now_of(process).wall;
                self.say(name, What::Fleet(FleetEvent::Clock { wall, since: self.now }));
                Ok(format!("virtual time: pid {pid} took SIGUSR1 and runs on"))
            }
            Signal::Usr2 if it.duty.pool().is_some() => {
                self.panic_in(process);
                Ok(format!("virtual time: pid {pid} took SIGUSR2: a worker's task panics"))
            }
            other => {
                let number = number(other);
                self.end_process(process, None, Some(number));
                Ok(format!("virtual time: pid {pid} ended by signal {number}"))
            }
        }
    }
}

/// As Linux numbers them.
pub(super) const fn number(signal: Signal) -> i32 {
    match signal {
        Signal::Hup => 1,
        Signal::Int => 2,
        Signal::Quit => 3,
        Signal::Abrt => 6,
        Signal::Kill => 9,
        Signal::Usr1 => 10,
        Signal::Segv => 11,
        Signal::Usr2 => 12,
        Signal::Term => 15,
    }
}
