use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use syncope::history::{Event, Sample, What};
use syncope::live::observe::Prober;
use syncope::live::sink::Sink;
use syncope::names::Store;
use syncope::scenario::{Ask, Probe, WorkersAsk};
use syncope::time::Span;
use tokio::runtime::Runtime;

use crate::fake::{FakeSite, PATIENCE, Server};
use crate::web::Web;

struct Probing {
    site: Arc<FakeSite>,
    events: Receiver<Event>,
    prober: Option<Prober>,
    _runtime: Runtime,
}

impl Probing {
    fn start(ask: Ask, timeout_millis: u64, site: FakeSite) -> Self {
        let runtime = Runtime::new().unwrap();
        let site = Arc::new(site);
        let (sender, events) = channel();
        let probe = Probe { every: Span::from_millis(10), timeout: Span::from_millis(timeout_millis), ask };
        let prober = Prober::start(
            &probe,
            ["worker-1", "worker-2"].map(Into::into).into(),
            Arc::clone(&site) as _,
            Sink::new(sender),
            runtime.handle(),
        );
        Self { site, events, prober: Some(prober), _runtime: runtime }
    }

    /// Waits for a sample that is as expected; the ones before it may be of the time before.
    fn wait_for(&self, what: &str, expected: impl Fn(&Sample) -> bool) {
        let started = std::time::Instant::now();
        let mut last = None;
        while started.elapsed() < PATIENCE {
            let Ok(event) = self.events.recv_timeout(PATIENCE) else { break };
            let What::Probe { asked, sample } = event.ev else { panic!("only probes") };
            assert!(asked <= event.at);
            if expected(&sample) {
                return;
            }
            last = Some(sample);
        }
        panic!("no sample that is {what}; the last: {last:?}");
    }

    fn wait_alive(&self, alive: bool) {
        self.wait_for("as alive as expected", |sample| *sample == Sample::Alive { subject: None, alive });
    }

    fn wait_unknown(&self, reason: &str) {
        self.wait_for(reason, |sample| matches!(sample, Sample::Unknown { error } if error.contains(reason)));
    }
}

fn http() -> Ask {
    Ask::Http { process: "api".into(), path: "/api/health".to_owned(), pointer: "/workers/online".to_owned() }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn an_http_probe_follows_the_answer_and_keeps_its_connection() {
    let web = Web::start(200, r#"{"workers": {"online": true}}"#);
    let site = FakeSite::default();
    site.http.lock().unwrap().insert("api".into(), web.address);
    let probing = Probing::start(http(), 10_000, site);
    for _ in 0..10 {
        probing.wait_alive(true);
    }
    web.answer(503, r#"{"workers": {"online": false}}"#);
    probing.wait_alive(false);
    web.answer(500, "oops");
    probing.wait_unknown("without JSON");
    web.answer(200, r#"{"error": "no"}"#);
    probing.wait_unknown("nothing at `/workers/online`");
    assert_eq!(web.seen.lock().unwrap()[0].0, "get /api/health http/1.1");
    // Overlapping asks may need a second one on a slow machine, never one each.
    let (connections, asks) = (*web.connections.lock().unwrap() as usize, web.seen.lock().unwrap().len());
    assert!(connections < asks.max(2), "{connections} connections for {asks} asks");
}

#[test]
fn a_server_that_hangs_or_is_gone_is_unknown() {
    let web = Web::start(200, r#"{"workers": {"online": true}}"#);
    let site = FakeSite::default();
    let probing = Probing::start(http(), 100, site);
    probing.wait_unknown("api has no address");
    probing.site.http.lock().unwrap().insert("api".into(), web.address);
    probing.wait_alive(true);
    web.hang();
    probing.wait_unknown("");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    probing.site.http.lock().unwrap().insert("api".into(), nobody);
    probing.wait_unknown("refused");
}

#[test]
fn more_asks_than_can_be_in_flight_are_reported_unasked() {
    let web = Web::start(200, "{}");
    web.hang();
    let site = FakeSite::default();
    site.http.lock().unwrap().insert("api".into(), web.address);
    let probing = Probing::start(http(), 20_000, site);
    probing.wait_unknown("64 asks are unanswered already");
}

#[test]
fn a_dropped_prober_asks_no_more() {
    let mut probing = Probing::start(http(), 100, FakeSite::default());
    probing.wait_unknown("no address");
    probing.prober = None;
    while probing.events.recv_timeout(PATIENCE).is_ok() {}
    // The sink is gone: nobody is left to report.
    assert!(probing.events.recv().is_err());
}

#[test]
fn a_redis_probe_reads_stalls_and_finds_redis_again() {
    let server = Server::redis();
    let address = server.instance.address;
    let site = FakeSite::default();
    site.stores.lock().unwrap().insert(Store::Redis, server.instance.clone());
    let probing = Probing::start(Ask::RedisStalls { command: words("HGETALL stalls") }, 1_000, site);
    let expect_stalls = |expected: &[(&str, u32)]| {
        let expected: Vec<_> = expected.iter().map(|(job, count)| ((*job).into(), *count)).collect();
        probing.wait_for("as stalled as expected", |sample| *sample == Sample::Stalls(expected.clone()));
    };
    expect_stalls(&[]);
    let set = |line: &str| {
        let mut redis = redis::Client::open(format!("redis://{address}")).unwrap().get_connection().unwrap();
        let mut command = redis::Cmd::new();
        for word in words(line) {
            command.arg(word);
        }
        command.exec(&mut redis).unwrap();
    };
    set("HSET stalls job-2 1 job-1 3");
    expect_stalls(&[("job-1", 3), ("job-2", 1)]);
    drop(server);
    probing.wait_unknown("redis:");
    let _server = Server::redis_at(address.port());
    expect_stalls(&[]);
}

#[test]
fn a_redis_probe_for_life_and_one_that_the_server_refuses() {
    let server = Server::redis();
    let probing_with = |line: &str| {
        let site = FakeSite::default();
        site.stores.lock().unwrap().insert(Store::Redis, server.instance.clone());
        Probing::start(Ask::Redis { command: words(line) }, 1_000, site)
    };
    probing_with("EXISTS beat").wait_alive(false);
    probing_with("PING").wait_alive(true);
    probing_with("NONSENSE").wait_unknown("unknown command");
}

#[test]
fn each_worker_lives_whose_name_is_told() {
    let server = Server::redis();
    let site = FakeSite::default();
    site.stores.lock().unwrap().insert(Store::Redis, server.instance.clone());
    let ask = WorkersAsk::Redis { command: words("SMEMBERS living") };
    let probing = Probing::start(Ask::Workers(ask), 20_000, site);
    let expect = |worker: &str, alive| {
        let subject = Some(worker.into());
        probing
            .wait_for("that worker's", |sample| *sample == Sample::Alive { subject: subject.clone(), alive });
    };
    expect("worker-1", false);
    expect("worker-2", false);
    let client = redis::Client::open(format!("redis://{}", server.instance.address)).unwrap();
    redis::cmd("SADD")
        .arg("living")
        .arg("worker-2")
        .arg("api")
        .exec(&mut client.get_connection().unwrap())
        .unwrap();
    expect("worker-2", true);
    expect("worker-1", false);
}

#[test]
fn a_page_or_a_table_may_tell_who_lives() {
    let web = Web::start(200, r#"{"online": ["worker-1"]}"#);
    let site = FakeSite::default();
    site.http.lock().unwrap().insert("api".into(), web.address);
    let (path, pointer) = ("/health".to_owned(), "/online".to_owned());
    let ask = WorkersAsk::Http { process: "api".into(), path, pointer };
    let probing = Probing::start(Ask::Workers(ask), 20_000, site);
    let lives = Sample::Alive { subject: Some("worker-1".into()), alive: true };
    probing.wait_for("that it lives", |sample| *sample == lives);
    web.answer(200, r#"{"online": 1}"#);
    probing.wait_unknown("no list at `/online`");

    let server = Server::postgres();
    let site = FakeSite::default();
    site.stores.lock().unwrap().insert(Store::Postgres, server.instance.clone());
    let ask = WorkersAsk::Sql { query: "values ('worker-1'), ('worker-3')".to_owned() };
    let probing = Probing::start(Ask::Workers(ask), 20_000, site);
    probing.wait_for("that it lives", |sample| *sample == lives);
}
