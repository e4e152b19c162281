//! The process site: stores and processes as children of the harness.

mod provision_support;

use std::collections::BTreeMap;
use std::time::Instant;

use provision_support::{
    place, postgres, postgres_segments, redis_get, redis_set, reference, run_id, scenario, shell,
};
use rustix::process::{Signal, pidfd_send_signal};
use syncope::fault::OutageKind;
use syncope::history::What;
use syncope::live::provision::{BackendKind, Exit};
use syncope::names::Store;
use syncope::protocol::FleetEvent;
use syncope::scenario::RedisDurability;

const KIND: BackendKind = BackendKind::Process;

#[tokio::test(flavor = "multi_thread")]
async fn both_stores_answer_and_nothing_is_left_of_them() {
    // The first run of a machine makes the data directory's template: not what is timed here.
    let scenario = scenario(Some(RedisDurability::Aof), true, Vec::new());
    let first = place(KIND, "stores-first", &scenario).await;
    first.site.start_stores().await.unwrap();
    first.leave().await;

    let place = place(KIND, "stores", &scenario).await;
    let begun = Instant::now();
    let stores = place.site.start_stores().await.unwrap();
    println!("stores ready in {:?}", begun.elapsed());
    redis_set(&stores[&Store::Redis], "key", "value");
    let client = postgres(&stores[&Store::Postgres]).await;
    client.batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await.unwrap();
    let pids: Vec<i32> = stores.values().map(|store| store.pid).collect();
    let begun = Instant::now();
    place.leave().await;
    println!("gone in {:?}", begun.elapsed());
    for pid in pids {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_redis_keeps_is_what_its_durability_promises() {
    for (durability, how, kept) in [
        (RedisDurability::None, OutageKind::Kill, false),
        (RedisDurability::None, OutageKind::Stop, false),
        (RedisDurability::None, OutageKind::Pause, true),
        (RedisDurability::Rdb, OutageKind::Kill, false),
        (RedisDurability::Rdb, OutageKind::Stop, true),
        (RedisDurability::Aof, OutageKind::Kill, true),
        (RedisDurability::AofAlways, OutageKind::Kill, true),
    ] {
        let place = place(KIND, "durability", &scenario(Some(durability), false, Vec::new())).await;
        let stores = place.site.start_stores().await.unwrap();
        redis_set(&stores[&Store::Redis], "key", "value");
        let down = place.site.store_down(Store::Redis, how).await.unwrap();
        let up = place.site.store_up(Store::Redis, how).await.unwrap();
        println!("{durability:?} {how:?}: {down}; {up}");
        let redis = place.site.store(Store::Redis).unwrap();
        assert_eq!(redis_get(&redis, "key").is_some(), kept, "{durability:?} after {how:?}");
        place.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postgres_keeps_what_it_acknowledged() {
    let place = place(KIND, "postgres-kill", &scenario(None, true, Vec::new())).await;
    let stores = place.site.start_stores().await.unwrap();
    let client = postgres(&stores[&Store::Postgres]).await;
    client.batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await.unwrap();
    for (n, how) in [OutageKind::Kill, OutageKind::Stop, OutageKind::Pause].into_iter().enumerate() {
        let begun = Instant::now();
        let down = place.site.store_down(Store::Postgres, how).await.unwrap();
        println!("{down} after {:?}", begun.elapsed());
        let begun = Instant::now();
        let up = place.site.store_up(Store::Postgres, how).await.unwrap();
        println!("{up} after {:?}", begun.elapsed());
        let client = postgres(&place.site.store(Store::Postgres).unwrap()).await;
        let rows = client.query("SELECT n FROM t", &[]).await.unwrap();
        assert_eq!(rows.len(), n + 1);
        client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    }
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postgres_leaves_no_shared_memory() {
    const NAME: &str = "postgres-memory";
    let place = place(KIND, NAME, &scenario(None, true, Vec::new())).await;
    place.site.start_stores().await.unwrap();
    let used = postgres_segments(&run_id(NAME));
    assert!(matches!(used[..], [segment] if segment.attached > 0), "{used:?}");
    place.site.store_down(Store::Postgres, OutageKind::Kill).await.unwrap();
    let left = postgres_segments(&run_id(NAME));
    assert!(matches!(left[..], [segment] if segment.attached == 0), "{left:?}");
    place.site.store_up(Store::Postgres, OutageKind::Kill).await.unwrap();
    assert!(!left[0].is_there(), "the healed server has one of its own, and that alone");
    place.site.store_down(Store::Postgres, OutageKind::Kill).await.unwrap();
    let left = postgres_segments(&run_id(NAME));
    assert!(matches!(left[..], [segment] if segment.attached == 0), "{left:?}");
    place.leave().await;
    assert!(!left[0].is_there());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_speaks_ends_and_starts_again() {
    let script =
        r#"echo '{"at":5,"ev":{"ready":{"pid":1}}}'; echo "hello $NAME"; read x < /dev/zero; exit 3"#;
    let spec = shell("worker-1", script, None);
    let place = place(KIND, "process", &scenario(None, false, vec![spec.clone()])).await;
    let env = BTreeMap::from([("NAME".to_owned(), "there".to_owned())]);
    let port = place.site.http_port(&spec.name);
    for generation in 1..=2 {
        let running = place.site.start_process(&spec, env.clone()).await.unwrap();
        assert_eq!(running.generation, generation);
        let started = What::Started { generation, pid: running.pid.unsigned_abs() };
        place.wait("start", |ev| (*ev == started).then_some(()));
        place.wait("ready", |ev| (*ev == What::Fleet(FleetEvent::Ready { pid: 1 })).then_some(()));
        place.wait_for_line("hello there");
        pidfd_send_signal(&running.pidfd, Signal::KILL).unwrap();
        let exited = What::Exited { generation, code: None, signal: Some(9) };
        place.wait("exit", |ev| (*ev == exited).then_some(()));
        let mut exit = running.exit.clone();
        let seen = *exit.wait_for(Option::is_some).await.unwrap();
        assert_eq!(seen, Some(Exit { code: None, signal: Some(9) }));
    }
    assert_eq!(place.site.http_port(&spec.name), port);
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fake_clock_follows_its_file() {
    let script = "while :; do date +%Y; sleep 0.02; done";
    let mut spec = shell("api", script, None);
    spec.fake_clock = true;
    let place = place(KIND, "clock", &scenario(None, false, vec![spec.clone()])).await;
    place.site.start_process(&spec, BTreeMap::new()).await.unwrap();
    let year: i32 = place.wait("a year", |ev| match ev {
        What::Line { text } => text.parse().ok(),
        _ => None,
    });
    let file = place.site.clock_file(&spec.name).unwrap();
    std::fs::write(file, "+3652d\n").unwrap();
    place.wait_for_line(&(year + 10).to_string());
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_descendant_that_left_its_parent_goes_too() {
    let spec = shell("worker-1", "setsid sleep 600 & echo $!; exit 0", None);
    let place = place(KIND, "stray", &scenario(None, false, vec![spec.clone()])).await;
    place.site.start_process(&spec, BTreeMap::new()).await.unwrap();
    let stray: i32 = place.wait("a pid", |ev| match ev {
        What::Line { text } => text.parse().ok(),
        _ => None,
    });
    place.leave().await;
    assert!(!syncope::live::provision::tree::Identity::of(stray).is_some_and(|stray| stray.lives()));
}

#[test]
fn worker() {
    provision_support::play_fleet();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_program_is_told_its_role_and_its_settings() {
    let spec = reference("worker-1");
    let place = place(KIND, "reference", &scenario(None, false, vec![spec.clone()])).await;
    let begun = Instant::now();
    place.site.start_process(&spec, BTreeMap::new()).await.unwrap();
    println!("reference process started in {:?}", begun.elapsed());
    place.wait_for_line("prefix app:test");
    place.leave().await;
}
