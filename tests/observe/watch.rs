//! Watches against real stores and a small web server.

use std::sync::Arc;
use std::sync::mpsc::channel;

use syncope::history::{Heard, What};
use syncope::live::observe::Watcher;
use syncope::live::sink::Sink;
use syncope::names::Store;
use syncope::scenario::{Question, Watch};
use syncope::time::Span;
use tokio::runtime::Runtime;

use crate::fake::{FakeSite, PATIENCE, Server};
use crate::web::Web;

/// The first answer to the question.
fn answer(site: FakeSite, ask: Question) -> Heard {
    let runtime = Runtime::new().unwrap();
    let (sender, events) = channel();
    let watch =
        Watch { name: "it".to_owned(), every: Span::from_millis(10), timeout: Span::from_secs(20), ask };
    let _watcher = Watcher::start(&watch, Arc::new(site), None, Sink::new(sender), runtime.handle());
    let event = events.recv_timeout(PATIENCE).unwrap();
    let What::Watched { watch, asked, answer } = event.ev else { panic!("only watches") };
    assert_eq!(watch, "it");
    assert!(asked <= event.at);
    answer
}

fn said(text: &str) -> Heard {
    Heard::Said(text.to_owned())
}

#[test]
fn what_stands_at_the_pointer_is_told_whatever_it_is() {
    let web = Web::start(503, r#"{"healthy": false, "workers": {"n": 3}, "mode": "slow"}"#);
    let ask = |pointer: &str| {
        let site = FakeSite::default();
        site.http.lock().unwrap().insert("pool-1".into(), web.address);
        let question = Question::Http {
            process: "pool-1".into(),
            path: "/health".to_owned(),
            pointer: pointer.to_owned(),
        };
        answer(site, question)
    };
    assert_eq!(ask("/healthy"), said("false"));
    assert_eq!(ask("/workers/n"), said("3"));
    assert_eq!(ask("/mode"), said("slow"));
    assert!(matches!(ask("/nothing"), Heard::Unknown { error } if error.contains("nothing at")));
}

#[test]
fn redis_and_postgres_answer_in_text_and_null_is_nothing() {
    let (redis, postgres) = (Server::redis(), Server::postgres());
    let ask = |question: Question| {
        let site = FakeSite::default();
        site.stores.lock().unwrap().insert(Store::Redis, redis.instance.clone());
        site.stores.lock().unwrap().insert(Store::Postgres, postgres.instance.clone());
        answer(site, question)
    };
    let command = |line: &str| Question::Redis { command: line.split(' ').map(str::to_owned).collect() };
    let query = |text: &str| Question::Sql { query: text.to_owned() };
    assert_eq!(ask(command("GET key")), said("null"));
    assert_eq!(ask(command("INCR key")), said("1"));
    assert_eq!(ask(command("LLEN nothing")), said("0"));
    assert!(matches!(ask(command("NONSENSE")), Heard::Unknown { .. }));
    assert_eq!(ask(query("select count(*) from generate_series(1, 7)")), said("7"));
    assert_eq!(ask(query("select 'a b', 1")), said("a b"));
    assert_eq!(ask(query("select 1 where false")), said("null"));
    assert_eq!(ask(query("select null")), said("null"));
    assert!(matches!(ask(query("nonsense")), Heard::Unknown { .. }));
}
