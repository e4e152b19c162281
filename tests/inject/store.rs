use syncope::fault::trouble::{DeadLetters, Trouble};
use syncope::fault::{Direction, Injection, OutageKind, Toxic};
use syncope::live::store::postgres::SCHEMA;
use syncope::names::{JobId, Store};

use crate::fake::Server;
use crate::rig::{Rig, link};

fn down(how: OutageKind) -> Injection {
    Injection::StoreDown { store: Store::Redis, how }
}

fn up(how: OutageKind) -> Injection {
    Injection::StoreUp { store: Store::Redis, how }
}

fn rig_with(server: &Server) -> Rig {
    let rig = Rig::new();
    rig.site.stores.lock().unwrap().insert(server.instance.store, server.instance.clone());
    rig
}

#[test]
fn a_killed_redis_is_gone_when_the_receipt_says_so() {
    let mut server = Server::redis();
    let rig = rig_with(&server);
    // The fake site finds nothing left to kill, which is no objection.
    rig.check_done(down(OutageKind::Kill), &format!("ended after SIGKILL: pid {}", server.instance.pid));
    assert!(!server.wait().success());
}

#[test]
fn a_killed_postgres_takes_its_children_with_it() {
    let mut server = Server::postgres();
    let rig = rig_with(&server);
    let kill = Injection::StoreDown { store: Store::Postgres, how: OutageKind::Kill };
    let proof = rig.check_done(kill, "ended after SIGKILL").proof;
    server.wait();
    let pids: Vec<&str> = proof.split_once("pid ").unwrap().1.split(", ").collect();
    assert!(pids.len() > 1, "{proof}");
    for pid in pids {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z"), "{stat}");
    }
}

#[test]
fn a_pid_that_is_not_the_stores_is_not_touched() {
    let server = Server::redis();
    let rig = Rig::new();
    let other = rig.site.shell("worker-1", "echo ready; exec sleep 1000");
    let mut instance = server.instance.clone();
    instance.pid = other.pid;
    rig.site.stores.lock().unwrap().insert(Store::Redis, instance);
    rig.check_unproved(down(OutageKind::Kill), "redis could not be taken down: it is not running");
    assert!(other.exit.borrow().is_none());
}

#[test]
fn the_other_outages_are_proved_by_the_site() {
    let server = Server::redis();
    let rig = rig_with(&server);
    rig.check_unproved(down(OutageKind::Pause), "it is not running");
    *rig.site.store_answer.lock().unwrap() = Some("state T in /proc".to_owned());
    rig.check_done(down(OutageKind::Pause), "state T in /proc");
}

#[test]
fn a_store_that_comes_back_is_where_the_links_lead() {
    let server = Server::redis();
    let rig = rig_with(&server);
    *rig.site.store_answer.lock().unwrap() = Some("answers PING".to_owned());
    rig.check_done(up(OutageKind::Kill), "answers PING");
    assert_eq!(*rig.network.notes.lock().unwrap(), [format!("redis is at {}", server.instance.address)]);
}

#[test]
fn refuse_is_on_every_link_to_the_store_and_is_probed() {
    let rig = Rig::new();
    rig.check_done(down(OutageKind::Refuse), "worker-2 -> redis: connection refused");
    rig.check_done(up(OutageKind::Refuse), "no Refuse on worker-1 -> redis, worker-2 -> redis");
    *rig.network.lets_through.lock().unwrap() = true;
    rig.check_unproved(down(OutageKind::Refuse), "worker-1 -> redis was not refused: connected");
}

#[test]
fn a_toxic_is_proved_by_the_proxy_and_needs_a_link() {
    let rig = Rig::new();
    let toxic = Toxic::Partition { direction: Direction::Upstream };
    let links = vec![link("worker-1", Store::Redis)];
    rig.check_done(Injection::Toxic { links: links.clone(), toxic }, "Partition");
    rig.check_done(
        Injection::ClearToxic { links, toxic },
        "no Partition { direction: Upstream } on worker-1 -> redis",
    );
    rig.check_unproved(Injection::Toxic { links: Vec::new(), toxic }, "no link has these ends");
}

#[test]
fn deleted_keys_are_counted_and_absent() {
    let server = Server::redis();
    let rig = rig_with(&server);
    let mut redis = redis::Client::open(format!("redis://{}", server.instance.address))
        .unwrap()
        .get_connection()
        .unwrap();
    redis::cmd("SET").arg("lock").arg("worker-1").exec(&mut redis).unwrap();
    let delete = || Injection::DeleteKeys { keys: vec!["lock".to_owned(), "none".to_owned()] };
    rig.check_done(delete(), "DEL: 1 of 2; EXISTS afterwards: 0 (lock, none)");
    assert!(!redis::cmd("EXISTS").arg("lock").query::<bool>(&mut redis).unwrap());
    rig.check_unproved(delete(), "DEL: 0 of 2");
    rig.site.stores.lock().unwrap().clear();
    rig.check_unproved(delete(), "there is no Redis");
}

fn trouble(trouble: Trouble) -> Injection {
    Injection::Trouble { trouble }
}

#[test]
fn what_an_operators_statement_returned_is_its_proof() {
    let server = Server::postgres();
    let rig = rig_with(&server);
    let operate = |statement: &str| trouble(Trouble::Operate { statement: statement.to_owned() });
    rig.check_done(operate("SELECT n FROM generate_series(7, 9) n"), "3 rows returned, the first: 7");
    rig.check_unproved(operate("CREATE TABLE nothing (told int)"), "the statement returned no row");
    rig.check_unproved(operate("SELECT * FROM nowhere"), "nowhere");
}

#[test]
fn dead_letters_are_replayed_all_or_one_and_none_is_no_proof() {
    let server = Server::postgres();
    let rig = rig_with(&server);
    let operate = |statement: &str| trouble(Trouble::Operate { statement: statement.to_owned() });
    rig.check_done(operate(SCHEMA), "1 rows returned");
    let letters = "INSERT INTO executions (execution_id, status, spec, attempts, run_at, execution_error)
        SELECT 'job-' || n, 'dead_letter', '{}', 1, now(), 'it broke' FROM generate_series(1, 3) n
        RETURNING execution_id";
    rig.check_done(operate(letters), "3 rows");
    let replay = |letters| trouble(Trouble::Replay { letters });
    let second = DeadLetters::Job(JobId::new("job-2"));
    rig.check_done(replay(second.clone()), "1 dead letters queued again, the first: job-2");
    rig.check_unproved(replay(second), "there was no such dead letter");
    rig.check_done(replay(DeadLetters::All), "2 dead letters queued again");
    rig.check_unproved(replay(DeadLetters::All), "there was no such dead letter");
}
