//! Groups of rules: what is recorded, and which alerts are pending or firing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::expression::Expression;
use super::query::Query;
use super::storage::{Labels, NAME, Point, SeriesId, Storage};
use super::{Kind, Refusal};
use crate::scenario::{self, RuleKind};
use crate::time::Span;

/// The label that holds an alert's name.
const ALERT: &str = "alertname";

/// Rules that are evaluated one after the other, each on what the earlier ones recorded.
#[derive(Debug)]
pub struct Group {
    rules: Vec<Rule>,
    /// Of subqueries that name none, in ms.
    step: i64,
}

#[derive(Debug)]
struct Rule {
    name: String,
    expression: Expression,
    labels: Vec<(String, String)>,
    /// What Prometheus says if its last evaluation failed.
    error: Option<String>,
    does: Does,
}

#[derive(Debug)]
enum Does {
    /// The series that it recorded at its last evaluation.
    Record {
        last: Vec<SeriesId>,
    },
    Alert {
        lasting: i64,
        keep_firing: i64,
        active: BTreeMap<Labels, Active>,
    },
}

/// One element of an alert's result.
#[derive(Debug, Clone, Copy)]
struct Active {
    state: AlertState,
    since: i64,
    /// It is kept on although it holds no more.
    kept_since: Option<i64>,
}

/// As Prometheus's interface tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    Inactive,
    Pending,
    Firing,
}

impl fmt::Display for AlertState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        })
    }
}

impl Group {
    /// `evaluation_interval`: the server's own.
    ///
    /// # Errors
    /// The rule's name and what it has that is wrong or not modelled.
    pub fn read(rules: &[scenario::Rule], evaluation_interval: Span) -> Result<Self, (String, Refusal)> {
        let read = |rule| Rule::read(rule).map_err(|refusal| (rule.name.clone(), refusal));
        Ok(Self {
            rules: rules.iter().map(read).collect::<Result<_, _>>()?,
            step: millis(evaluation_interval),
        })
    }

    /// At that time, in Unix ms; later than any before.
    pub fn evaluate(&mut self, at: i64, storage: &mut Storage) {
        for rule in &mut self.rules {
            let vector = Query { storage, step: self.step }.vector(&rule.expression, at);
            rule.error = vector.and_then(|vector| rule.take(at, vector, storage)).err();
        }
    }

    /// What Prometheus says of the alert; `None` if the group has none of that name.
    ///
    /// # Errors
    /// Why its last evaluation failed.
    #[must_use]
    pub fn alert(&self, name: &str) -> Option<Result<AlertState, &str>> {
        self.rules.iter().filter(|rule| rule.name == name).find_map(|rule| match (&rule.does, &rule.error) {
            (Does::Record { .. }, _) => None,
            (Does::Alert { .. }, Some(error)) => Some(Err(error.as_str())),
            (Does::Alert { active, .. }, None) => {
                let states = active.values().map(|active| active.state);
                Some(Ok(states.max().unwrap_or(AlertState::Inactive)))
            }
        })
    }

    /// The elements of the group's alerts that are pending or firing, rule by rule.
    pub fn active(&self) -> impl Iterator<Item = (&Labels, AlertState)> {
        let active = self.rules.iter().filter_map(|rule| match &rule.does {
            Does::Alert { active, .. } => Some(active),
            Does::Record { .. } => None,
        });
        active.flatten().map(|(labels, active)| (labels, active.state))
    }
}

impl Rule {
    fn read(rule: &scenario::Rule) -> Result<Self, Refusal> {
        if rule.labels.values().any(|value| value.contains("{{")) {
            return Err(Refusal::NotModelled("a label with a template".to_owned()));
        }
        let expression = Expression::read(&rule.expression)?;
        if expression.kind() == Kind::Range {
            return Err(Refusal::Wrong("a rule's value is no range".to_owned()));
        }
        let mut labels: Vec<(String, String)> =
            rule.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let does = match rule.kind {
            RuleKind::Record => {
                labels.insert(0, (NAME.to_owned(), rule.name.clone()));
                Does::Record { last: Vec::new() }
            }
            RuleKind::Alert => {
                labels.push((ALERT.to_owned(), rule.name.clone()));
                let (lasting, keep_firing) = (millis(rule.lasting), millis(rule.keep_firing));
                Does::Alert { lasting, keep_firing, active: BTreeMap::new() }
            }
        };
        Ok(Self { name: rule.name.clone(), expression, labels, error: None, does })
    }

    fn take(&mut self, at: i64, vector: Vec<Point>, storage: &mut Storage) -> Result<(), String> {
        let named = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut results = BTreeMap::new();
        for point in vector {
            let unnamed = point.labels.without_name();
            let labels = unnamed.with(named.clone());
            if results.insert(labels, point.value).is_some() {
                let same = "vector contains metrics with the same labelset after applying rule labels";
                return Err(same.to_owned());
            }
        }
        match &mut self.does {
            Does::Record { last } => {
                let mut recorded = Vec::new();
                for (labels, value) in results {
                    let series = storage.series(&labels);
                    storage.append(series, at, value);
                    recorded.push(series);
                }
                for gone in last.iter().filter(|series| !recorded.contains(series)) {
                    storage.end(*gone, at);
                }
                *last = recorded;
            }
            Does::Alert { lasting, keep_firing, active } => {
                let found: BTreeSet<Labels> = results.keys().cloned().collect();
                for labels in results.into_keys() {
                    let begins = Active { state: AlertState::Pending, since: at, kept_since: None };
                    active.entry(labels).or_insert(begins).kept_since = None;
                }
                active.retain(|labels, alert| {
                    found.contains(labels)
                        || alert.state == AlertState::Firing
                            && *keep_firing > 0
                            && at - *alert.kept_since.get_or_insert(at) < *keep_firing
                });
                for alert in active.values_mut().filter(|alert| at - alert.since >= *lasting) {
                    alert.state = AlertState::Firing;
                }
            }
        }
        Ok(())
    }
}

/// As the file for the server has it: whole milliseconds, rounded up.
fn millis(span: Span) -> i64 {
    span.as_nanos().div_ceil(1_000_000) as i64
}
