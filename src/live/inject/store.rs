//! Outages of stores, toxics on links, and keys deleted by hand.

use futures_util::future::BoxFuture;
use rustix::process::Signal;
use tokio::time::timeout;

use super::pause::freeze;
use super::tree::{self, Member};
use super::{AppliedAt, Effect, Outcome, Parts, blocking};
use crate::backend::BackendError;
use crate::fault::{OutageKind, Toxic};
use crate::live::clock;
use crate::live::observe::connection::Redis;
use crate::names::{Endpoint, Link, Store};
use crate::time::{Instant, Span};

/// For a store to go down, or to come up and answer a query.
const STORE_LIMIT: Span = Span::from_secs(60);
/// For the processes of a killed store to be gone.
const GONE_LIMIT: Span = Span::from_secs(5);
const COMMAND_LIMIT: Span = Span::from_secs(5);

/// A kill takes hold now: the server's root process is stopped on this thread, then it and all that
/// it started are killed. The other kinds are the site's business alone.
pub(super) fn down(parts: &Parts, store: Store, how: OutageKind) -> BoxFuture<'static, Outcome> {
    let parts = parts.clone();
    let from = clock::monotonic();
    let root = match how {
        OutageKind::Kill => server(&parts, store).filter(|root| root.signal(Signal::STOP).is_ok()),
        OutageKind::Stop | OutageKind::Pause | OutageKind::Refuse => None,
    };
    Box::pin(async move {
        let killed = match root {
            Some(root) => Some(kill_tree(root, from).await?),
            None => None,
        };
        let told = by_site(parts.site.store_down(store, how)).await;
        match (killed, told) {
            (Some(killed), Ok(proof)) => Ok(Effect { proof: format!("{}; {proof}", killed.proof), ..killed }),
            // The site may find that there is nothing left to kill.
            (Some(killed), Err(_)) => Ok(killed),
            (None, Ok(proof)) => Ok(Effect { from, until: clock::monotonic(), proof }),
            (None, Err(reason)) => Err(format!("{store} could not be taken down: {reason}")),
        }
    })
}

/// Brings the store back, and lets the links lead to where it is now.
pub(super) fn up(parts: Parts, store: Store, how: OutageKind) -> BoxFuture<'static, Outcome> {
    Box::pin(async move {
        let from = clock::monotonic();
        let proof = by_site(parts.site.store_up(store, how))
            .await
            .map_err(|reason| format!("{store} could not be brought up: {reason}"))?;
        let instance =
            parts.site.store(store).ok_or_else(|| format!("{store} is up and nowhere to be found"))?;
        let network = std::sync::Arc::clone(&parts.network);
        blocking(move || {
            network.store_moved(store, instance.address);
            Ok(())
        })
        .await?;
        Ok(Effect { from, until: clock::monotonic(), proof })
    })
}

/// Cuts every link to the store and closes their listeners.
pub(super) fn refuse(parts: Parts, store: Store) -> BoxFuture<'static, Outcome> {
    let links = links_to(&parts, store);
    toxic(parts, links, Toxic::Refuse)
}

pub(super) fn accept(parts: Parts, store: Store) -> BoxFuture<'static, Outcome> {
    let links = links_to(&parts, store);
    clear_toxic(parts, links, Toxic::Refuse)
}

pub(super) fn toxic(parts: Parts, links: Vec<Link>, toxic: Toxic) -> BoxFuture<'static, Outcome> {
    Box::pin(blocking(move || {
        let applied = applied(&links, parts.network.apply(&links, toxic))?;
        let mut proof = applied.note;
        if toxic == Toxic::Refuse {
            for link in &links {
                let refused = parts.network.probe_refused(link);
                let refused = refused.map_err(|reason| format!("{link} was not refused: {reason}"))?;
                proof = format!("{proof}; {link}: {refused}");
            }
        }
        Ok(Effect { from: applied.from, until: applied.until, proof })
    }))
}

pub(super) fn clear_toxic(parts: Parts, links: Vec<Link>, toxic: Toxic) -> BoxFuture<'static, Outcome> {
    Box::pin(blocking(move || {
        let applied = applied(&links, parts.network.heal(&links, toxic))?;
        Ok(Effect { from: applied.from, until: applied.until, proof: applied.note })
    }))
}

/// One transaction, so that a fleet that writes the key again at once does not hide the deletion.
pub(super) fn delete_keys(parts: Parts, keys: Vec<String>) -> BoxFuture<'static, Outcome> {
    Box::pin(async move {
        let instance = parts.site.store(Store::Redis).ok_or("there is no Redis to delete keys in")?;
        let redis = Redis::new(COMMAND_LIMIT);
        let mut delete = redis::pipe();
        delete.atomic().del(&keys).exists(&keys);
        let from = clock::monotonic();
        let (deleted, left): (u64, u64) = redis.ask(&instance, &delete).await?;
        let until = clock::monotonic();
        let proof =
            format!("DEL: {deleted} of {}; EXISTS afterwards: {left} ({})", keys.len(), keys.join(", "));
        // Nothing was deleted: what the fault is about was not there.
        if deleted == 0 || left != 0 { Err(proof) } else { Ok(Effect { from, until, proof }) }
    })
}

/// The server's root process, if it can be seen from here and is what it should be.
fn server(parts: &Parts, store: Store) -> Option<Member> {
    let instance = parts.site.store(store)?;
    let member = Member::open(instance.pid)?;
    // Read after the pidfd was opened, so that the two mean the same process.
    let stat = tree::stat(instance.pid)?;
    (!stat.is_dead() && stat.command.contains(store.as_str())).then_some(member)
}

async fn kill_tree(root: Member, from: Instant) -> Outcome {
    let members = blocking(move || {
        let (members, _) = freeze(root, None, from + GONE_LIMIT)?;
        for member in &members {
            // One that is gone already is as good as killed.
            let _ = member.signal(Signal::KILL);
        }
        Ok(members)
    })
    .await?;
    let gone = async {
        let mut last = from;
        for member in &members {
            last = last.max(tree::gone(member.pidfd()).await?);
        }
        Ok::<_, std::io::Error>(last)
    };
    let until = match timeout(GONE_LIMIT.to_std(), gone).await {
        Ok(Ok(until)) => until,
        Ok(Err(error)) => return Err(format!("the end of a killed process could not be watched: {error}")),
        Err(_) => return Err(format!("a killed process still runs after {GONE_LIMIT}")),
    };
    let pids: Vec<String> = members.iter().map(|member| member.pid.to_string()).collect();
    Ok(Effect { from, until, proof: format!("ended after SIGKILL: pid {}", pids.join(", ")) })
}

async fn by_site(work: BoxFuture<'_, Result<String, BackendError>>) -> Result<String, String> {
    match timeout(STORE_LIMIT.to_std(), work).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("not done within {STORE_LIMIT}")),
    }
}

fn links_to(parts: &Parts, store: Store) -> Vec<Link> {
    let mut links = parts.network.links();
    links.retain(|link| link.to == Endpoint::Store(store));
    links
}

fn applied(links: &[Link], result: std::io::Result<AppliedAt>) -> Result<AppliedAt, String> {
    if links.is_empty() {
        return Err("no link has these ends".to_owned());
    }
    result.map_err(|error| format!("the proxy failed: {error}"))
}
