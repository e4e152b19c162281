//! The queue's transitions as scripts that run atomically on the server.

use futures_util::future::try_join_all;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, Script};

/// One field per file in `lua/`.
pub(super) struct Scripts {
    pub enqueue: Script,
    pub claim: Script,
    pub extend_lock: Script,
    pub complete: Script,
    pub fail: Script,
    pub release: Script,
    pub check_stalled: Script,
    pub acquire_lock: Script,
    pub renew_lock: Script,
    pub release_lock: Script,
}

macro_rules! queue_script {
    ($name:literal) => {
        Script::new(concat!(
            include_str!("../lua/prelude.lua"),
            include_str!(concat!("../lua/", $name, ".lua"))
        ))
    };
}

impl Scripts {
    pub fn new() -> Self {
        Self {
            enqueue: queue_script!("enqueue"),
            claim: queue_script!("claim"),
            extend_lock: queue_script!("extend_lock"),
            complete: queue_script!("complete"),
            fail: queue_script!("fail"),
            release: queue_script!("release"),
            check_stalled: queue_script!("check_stalled"),
            acquire_lock: Script::new(include_str!("../lua/acquire_lock.lua")),
            renew_lock: Script::new(include_str!("../lua/renew_lock.lua")),
            release_lock: Script::new(include_str!("../lua/release_lock.lua")),
        }
    }

    /// Makes the server know every script, so that no command pays for it later. Sends only what it
    /// lacks: together they are some 20 KB, much for a slow link. A server that answers this accepts
    /// commands.
    pub async fn load(&self, connection: &MultiplexedConnection) -> Result<(), RedisError> {
        let all = [
            &self.enqueue,
            &self.claim,
            &self.extend_lock,
            &self.complete,
            &self.fail,
            &self.release,
            &self.check_stalled,
            &self.acquire_lock,
            &self.renew_lock,
            &self.release_lock,
        ];
        let mut asking = connection.clone();
        let mut exist = redis::cmd("SCRIPT");
        exist.arg("EXISTS").arg(all.map(Script::get_hash).as_slice());
        let known: Vec<bool> = exist.query_async(&mut asking).await?;
        let missing = all.into_iter().zip(known).filter(|(_, known)| !known);
        let load = |(script, _): (&Script, bool)| {
            let (script, mut connection) = (script.clone(), connection.clone());
            async move { script.load_async(&mut connection).await }
        };
        try_join_all(missing.map(load)).await.map(drop)
    }
}
