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
            Ok(engine) => remove(&engine.docker, which).await.0,
            Err(_) if matches!(which, Which::Ownerless) => Cleaned::default(),
            Err(error) => failure(error),
        }
    })
}

/// Containers first, with their anonymous volumes; then networks and volumes. The second is true if the engine
/// hung: then no more was tried.
pub(super) async fn remove(docker: &Docker, which: Which<'_>) -> (Cleaned, bool) {
    let mut cleaned = Cleaned::default();
    let hung = remove_as_far_as_it_answers(docker, which, &mut cleaned).await.is_err();
    (cleaned, hung)
}

/// The engine did not answer a request in the client's time.
struct Hung;

async fn remove_as_far_as_it_answers(
    docker: &Docker,
    which: Which<'_>,
    cleaned: &mut Cleaned,
) -> Result<(), Hung> {
    let listed = ListContainersOptionsBuilder::default().all(true).filters(&which.filters()).build();
    match docker.list_containers(Some(listed)).await {
        Ok(containers) => {
            let mut sites: BTreeMap<Option<String>, Vec<ContainerSummary>> = BTreeMap::new();
            for container in containers.into_iter().filter(|it| which.takes(it.labels.as_ref())) {
                let site = container.labels.as_ref().and_then(|labels| labels.get(SITE_LABEL).cloned());
                sites.entry(site).or_default().push(container);
            }
            let removals = sites.into_values().map(|containers| remove_in_turn(docker, containers));
            let mut ended = Ok(());
            for (one, answered) in join_all(removals).await {
                cleaned.add(one);
                ended = ended.and(answered);
            }
            ended?;
        }
        Err(error) => note("containers", &error, cleaned)?,
    }
    let listed = ListNetworksOptionsBuilder::default().filters(&which.filters()).build();
    match docker.list_networks(Some(listed)).await {
        Ok(networks) => {
            for network in networks.into_iter().filter(|network| which.takes(network.labels.as_ref())) {
                let name = network.name.unwrap_or_default();
                let id = network.id.unwrap_or_else(|| name.clone());
                outcome(format!("network {name}"), docker.remove_network(&id).await, cleaned)?;
            }
        }
        Err(error) => note("networks", &error, cleaned)?,
    }
    let listed = ListVolumesOptionsBuilder::default().filters(&which.filters()).build();
    match docker.list_volumes(Some(listed)).await {
        Ok(volumes) => {
            let volumes = volumes.volumes.unwrap_or_default();
            for volume in volumes.into_iter().filter(|volume| which.takes(Some(&volume.labels))) {
                let removed = docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await;
                outcome(format!("volume {}", volume.name), removed, cleaned)?;
            }
        }
        Err(error) => note("volumes", &error, cleaned)?,
    }
    Ok(())
}

/// The containers of one network. Docker 20.10.24 has locked up for good when two left one at once: its
/// `getSvcRecords` and `processEndpointDelete` each waited for the other's lock.
async fn remove_in_turn(docker: &Docker, containers: Vec<ContainerSummary>) -> (Cleaned, Result<(), Hung>) {
    let mut cleaned = Cleaned::default();
    for container in containers {
        let name = container.names.unwrap_or_default().into_iter().next().unwrap_or_default();
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removed = docker.remove_container(&container.id.unwrap_or_default(), Some(options)).await;
        let what = container_text(name.trim_start_matches('/'));
        if let Err(hung) = outcome(what, removed, &mut cleaned) {
            return (cleaned, Err(hung));
        }
    }
    (cleaned, Ok(()))
}

/// What somebody else removed, or is removing, counts as removed.
fn outcome(what: String, result: Result<(), Error>, cleaned: &mut Cleaned) -> Result<(), Hung> {
    match result {
        Ok(()) | Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => {
            cleaned.removed.push(what);
            Ok(())
        }
        Err(error) => note(&what, &error, cleaned),
    }
}

fn note(what: &str, error: &Error, cleaned: &mut Cleaned) -> Result<(), Hung> {
    cleaned.failed.push(format!("{what}: {error}"));
    if matches!(error, Error::RequestTimeoutError) { Err(Hung) } else { Ok(()) }
}

fn failure(what: String) -> Cleaned {
    Cleaned { removed: Vec::new(), failed: vec![what] }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::Router;
    use axum::http::{Method, Uri};
    use axum::response::IntoResponse as _;
    use bollard::API_DEFAULT_VERSION;
    use tokio::net::UnixListener;

    use super::*;

    /// Lists three containers of one site, and never removes one.
    fn hanging_engine(asked: Arc<AtomicU32>) -> Router {
        let site = format!(r#""{SITE_LABEL}":"s""#);
        let one = |n: u32| format!(r#"{{"Id":"{n}","Names":["/c{n}"],"Labels":{{{site}}}}}"#);
        let list = format!("[{}]", (1..=3).map(one).collect::<Vec<_>>().join(","));
        Router::new().fallback(move |method: Method, uri: Uri| {
            asked.fetch_add(1, Ordering::SeqCst);
            let list = list.clone();
            async move {
                if method == Method::DELETE || !uri.path().ends_with("/containers/json") {
                    std::future::pending::<()>().await;
                }
                ([("content-type", "application/json")], list).into_response()
            }
        })
    }

    /// Each further request would wait as long again.
    #[tokio::test]
    async fn of_an_engine_that_hangs_nothing_more_is_asked() {
        let directory = tempfile::tempdir().expect("a folder can be made");
        let socket = directory.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).expect("it is free");
        let asked = Arc::new(AtomicU32::new(0));
        let engine = hanging_engine(Arc::clone(&asked));
        tokio::spawn(async move { axum::serve(listener, engine).await });
        let address = socket.to_str().expect("it is text");
        let docker = Docker::connect_with_unix(address, 1, API_DEFAULT_VERSION).expect("a client");
        let (cleaned, hung) = remove(&docker, Which::Site { site: "s", owner: "o" }).await;
        assert!(hung && cleaned.removed.is_empty(), "{cleaned:?}");
        assert_eq!(cleaned.failed.len(), 1, "{cleaned:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 2, "the list, and one container");
    }
}
