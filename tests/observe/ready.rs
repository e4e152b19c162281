//! Whether a foreign process is ready: it is told once, as soon as the answer is yes, and not before.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use syncope::history::What;
use syncope::live::observe::until_ready;
use syncope::live::provision::Site;
use syncope::live::sink::Sink;
use syncope::names::Store;
use syncope::protocol::FleetEvent;
use syncope::scenario::ReadyAsk;
use tokio::runtime::Runtime;

use crate::fake::{FakeSite, PATIENCE, Server};
use crate::web::Web;

/// Far more than one ask takes.
const NOT_YET: Duration = Duration::from_millis(300);

fn check(site: FakeSite, ask: ReadyAsk, become_ready: impl FnOnce()) {
    let process = site.shell("worker", "echo ready; exec sleep 1000");
    let runtime = Runtime::new().unwrap();
    let (sender, events) = channel();
    let site: Arc<dyn Site> = Arc::new(site);
    let asking = runtime.spawn(until_ready(ask.clone(), site, process, Sink::new(sender)));
    assert!(events.recv_timeout(NOT_YET).is_err(), "not yet: {ask:?}");
    become_ready();
    let event = events.recv_timeout(PATIENCE).expect("it is ready");
    assert_eq!((event.by.as_str(), event.ev), ("worker", What::Fleet(FleetEvent::Ready { pid: 0 })));
    runtime.block_on(asking).unwrap();
    assert!(events.try_recv().is_err(), "once");
}

#[test]
fn a_process_is_ready_when_the_answer_is_something() {
    let server = Server::redis();
    let site = FakeSite::default();
    site.stores.lock().unwrap().insert(Store::Redis, server.instance.clone());
    let mut client = redis::Client::open(format!("redis://{}", server.instance.address)).unwrap();
    let command = ["EXISTS", "alive"].map(str::to_owned).to_vec();
    check(site, ReadyAsk::Redis { command }, || {
        redis::cmd("SET").arg("alive").arg(1).exec(&mut client).unwrap();
    });
}

#[test]
fn a_process_is_ready_when_its_page_says_2xx() {
    let web = Web::start(503, "starting");
    let site = FakeSite::default();
    site.http.lock().unwrap().insert("worker".into(), web.address);
    check(site, ReadyAsk::Http { path: "/ready".to_owned() }, || web.answer(204, ""));
}

#[test]
fn a_process_is_ready_when_its_port_takes_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let site = FakeSite::default();
    site.http.lock().unwrap().insert("worker".into(), address);
    let mut again = None;
    check(site, ReadyAsk::Tcp, || again = Some(TcpListener::bind(address).unwrap()));
}

#[test]
fn nobody_asks_on_after_the_end_of_the_process() {
    let site = FakeSite::default();
    let process = site.shell("worker", "echo ready");
    let (sender, events) = channel();
    let site: Arc<dyn Site> = Arc::new(site);
    Runtime::new().unwrap().block_on(until_ready(ReadyAsk::Tcp, site, process, Sink::new(sender)));
    assert!(events.try_recv().is_err());
}
