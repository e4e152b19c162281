//! How often each process of the fleet was started again, told to Prometheus as kube-state-metrics
//! tells it: in a cluster that is who knows.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::history::{Event, What};
use crate::live::web;
use crate::names::ProcessName;
use crate::scenario::ProcessSpec;

type Labels = Vec<(&'static str, String)>;

/// Counts, and serves `/metrics` until it is dropped.
pub struct Restarts {
    counts: Family<Labels, Counter>,
    roles: BTreeMap<ProcessName, String>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Restarts {
    /// # Errors
    /// If no loopback port can be listened on.
    pub async fn serve(processes: &[ProcessSpec]) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let counts = Family::<Labels, Counter>::default();
        let mut registry = Registry::default();
        let help = "Starts of a process after its first";
        registry.register("kube_pod_container_status_restarts", help, counts.clone());
        let registry = Arc::new(Mutex::new(registry));
        let routes = Router::new().route("/metrics", get(metrics)).with_state(registry);
        let serving = tokio::spawn(async move {
            // Ends when it is dropped.
            let _ = axum::serve(listener, routes).await;
        });
        let roles: BTreeMap<_, _> =
            processes.iter().map(|spec| (spec.name.clone(), spec.role.clone())).collect();
        let restarts = Self { counts, roles, address, serving };
        for process in restarts.roles.keys() {
            // A rate needs the zero before the first restart.
            restarts.of(process);
        }
        Ok(restarts)
    }

    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn observe(&self, event: &Event) {
        if let What::Started { generation: 2.., .. } = event.ev {
            self.of(&event.by).inc();
        }
    }

    fn of(&self, process: &ProcessName) -> Counter {
        let container = self.roles.get(process).cloned().unwrap_or_default();
        let labels = vec![("container", container), ("pod", process.to_string())];
        self.counts.get_or_create(&labels).clone()
    }
}

impl Drop for Restarts {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn metrics(State(registry): State<Arc<Mutex<Registry>>>) -> Response {
    web::metrics(&registry.lock().unwrap_or_else(PoisonError::into_inner))
}
