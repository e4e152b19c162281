//! `stack: prometheus:`: a Prometheus that scrapes the fleet and evaluates alert rules.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::scenario::decode::{Decode, Named, Placed, record};
use crate::scenario::diagnostic::{Code, Report};
use crate::scenario::scalar::{Duration, Name, Text, scalar};
use crate::scenario::tree::Node;

record! {
    /// A Prometheus server. It scrapes what the fleet says about itself, and from the harness how often
    /// each process was restarted (`kube_pod_container_status_restarts_total`).
    Prometheus {
        /// Between two scrapes. 15s unless given, as in Prometheus's own example.
        optional scrape_interval: Duration,
        /// Between two evaluations of the rules. 15s unless given.
        optional evaluation_interval: Duration,
        /// The processes to scrape, at `/metrics`. Those of a reference system are known.
        optional scrape: Vec<Placed<Name>>,
        /// The alerts.
        optional rules: Vec<Placed<AlertRule>>,
        /// A rules file in their place, as Prometheus has it; relative to this file.
        optional rules_file: Text,
    }
}

record! {
    /// A rules file.
    RulesFile {
        /// Evaluated side by side.
        required groups: Vec<Placed<RuleGroup>>,
    }
}

record! {
    /// Rules that are evaluated one after the other.
    RuleGroup {
        /// Unique in the file.
        required name: Text,
        /// Between two evaluations. The server's own unless given.
        optional interval: Duration,
        /// Alerts, and expressions that are recorded for them.
        required rules: Vec<Placed<FileRule>>,
    }
}

record! {
    /// An alerting or a recording rule.
    FileRule {
        /// The alert's name.
        optional alert: AlertName,
        /// The name under which its value is recorded.
        optional record: Text,
        /// When it holds, or what is recorded.
        required expr: Text,
        /// For how long it must hold. Not at all unless given.
        optional lasting ("for"): Duration,
        /// For how long it goes on when it holds no more.
        optional keep_firing_for: Duration,
        /// Of the alert, or of the recorded series.
        optional labels: Named<Text>,
        /// For people.
        optional annotations: Named<Text>,
    }
}

record! {
    /// One alerting rule, as in a rules file.
    AlertRule {
        /// Its name.
        required alert: AlertName,
        /// When it holds. Ranges (`[5m]`) and offsets follow the time scale; a threshold that is a time
        /// or a rate says so: `${600s}` stands for 600, `${0.5/s}` for 0.5.
        required expr: Text,
        /// For how long it must hold. Not at all unless given.
        optional lasting ("for"): Duration,
    }
}

/// `[A-Za-z_][A-Za-z0-9_]{0,63}`
#[derive(Debug, Clone)]
pub(crate) struct AlertName(pub String);

impl JsonSchema for AlertName {
    fn schema_name() -> Cow<'static, str> {
        "AlertName".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$" })
    }
}

impl Decode for AlertName {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let (text, _) = scalar(node, "the name of an alert", report)?;
        let is_name = text.len() <= 64
            && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            report
                .add(Code::Name, node.place, "this is no name of an alert")
                .hint("letters, digits and `_`, 64 at most, not beginning with a digit: `NoActiveWorkers`");
            return None;
        }
        Some(Self(text.to_owned()))
    }
}
