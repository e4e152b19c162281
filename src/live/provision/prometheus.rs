//! A Prometheus of the scenario's own: a child of the harness on loopback, with either backend. It
//! scrapes the fleet where it listens, and the harness for what only that knows.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::child::{self, Child, Launch, Output};
use super::process::failed;
use super::undo::{self, Entry, OWNER_FILE, OWNER_VARIABLE, RUN_VARIABLE};
use super::{Exit, RunContext, places, ports, wait_for_exit};
use crate::backend::BackendError;
use crate::live::web;
use crate::names::ProcessName;
use crate::scenario::{PrometheusSpec, Rule, RuleGroup, RuleKind, prometheus_duration};
use crate::time::Span;

/// It reads its configuration and an empty database; a second, as a rule.
const READY_WITHIN: Duration = Duration::from_secs(20);
const READY_POLL: Duration = Duration::from_millis(50);
const LOG_BYTES_SHOWN: usize = 1_500;

/// A running server.
pub struct Prometheus {
    directory: PathBuf,
    address: SocketAddr,
    version: String,
    child: Child,
    exit: watch::Receiver<Option<Exit>>,
}

impl Prometheus {
    /// Starts it, with nothing of the fleet to scrape yet ([`scrape`](Self::scrape)). `harness` is where
    /// the harness tells its own metrics.
    ///
    /// # Errors
    /// If it is not installed, or does not take its configuration.
    pub async fn start(
        spec: &PrometheusSpec,
        run: &RunContext,
        harness: SocketAddr,
    ) -> Result<Self, BackendError> {
        let program = places::find_program("prometheus", &[]).ok_or_else(|| BackendError::Environment {
            what: "not installed: prometheus".into(),
            hint: "apt-get install -y prometheus (or its release, on the PATH)".into(),
        })?;
        let starting = |error: io::Error| failed("start prometheus", &error);
        let directory = places::scratch().join(format!("{}-prometheus", run.site_name()));
        let port = ports::free_port().map_err(starting)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        prepare(spec, run, harness, &directory).map_err(starting)?;
        let child = child::launch(Launch {
            program,
            arguments: arguments(&directory, address),
            env: vec![
                (RUN_VARIABLE.into(), run.guard.run_id().into()),
                (OWNER_VARIABLE.into(), run.guard.owner().into()),
            ],
            directory: directory.clone(),
            user: None,
            death_signal: Signal::KILL,
            output: Output::File(directory.join("log")),
            input: false,
        })
        .await
        .map_err(starting)?;
        run.guard.record_process(child.pid).map_err(starting)?;
        let exit = child.watch(|_, _| {}).map_err(starting)?;
        let mut server = Self { directory, address, version: String::new(), child, exit };
        match server.ready().await {
            Ok(version) => {
                server.version = version;
                Ok(server)
            }
            Err(why) => {
                let log = server.log_tail();
                let left = server.end().await;
                let left =
                    if left.is_empty() { String::new() } else { format!("; left: {}", left.join(", ")) };
                Err(BackendError::Failed(format!("prometheus {why}; its log ends:\n{log}{left}")))
            }
        }
    }

    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its name and version.
    #[must_use]
    pub fn version(&self) -> (String, String) {
        ("prometheus".to_owned(), self.version.clone())
    }

    /// These processes are scraped from now on, where they listen now.
    ///
    /// # Errors
    /// If the list cannot be written.
    pub fn scrape(&self, targets: &BTreeMap<ProcessName, SocketAddr>) -> io::Result<()> {
        let groups: Vec<Value> = targets
            .iter()
            .map(|(process, address)| {
                json!({"targets": [address.to_string()], "labels": {"process": process.as_str()}})
            })
            .collect();
        // It watches the folder: a file that appears at once is never read half.
        let draft = self.directory.join("targets.draft");
        fs::write(&draft, serde_json::to_vec(&groups)?)?;
        fs::rename(draft, self.directory.join(TARGETS))
    }

    /// For good. Returns what could not be removed.
    pub async fn end(&self) -> Vec<String> {
        let mut left = Vec::new();
        // It may have ended by itself.
        let _ = self.child.signal(Signal::KILL);
        if wait_for_exit(self.exit.clone()).await.is_none() {
            left.push(format!("prometheus (pid {})", self.child.pid));
        }
        left.extend(undo::remove_directory(&self.directory).failed);
        left
    }

    async fn ready(&self) -> Result<String, String> {
        let client = web::direct(Duration::from_secs(1)).build();
        let client = client.map_err(|error| format!("cannot be asked: {error}"))?;
        let until = tokio::time::Instant::now() + READY_WITHIN;
        loop {
            if let Some(exit) = *self.exit.borrow() {
                return Err(format!("ended as soon as it was started: {exit}"));
            }
            let asked = client.get(format!("http://{}/-/ready", self.address)).send().await;
            if asked.is_ok_and(|answer| answer.status().is_success()) {
                break;
            }
            if tokio::time::Instant::now() >= until {
                return Err(format!("was not ready in {READY_WITHIN:?}"));
            }
            tokio::time::sleep(READY_POLL).await;
        }
        let told = client.get(format!("http://{}/api/v1/status/buildinfo", self.address)).send().await;
        let told: Value = match told {
            Ok(answer) => answer.json().await.unwrap_or_default(),
            Err(error) => return Err(format!("does not tell its version: {error}")),
        };
        Ok(told.pointer("/data/version").and_then(Value::as_str).unwrap_or("unknown").to_owned())
    }

    fn log_tail(&self) -> String {
        let log = fs::read(self.directory.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_BYTES_SHOWN)..]).into_owned()
    }
}

const TARGETS: &str = "targets.json";

fn prepare(spec: &PrometheusSpec, run: &RunContext, harness: SocketAddr, directory: &Path) -> io::Result<()> {
    run.guard.record(&Entry::Directory { path: directory.to_path_buf() })?;
    places::create_passable(directory)?;
    fs::write(directory.join(OWNER_FILE), run.guard.owner())?;
    fs::write(directory.join("prometheus.yml"), serde_json::to_vec_pretty(&configuration(spec, harness))?)?;
    fs::write(directory.join("rules.yml"), serde_json::to_vec_pretty(&rules(spec))?)?;
    fs::write(directory.join(TARGETS), "[]")
}

fn arguments(directory: &Path, address: SocketAddr) -> Vec<OsString> {
    let flag = |name: &str, value: &Path| {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(value);
        flag
    };
    vec![
        flag("config.file", &directory.join("prometheus.yml")),
        flag("storage.tsdb.path", &directory.join("data")),
        format!("--web.listen-address={address}").into(),
        "--log.level=warn".into(),
    ]
}

/// JSON, which is YAML.
fn configuration(spec: &PrometheusSpec, harness: SocketAddr) -> Value {
    let scrape = duration(spec.scrape_interval);
    json!({
        "global": {
            "scrape_interval": scrape,
            "scrape_timeout": scrape,
            "evaluation_interval": duration(spec.evaluation_interval),
        },
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {"job_name": "fleet", "file_sd_configs": [{"files": [TARGETS]}]},
            {"job_name": "harness", "static_configs": [{"targets": [harness.to_string()]}]},
        ],
    })
}

fn rules(spec: &PrometheusSpec) -> Value {
    let rule = |rule: &Rule| {
        let mut told = match rule.kind {
            RuleKind::Record => json!({"record": rule.name, "expr": rule.expression}),
            RuleKind::Alert => {
                json!({"alert": rule.name, "expr": rule.expression, "for": duration(rule.lasting)})
            }
        };
        for (key, texts) in [("labels", &rule.labels), ("annotations", &rule.annotations)] {
            if !texts.is_empty() {
                told[key] = json!(texts);
            }
        }
        // Older servers do not know it.
        if !rule.keep_firing.is_zero() {
            told["keep_firing_for"] = duration(rule.keep_firing).into();
        }
        told
    };
    let group = |group: &RuleGroup| {
        let rules: Vec<Value> = group.rules.iter().map(rule).collect();
        let mut told = json!({"name": group.name, "rules": rules});
        if let Some(interval) = group.interval {
            told["interval"] = duration(interval).into();
        }
        told
    };
    json!({"groups": spec.groups.iter().map(group).collect::<Vec<Value>>()})
}

fn duration(span: Span) -> String {
    prometheus_duration(span).unwrap_or_else(|| "0s".to_owned())
}
