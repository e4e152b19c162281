//! The processes of a fleet whose jobs are in Postgres.

use super::driver::{Driver, Signals};
use super::environment::invalid;
use super::tools::Tools;
use super::{Ended, Environment, FleetError, exporter, readiness};
use crate::protocol::table::{SWEEPER_ROLE, Sweeper, TableRole, TableWorker, Watch};

pub(super) async fn run(role: TableRole, environment: &Environment) -> Result<Ended, FleetError> {
    let signals = Signals::catch()?;
    let settings = environment.table_settings()?;
    let pid = std::process::id();
    match role {
        TableRole::Worker => {
            let (name, instance) = (environment.name()?, environment.instance());
            let database = environment.database(None, &settings)?;
            let worker = TableWorker::new(&settings, &name, pid, &instance);
            let (driver, asker) = Driver::new(worker, database, Some(signals));
            let tools = Tools::of(environment);
            if let Watch::Workers(_) = settings.watch
                && environment.optional("PORT").is_some()
            {
                readiness::serve(environment.port()?, tools.clone(), asker).await?;
            }
            Ok(driver.equipped(tools).run().await)
        }
        TableRole::Exporter => {
            let database = environment.database(None, &settings)?;
            exporter::run_table(environment, database, settings.watch.active_within(), signals).await
        }
        TableRole::Sweeper => {
            let Watch::Sweeper(sweep) = &settings.watch else {
                return Err(invalid("SYNCOPE_FLEET", "these workers need no sweeper").into());
            };
            let role = (!sweep.may_update).then_some(SWEEPER_ROLE);
            let database = environment.database(role, &settings)?;
            Ok(Driver::new(Sweeper::new(sweep, pid), database, Some(signals)).0.run().await)
        }
    }
}
