//! The worker's process.

use super::driver::{Driver, Signals};
use super::{Ended, Environment, FleetError};
use crate::live::clock;
use crate::protocol::worker::Worker;

pub(super) async fn run(environment: &Environment) -> Result<Ended, FleetError> {
    let signals = Signals::catch()?;
    let settings = environment.settings()?;
    let (name, instance) = (environment.name()?, environment.instance());
    let stores = environment.stores(&settings)?;
    let worker = Worker::new(&settings, &name, std::process::id(), &instance, clock::now());
    let (driver, _) = Driver::new(worker, stores, Some(signals));
    Ok(driver.run().await)
}
