//! The docker site. `make test` starts an engine where none answers: without one these tests fail.
#![cfg(feature = "docker")]

mod provision_support;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use provision_support::{place, postgres, redis_get, redis_set, reference, run_id, scenario, shell};
use rustix::process::{Signal, pidfd_send_signal};
use syncope::backend::{BackendError, Unstarted};
use syncope::fault::OutageKind;
use syncope::history::What;
use syncope::live::provision::cleanup::Guard;
use syncope::live::provision::{BackendKind, RunContext, engine, images, open};
use syncope::live::sink::Sink;
use syncope::names::{ProcessName, Store};
use syncope::scenario::{ProcessSpec, Program, RedisDurability, Scenario};

const KIND: BackendKind = BackendKind::Docker;
/// Has a shell, and is there once the stores are.
const IMAGE: &str = "syncope/redis:7";

/// The images are made before anything is timed.
async fn prepared(scenario: &Scenario) {
    let engine = engine::detect().await.unwrap_or_else(|error| {
        panic!("these tests need a container engine (scripts/setup.sh starts one): {error}")
    });
    // SAFETY: every test sets the same value, before anything reads it.
    unsafe { std::env::set_var("SYNCOPE_BIN", env!("CARGO_BIN_EXE_syncope")) };
    static TURN: AtomicU32 = AtomicU32::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let guard = Guard::open(&run_id(&format!("images-{turn}"))).unwrap();
    let begun = Instant::now();
    let stores = scenario_of(Some(RedisDurability::None), true, Vec::new());
    let wanted = [&stores, scenario];
    images::prepare_images(&engine, &guard, wanted, &|step| println!("{step}")).await.unwrap();
    println!("images after {:?}", begun.elapsed());
    guard.close();
}

fn scenario_of(redis: Option<RedisDurability>, postgres: bool, processes: Vec<ProcessSpec>) -> Scenario {
    scenario(redis, postgres, processes)
}

fn listed(run: &str) -> String {
    let filter = format!("label=syncope.run={run}");
    let mut found = String::new();
    for what in ["container", "network", "volume"] {
        let mut command = Command::new("docker");
        command.args([what, "ls", "-q", "--filter", &filter]);
        if what == "container" {
            command.arg("-a");
        }
        found.push_str(&String::from_utf8(command.output().unwrap().stdout).unwrap());
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_stores_answer_survive_outages_and_leave_nothing() {
    let scenario = scenario_of(Some(RedisDurability::Aof), true, Vec::new());
    prepared(&scenario).await;
    let begun = Instant::now();
    let place = place(KIND, "stores", &scenario).await;
    println!("network after {:?}", begun.elapsed());
    let begun = Instant::now();
    let stores = place.site.start_stores().await.unwrap();
    println!("stores ready in {:?}", begun.elapsed());
    println!("{:?}", place.site.versions());
    redis_set(&stores[&Store::Redis], "key", "value");
    let client = postgres(&stores[&Store::Postgres]).await;
    client.batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await.unwrap();
    for how in [OutageKind::Kill, OutageKind::Stop, OutageKind::Pause] {
        for store in Store::ALL {
            let begun = Instant::now();
            let down = place.site.store_down(store, how).await.unwrap();
            println!("{down} after {:?}", begun.elapsed());
            let begun = Instant::now();
            let up = place.site.store_up(store, how).await.unwrap();
            println!("{up} after {:?}", begun.elapsed());
        }
        assert_eq!(redis_get(&place.site.store(Store::Redis).unwrap(), "key").as_deref(), Some("value"));
        let client = postgres(&place.site.store(Store::Postgres).unwrap()).await;
        assert_eq!(client.query("SELECT n FROM t", &[]).await.unwrap().len(), 1);
    }
    let begun = Instant::now();
    place.leave().await;
    println!("gone in {:?}", begun.elapsed());
    assert_eq!(listed(&run_id("stores")), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_redis_without_persistence_forgets() {
    let scenario = scenario_of(Some(RedisDurability::None), false, Vec::new());
    prepared(&scenario).await;
    let place = place(KIND, "forgets", &scenario).await;
    let stores = place.site.start_stores().await.unwrap();
    redis_set(&stores[&Store::Redis], "key", "value");
    place.site.store_down(Store::Redis, OutageKind::Kill).await.unwrap();
    place.site.store_up(Store::Redis, OutageKind::Kill).await.unwrap();
    assert_eq!(redis_get(&place.site.store(Store::Redis).unwrap(), "key"), None);
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_a_process_speaks_is_killed_and_starts_again() {
    let script = r#"echo '{"at":5,"ev":{"ready":{"pid":1}}}'; echo "hello $NAME"; sleep 600"#;
    let spec = shell("worker-1", script, Some(IMAGE));
    let scenario = scenario_of(None, false, vec![spec.clone()]);
    prepared(&scenario_of(None, false, Vec::new())).await;
    let place = place(KIND, "process", &scenario).await;
    let env = BTreeMap::from([("NAME".to_owned(), "there".to_owned())]);
    for generation in 1..=2 {
        let begun = Instant::now();
        let running = place.site.start_process(&spec, env.clone()).await.unwrap();
        println!("process started in {:?}", begun.elapsed());
        assert_eq!(running.generation, generation);
        place.wait_for_line("hello there");
        pidfd_send_signal(&running.pidfd, Signal::KILL).unwrap();
        let exited = What::Exited { generation, code: None, signal: Some(9) };
        place.wait("exit", |ev| (*ev == exited).then_some(()));
    }
    place.leave().await;
}

/// How long after its start a process ends that has nothing to do is not the test's to say: each of these
/// may be met before, while or after it is taken hold of.
#[tokio::test(flavor = "multi_thread")]
async fn docker_a_process_that_ends_at_once_has_ended_and_is_not_invisible() {
    prepared(&scenario_of(None, false, Vec::new())).await;
    let scripts = ["exit 3", "sleep 0.02; exit 3", "sleep 0.05; exit 3", "sleep 0.1; exit 3"];
    let named = |(number, script): (usize, &&str)| shell(&format!("worker-{number}"), script, Some(IMAGE));
    let specs: Vec<ProcessSpec> = scripts.iter().enumerate().map(named).collect();
    let place = place(KIND, "at-once", &scenario_of(None, false, specs.clone())).await;
    for spec in &specs {
        // Again under the same name: nothing of the first is in its way.
        for _ in 0..2 {
            match place.site.start_process(spec, BTreeMap::new()).await {
                Err(BackendError::NotStarted { what, why }) => {
                    assert_eq!(why, Unstarted::Ended);
                    assert!(what.ends_with("exit code 3"), "{what}");
                }
                Err(error) => panic!("{error}"),
                Ok(running) => {
                    let mut exit = running.exit.clone();
                    let ended = exit.wait_for(Option::is_some).await.unwrap();
                    assert_eq!(ended.and_then(|exit| exit.code), Some(3));
                }
            }
        }
    }
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_a_program_that_is_gone_is_not_started_and_is_there_again() {
    let spec = shell("worker-1", "echo here; sleep 600", Some(IMAGE));
    let gone = ProcessSpec {
        program: Program::Missing { instead_of: Box::new(spec.program.clone()) },
        ..spec.clone()
    };
    prepared(&scenario_of(None, false, Vec::new())).await;
    let place = place(KIND, "gone", &scenario_of(None, false, vec![spec.clone()])).await;
    for _ in 0..2 {
        let refused = place.site.start_process(&gone, BTreeMap::new()).await;
        let Err(BackendError::NotStarted { why: Unstarted::NoProgram, .. }) = refused else {
            panic!("{:?}", refused.map(|running| running.pid));
        };
    }
    place.site.start_process(&spec, BTreeMap::new()).await.unwrap();
    place.wait_for_line("here");
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_host_and_container_reach_each_other_on_a_network_that_leads_nowhere_else() {
    let script = r#"redis-server --port 8080 --protected-mode no --save "" &
        until redis-cli -h "$PROXY" -p "$PORT" PING > /dev/null; do sleep 0.05; done
        until redis-cli -p 8080 PING > /dev/null; do sleep 0.05; done; echo reached; wait"#;
    let mut spec = shell("api", script, Some("syncope/redis:7"));
    spec.serves_http = true;
    let scenario = scenario_of(None, false, vec![spec.clone()]);
    prepared(&scenario_of(None, false, Vec::new())).await;
    let place = place(KIND, "reach", &scenario).await;
    let listener = tokio::net::TcpListener::bind((place.site.proxy_address(), 0)).await.unwrap();
    let env = BTreeMap::from([
        ("PROXY".to_owned(), place.site.proxy_address().to_string()),
        ("PORT".to_owned(), listener.local_addr().unwrap().port().to_string()),
    ]);
    place.site.start_process(&spec, env).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"+PONG\r\n").await.unwrap();
    place.wait_for_line("reached");
    let address = place.site.http_address(&ProcessName::from("api")).unwrap();
    tokio::net::TcpStream::connect(address).await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_a_fake_clock_follows_its_file() {
    let mut spec = shell("api", "while :; do date +%Y; sleep 0.05; done", Some(IMAGE));
    spec.fake_clock = true;
    prepared(&scenario_of(None, false, Vec::new())).await;
    let place = place(KIND, "clock", &scenario_of(None, false, vec![spec.clone()])).await;
    place.site.start_process(&spec, BTreeMap::new()).await.unwrap();
    let year: i32 = place.wait("a year", |ev| match ev {
        What::Line { text } => text.parse().ok(),
        _ => None,
    });
    std::fs::write(place.site.clock_file(&spec.name).unwrap(), "+3652d\n").unwrap();
    place.wait_for_line(&(year + 10).to_string());
    place.leave().await;
}

#[test]
fn worker() {
    provision_support::play_fleet();
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_the_reference_program_is_told_its_role_and_its_settings() {
    let spec = reference("worker-1");
    prepared(&scenario_of(None, false, Vec::new())).await;
    let place = place(KIND, "reference", &scenario_of(None, false, vec![spec.clone()])).await;
    let begun = Instant::now();
    place.site.start_process(&spec, BTreeMap::new()).await.unwrap();
    println!("reference process started in {:?}", begun.elapsed());
    place.wait_for_line("prefix app:test");
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_nowhere_keeps_only_its_own_scenario_from_running() {
    // No registry answers on this port.
    const NOWHERE: &str = "localhost:1/syncope/nowhere:1";
    let spec = shell("worker-1", "true", Some(NOWHERE));
    let scenario = scenario(None, false, vec![spec]);
    // Has the others' images all the same.
    prepared(&scenario).await;
    let guard = Guard::open(&run_id("nowhere")).unwrap();
    let (to, _) = std::sync::mpsc::channel();
    let run = RunContext { guard: guard.clone(), index: 1, sink: Sink::new(to) };
    match open(KIND, run, &scenario).await {
        Err(BackendError::Environment { what, .. }) => assert!(what.contains(NOWHERE), "{what}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it has no image"),
    }
    guard.close();
}
