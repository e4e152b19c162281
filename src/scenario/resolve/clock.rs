//! Clock faults: on processes, or on a store's server.

use super::Context;
use super::fault::{World, require_store, target_of};
use crate::fault::trouble::Trouble;
use crate::fault::{FaultKind, Target};
use crate::names::Store;
use crate::scenario::decode::{Field, Placed};
use crate::scenario::raw::clock::{ClockDrift, ClockStep, ClockTarget};
use crate::scenario::raw::fault as raw;

/// Whose clock it is.
enum Whose {
    Processes(Target),
    Server(Store),
}

/// `None` if something is wrong with it, and reported.
pub(super) fn step(
    step: &Placed<ClockStep>,
    world: &World<'_>,
    context: &mut Context<'_, '_>,
) -> Option<FaultKind> {
    let by = context.signed(step.value.by.value()?.0);
    let lasting = context.optional(&step.value.lasting);
    Some(match whose(&step.value.target, world, context)? {
        Whose::Processes(target) => FaultKind::ClockStep { target, by, lasting },
        Whose::Server(store) => FaultKind::Trouble { trouble: Trouble::ClockStep { store, by }, lasting },
    })
}

/// `None` if something is wrong with it, and reported.
pub(super) fn drift(
    drift: &Placed<ClockDrift>,
    world: &World<'_>,
    context: &mut Context<'_, '_>,
) -> Option<FaultKind> {
    let ppm = drift.value.ppm.value()?.0;
    let lasting = context.optional(&drift.value.lasting);
    Some(match whose(&drift.value.target, world, context)? {
        Whose::Processes(target) => FaultKind::ClockDrift { target, ppm, lasting },
        Whose::Server(store) => FaultKind::Trouble { trouble: Trouble::ClockDrift { store, ppm }, lasting },
    })
}

fn whose(field: &Field<ClockTarget>, world: &World<'_>, context: &mut Context<'_, '_>) -> Option<Whose> {
    let target = match field.value()? {
        ClockTarget::Process(name) => raw::Target::Process(name.clone()),
        ClockTarget::Role(name) => raw::Target::Role(name.clone()),
        ClockTarget::Any(name) => raw::Target::Any(name.clone()),
        ClockTarget::HolderOf(job) => raw::Target::HolderOf(job.clone()),
        ClockTarget::Store(store) => {
            require_store(store.value, store.place, world, context.report)?;
            return Some(Whose::Server(store.value));
        }
    };
    target_of(&target, world, context.report).map(Whose::Processes)
}
