//! Labels on everything that is made in the engine, and its removal by them.

use std::collections::{BTreeMap, HashMap};

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveVolumeOptions,
};
use futures_util::future::join_all;

use super::engine;
use super::undo::{Cleaned, container_text, owner_lives};

pub(super) const RUN_LABEL: &str = "syncope.run";
pub(super) const OWNER_LABEL: &str = "syncope.owner";
pub(super) const SITE_LABEL: &str = "syncope.site";
pub(super) const SCENARIO_LABEL: &str = "syncope.scenario";

/// Whose things are to be removed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which<'a> {
    Run {
        run: &'a str,
        owner: &'a str,
    },
    Site {
        site: &'a str,
        owner: &'a str,
    },
    /// Of every run whose harness no longer lives.
    Ownerless,
}

impl Which<'_> {
    fn filters(self) -> HashMap<String, Vec<String>> {
        let labels = match self {
            Self::Run { run, owner } => vec![format!("{RUN_LABEL}={run}"), format!("{OWNER_LABEL}={owner}")],
            Self::Site { site, owner } => {
                vec![format!("{SITE_LABEL}={site}"), format!("{OWNER_LABEL}={owner}")]
            }
            Self::Ownerless => vec![OWNER_LABEL.to_owned()],
        };
        HashMap::from([("label".to_owned(), labels)])
    }

    fn takes(self, labels: Option<&HashMap<String, String>>) -> bool {
        match self {
            Self::Run { .. } | Self::Site { .. } => true,
            Self::Ownerless => {
                labels.and_then(|labels| labels.get(OWNER_LABEL)).is_some_and(|owner| !owner_lives(owner))
            }
        }
    }
}

/// For the watchdog and `clean`, which have no runtime. Without an engine nothing can be removed:
/// for one run that is a failure, for a general cleaning it is nothing to do.
pub(super) fn remove_blocking(which: Which<'_>) -> Cleaned {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure(format!("a runtime: {error}")),
    };
    runtime.block_on(async {
        match engine::detect().await {
            Ok(engine) => remove(&engine.docker, which).await,
            Err(_) if matches!(which, Which::Ownerless) => Cleaned::default(),
            Err(error) => failure(error),
        }
    })
}

/// Containers first, with their anonymous volumes; then networks and volumes.
pub(super) async fn remove(docker: &Docker, which: Which<'_>) -> Cleaned {
    let mut cleaned = Cleaned::default();
    let listed = ListContainersOptionsBuilder::default().all(true).filters(&which.filters()).build();
    match docker.list_containers(Some(listed)).await {
        Ok(containers) => {
            let mut sites: BTreeMap<Option<String>, Vec<ContainerSummary>> = BTreeMap::new();
            for container in containers.into_iter().filter(|it| which.takes(it.labels.as_ref())) {
                let site = container.labels.as_ref().and_then(|labels| labels.get(SITE_LABEL).cloned());
                sites.entry(site).or_default().push(container);
            }
            let removals = sites.into_values().map(|containers| remove_in_turn(docker, containers));
            join_all(removals).await.into_iter().for_each(|one| cleaned.add(one));
        }
        Err(error) => cleaned.failed.push(format!("containers: {error}")),
    }
    let listed = ListNetworksOptionsBuilder::default().filters(&which.filters()).build();
    match docker.list_networks(Some(listed)).await {
        Ok(networks) => {
            for network in networks.into_iter().filter(|network| which.takes(network.labels.as_ref())) {
                let name = network.name.unwrap_or_default();
                let id = network.id.unwrap_or_else(|| name.clone());
                cleaned.add(outcome(format!("network {name}"), docker.remove_network(&id).await));
            }
        }
        Err(error) => cleaned.failed.push(format!("networks: {error}")),
    }
    let listed = ListVolumesOptionsBuilder::default().filters(&which.filters()).build();
    match docker.list_volumes(Some(listed)).await {
        Ok(volumes) => {
            let volumes = volumes.volumes.unwrap_or_default();
            for volume in volumes.into_iter().filter(|volume| which.takes(Some(&volume.labels))) {
                let removed = docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await;
                cleaned.add(outcome(format!("volume {}", volume.name), removed));
            }
        }
        Err(error) => cleaned.failed.push(format!("volumes: {error}")),
    }
    cleaned
}

/// The containers of one network. Docker 20.10.24 has locked up for good when two left one at once: its
/// `getSvcRecords` and `processEndpointDelete` each waited for the other's lock.
async fn remove_in_turn(docker: &Docker, containers: Vec<ContainerSummary>) -> Cleaned {
    let mut cleaned = Cleaned::default();
    for container in containers {
        let name = container.names.unwrap_or_default().into_iter().next().unwrap_or_default();
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removed = docker.remove_container(&container.id.unwrap_or_default(), Some(options)).await;
        cleaned.add(outcome(container_text(name.trim_start_matches('/')), removed));
    }
    cleaned
}

/// What somebody else removed, or is removing, counts as removed.
fn outcome(what: String, result: Result<(), Error>) -> Cleaned {
    match result {
        Ok(()) | Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => {
            Cleaned { removed: vec![what], failed: Vec::new() }
        }
        Err(error) => failure(format!("{what}: {error}")),
    }
}

fn failure(what: String) -> Cleaned {
    Cleaned { removed: Vec::new(), failed: vec![what] }
}
