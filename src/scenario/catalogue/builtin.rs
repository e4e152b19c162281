//! The entries that the program carries with it: every file of `catalog/`.

use super::super::diagnostic::Source;

macro_rules! entries {
    ($($name:literal),* $(,)?) => {
        /// The names of all entries, in alphabetical order.
        pub const NAMES: &[&str] = &[$($name),*];

        const TEXTS: &[&str] = &[$(include_str!(concat!("../../../catalog/", $name, ".yaml"))),*];
    };
}

entries![
    "apalis-postgres",
    "arq",
    "bullmq",
    "bullmq-python",
    "celery",
    "celery-acks-late",
    "dramatiq",
    "faktory",
    "good-job",
    "good-job-record",
    "graphile-worker",
    "huey",
    "kafka-consumer",
    "kubernetes-node",
    "kubernetes-node-1-31",
    "oban",
    "pg-boss",
    "pg-boss-heartbeat",
    "pgqueuer",
    "postgres-heartbeat",
    "postgres-heartbeat-3m",
    "postgres-jobs",
    "postgres-jobs-alert",
    "procrastinate",
    "procrastinate-bare",
    "que",
    "redis-heartbeat",
    "redis-heartbeat-old",
    "redis-queue",
    "redis-queue-tuned",
    "river",
    "rq",
    "saq",
    "sidekiq",
    "taskiq-redis",
    "underway",
    "worker-pool",
];

/// The file of an entry that the program carries; `None` for another name.
#[must_use]
pub fn builtin(name: &str) -> Option<Source> {
    let index = NAMES.iter().position(|known| *known == name)?;
    Some(Source::new(format!("catalog/{name}.yaml"), TEXTS[index]))
}
