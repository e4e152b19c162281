//! What both backends tell a fleet's process beyond the scenario's own words.

use std::ffi::OsString;
use std::path::Path;

use crate::names::Store;
use crate::scenario::{FleetRole, ProcessSpec, Program, TableRole};

/// The reference fleet's settings, as JSON.
pub(super) const FLEET_VARIABLE: &str = "SYNCOPE_FLEET";

/// `None` for somebody else's program.
pub(super) fn fleet_settings(spec: &ProcessSpec) -> Option<String> {
    match &spec.program {
        Program::Reference { settings, .. } => serde_json::to_string(settings).ok(),
        Program::Table { settings, .. } => serde_json::to_string(settings).ok(),
        Program::External { .. } | Program::Missing { .. } => None,
    }
}

/// The first argument of the fleet's program; `None` for somebody else's program.
pub(super) const fn role_of(program: &Program) -> Option<&'static str> {
    match program {
        Program::Reference { role, .. } => Some(role_argument(*role)),
        Program::Table { role: TableRole::Worker, .. } => Some("table-worker"),
        Program::Table { role: TableRole::Sweeper, .. } => Some("sweeper"),
        Program::Table { role: TableRole::Exporter, .. } => Some("table-exporter"),
        Program::External { .. } | Program::Missing { .. } => None,
    }
}

const fn role_argument(role: FleetRole) -> &'static str {
    match role {
        FleetRole::Worker => "worker",
        FleetRole::Api => "api",
        FleetRole::Catalogue => "catalogue",
        FleetRole::Pool => "pool",
        FleetRole::Site => "site",
        FleetRole::Exporter => "exporter",
    }
}

/// The monotonic clock stays the host's: the fleet's stamps must compare with the harness's.
/// Without a cache, a change of the file is seen by the next call.
///
/// Debian's Redis takes its memory from jemalloc, which asks for the time while it sets itself up, and
/// libfaketime wants memory when it is asked for the first time: each would wait for the other. With the
/// C library before jemalloc, libfaketime (and Redis) has its memory from that.
pub(super) fn faketime_environment(
    store: Option<Store>,
    library: &Path,
    file: &Path,
) -> Vec<(OsString, OsString)> {
    let mut preload = library.as_os_str().to_owned();
    if store == Some(Store::Redis) {
        preload.push(":libc.so.6");
    }
    let pairs = [
        ("LD_PRELOAD", preload.as_os_str()),
        ("FAKETIME_TIMESTAMP_FILE", file.as_os_str()),
        ("FAKETIME_NO_CACHE", "1".as_ref()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".as_ref()),
    ];
    pairs.map(|(name, value)| (name.into(), value.into())).to_vec()
}
