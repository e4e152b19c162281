//! The scenario's watches, where their answers are modelled: an api's health, a worker's readiness, keys
//! of Redis, alerts, and what the tables of Postgres say of workers and jobs.

use serde_json::Value;

use super::asks::{ASKS_MAX, Asks};
use super::http::Asker;
use super::server::Health;
use super::{Planned, World, unsupported};
use crate::backend::BackendError;
use crate::fault::misfit::Misfit;
use crate::history::{Heard, What};
use crate::names::Store;
use crate::protocol::Tool;
use crate::protocol::table::StatusRule;
use crate::scenario::{Question, Watch};
use crate::sim::store::look;
use crate::time::Span;

/// As the liveness probe, in `live` and here.
const INTERVAL_MIN: Span = Span::from_millis(5);

#[derive(Debug)]
pub(super) struct Watcher {
    name: String,
    every: Span,
    way: Way,
    asks: Asks,
}

#[derive(Debug)]
enum Way {
    Health { process: usize, field: HealthField },
    Pool { process: usize, pointer: String },
    Redis { command: Vec<String> },
    Alert { name: String },
    Status { pointer: String, rule: StatusRule },
}

/// What an api's health says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HealthField {
    Online,
    Stale,
    Ready(ReadyField),
}

/// What a worker's readiness says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadyField {
    Ok,
    Database,
    Tool(Tool),
}

/// One ask of one watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    watch: u32,
    ask: u32,
}

fn ready_field(pointer: &str) -> Option<ReadyField> {
    match pointer {
        "/ok" => Some(ReadyField::Ok),
        "/database" => Some(ReadyField::Database),
        pointer => {
            let name = pointer.strip_prefix('/')?;
            Tool::ALL.into_iter().find(|tool| tool.as_str() == name).map(ReadyField::Tool)
        }
    }
}

impl World {
    /// # Errors
    /// If the answer to one of them is not modelled.
    pub(super) fn lay_watches(&mut self, watches: &[Watch]) -> Result<(), BackendError> {
        for watch in watches {
            let way = match &watch.ask {
                Question::Http { process, path, pointer } => {
                    let process =
                        self.process_named(process).ok_or_else(|| unsupported("a watch of nothing"))?;
                    let is_pool = self.processes[process].duty.pool().is_some();
                    let tells = self.processes[process].duty.tells_readiness();
                    let ready = ready_field(pointer).filter(|_| tells && path == "/readyz");
                    let health = |field| Way::Health { process, field };
                    match (path.as_str(), pointer.as_str()) {
                        ("/readyz", _) if let Some(field) = ready => health(HealthField::Ready(field)),
                        ("/health", pointer) if is_pool => Way::Pool { process, pointer: pointer.to_owned() },
                        ("/api/health", "/workers/online") => health(HealthField::Online),
                        ("/api/health", "/workers/stale") => health(HealthField::Stale),
                        _ => {
                            let what = format!("a watch of {path} at {pointer}, which is not modelled");
                            return Err(unsupported(&what));
                        }
                    }
                }
                Question::Redis { command } if look::can_read(command) => {
                    Way::Redis { command: command.clone() }
                }
                Question::Redis { command } => {
                    let what = format!("a watch by {}, which is not modelled", command.join(" "));
                    return Err(unsupported(&what));
                }
                Question::Alert { name } => Way::Alert { name: name.clone() },
                Question::Status { pointer, rule } => Way::Status { pointer: pointer.clone(), rule: *rule },
                Question::Sql { .. } => {
                    return Err(unsupported("a watch by SQL, which is not modelled"));
                }
            };
            self.watchers.push(Watcher {
                name: watch.name.clone(),
                every: watch.every.max(INTERVAL_MIN),
                way,
                asks: Asks::given_up_after(watch.timeout),
            });
        }
        Ok(())
    }

    pub(super) fn start_watches(&mut self) {
        self.watching = true;
        for watch in 0..self.watchers.len() {
            self.plan(self.now, Planned::WatchTick { watch });
        }
    }

    /// Asks, and plans the next ask.
    pub(super) fn watch_tick(&mut self, watch: usize) {
        if !self.watching {
            return;
        }
        let it = &mut self.watchers[watch];
        let every = it.every;
        if it.asks.is_full() {
            let answer = Heard::Unknown { error: format!("{ASKS_MAX} asks are unanswered already") };
            let watch_name = it.name.clone();
            self.tell(What::Watched { watch: watch_name, asked: self.now, answer });
        } else {
            let asked = Asked { watch: watch as u32, ask: it.asks.ask(self.now) as u32 };
            self.plan_after_message(Planned::WatchArrives { asked });
            self.arm_watch(watch);
        }
        self.plan_after(every, Planned::WatchTick { watch });
    }

    fn arm_watch(&mut self, watch: usize) {
        if let Some(at) = self.watchers[watch].asks.arm() {
            self.plan(at, Planned::WatchLimit { watch });
        }
    }

    /// The question is at the process, or at the store; no link carries it.
    pub(super) fn watch_arrives(&mut self, asked: Asked) {
        let (process, is_pool) = match &self.watchers[asked.watch as usize].way {
            Way::Health { process, .. } => (*process, false),
            Way::Pool { process, .. } => (*process, true),
            Way::Redis { .. } => return self.watch_arrives_at(Store::Redis, asked),
            Way::Status { .. } => return self.watch_arrives_at(Store::Postgres, asked),
            Way::Alert { name } => {
                let name = name.clone();
                return self.answer_watch_of_alert(asked, &name);
            }
        };
        if !self.processes[process].listens() {
            self.heard(asked, Heard::Unknown { error: "connection refused".to_owned() });
        } else if self.unless_still(Some(process), (), |()| Planned::WatchArrives { asked }).is_some() {
            if is_pool {
                self.answer_from_pool(asked, process);
            } else {
                self.request(process, Asker::Watch(asked), None);
            }
        }
    }

    fn watch_arrives_at(&mut self, store: Store, asked: Asked) {
        match self.health(store) {
            Health::Up => self.answer_watch_from_store(asked),
            Health::Hanging => self.server(store).watched.push(asked),
            Health::Down => self.heard(asked, Heard::Unknown { error: "connection refused".to_owned() }),
        }
    }

    fn answer_from_pool(&mut self, asked: Asked, process: usize) {
        let Way::Pool { pointer, .. } = &self.watchers[asked.watch as usize].way else { return };
        let health = self.processes[process].pool().map(|pool| pool.health().to_json(self.now));
        let answer = match health.as_ref().and_then(|health| health.pointer(pointer)) {
            Some(value) => Heard::Said(value.to_string()),
            None => Heard::Unknown { error: format!("the answer has nothing at `{pointer}`") },
        };
        self.plan_after_message(Planned::WatchHeard { asked, answer: Box::new(answer) });
    }

    pub(super) fn answer_watch_from_store(&mut self, asked: Asked) {
        match &self.watchers[asked.watch as usize].way {
            Way::Redis { .. } => self.answer_from_redis(asked),
            Way::Status { .. } => self.answer_of_status(asked),
            Way::Health { .. } | Way::Pool { .. } | Way::Alert { .. } => {}
        }
    }

    fn answer_of_status(&mut self, asked: Asked) {
        let Way::Status { pointer, rule } = &self.watchers[asked.watch as usize].way else { return };
        let told = self.stores.postgres.status(self.postgres_time(), rule).to_json(rule);
        let said = match told.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => "null".to_owned(),
        };
        let wait = self.delays.statement.sample(&mut self.random) + self.delay_of_message();
        self.plan_after(wait, Planned::WatchHeard { asked, answer: Box::new(Heard::Said(said)) });
    }

    fn answer_from_redis(&mut self, asked: Asked) {
        let Way::Redis { command } = &self.watchers[asked.watch as usize].way else { return };
        let said = look::read(&self.stores.redis, self.redis_time(), command);
        let answer = match said {
            Some(said) => Heard::Said(said),
            None => Heard::Unknown { error: "redis: WRONGTYPE".to_owned() },
        };
        self.plan_after_message(Planned::WatchHeard { asked, answer: Box::new(answer) });
    }

    pub(super) fn answer_watch_of_health(&mut self, asked: Asked, online: bool, stale: bool) {
        let Way::Health { process, field } = self.watchers[asked.watch as usize].way else { return };
        let said = match field {
            HealthField::Online => online.to_string(),
            HealthField::Stale => stale.to_string(),
            HealthField::Ready(field) => self.readiness(process, field, online),
        };
        self.plan_after_message(Planned::WatchHeard { asked, answer: Box::new(Heard::Said(said)) });
    }

    fn readiness(&self, process: usize, field: ReadyField, database: bool) -> String {
        let has = |tool| self.processes[process].misfit != Some(Misfit::NoTool { tool });
        match field {
            ReadyField::Ok => {
                (database && Tool::ALL.into_iter().all(|tool| !tool.is_required() || has(tool))).to_string()
            }
            ReadyField::Database if database => "ok".to_owned(),
            ReadyField::Database => "unreachable".to_owned(),
            ReadyField::Tool(tool) => has(tool).to_string(),
        }
    }

    pub(super) fn watch_limit(&mut self, watch: usize) {
        let asks = &mut self.watchers[watch].asks;
        if let Some(ask) = asks.given_up(self.now) {
            let error = format!("no answer within {}", asks.limit());
            self.heard(Asked { watch: watch as u32, ask: ask as u32 }, Heard::Unknown { error });
        }
        self.arm_watch(watch);
    }

    pub(super) fn heard(&mut self, asked: Asked, answer: Heard) {
        let watcher = &mut self.watchers[asked.watch as usize];
        let Some(at) = watcher.asks.end(asked.ask as usize) else { return };
        if self.watching {
            let told = What::Watched { watch: watcher.name.clone(), asked: at, answer };
            self.tell(told);
        }
    }
}
