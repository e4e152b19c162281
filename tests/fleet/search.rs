//! The search api, its belief about the workers, and what its user gets.

use rustix::process::Signal;
use serde_json::{Value, json};
use syncope::protocol::{FleetEvent, FleetSettings};

use crate::fleet::{Process, Stack, heartbeat, job, settings};
use crate::servers::free_port;

#[tokio::test]
async fn a_search_is_answered_with_and_without_workers() {
    let mut stack = Stack::start(FleetSettings { heartbeat: Some(heartbeat()), ..settings() }).await;
    let (mut api, _catalogue, url) = start_api(&stack).await;

    let nobody = search(&url, "a").await;
    assert_eq!(nobody.0, 200);
    assert_eq!(nobody.1["skipReason"], "workers_offline");
    assert_eq!(nobody.1["acknowledged"], false);
    assert_eq!(ids(&nobody.1), ["a#1", "a#2", "a#3"], "the catalogue's");
    assert!(!api.until("searched", searched).await);

    let mut worker = stack.worker("worker-1");
    worker.until("a beat", |ev| matches!(ev, FleetEvent::Beat { .. }).then_some(())).await;
    let online = search(&url, "a").await;
    assert_eq!(online, (200, json!({"acknowledged": true, "skipReason": null, "results": []})));
    assert!(api.until("searched", searched).await);
    worker.completes("a").await;
    assert_eq!(ids(&search(&url, "a").await.1), ["a"], "now known locally");
    assert_eq!(
        health(&url).await,
        json!({
            "status": "ok", "workers": {"online": true, "stale": false}, "redis": true
        })
    );

    stack.postgres.kill();
    let degraded = search(&url, "a").await;
    assert_eq!((degraded.0, &degraded.1["degraded"]), (200, &json!(["local"])));

    stack.redis.kill();
    let degraded = search(&url, "a").await;
    assert_eq!(degraded.0, 200);
    assert_eq!(degraded.1["skipReason"], "workers_offline");
    assert_eq!(ids(&degraded.1), ["a#1", "a#2", "a#3"]);
    assert_eq!(
        health(&url).await,
        json!({
            "status": "degraded", "workers": {"online": false, "stale": false}, "redis": false
        })
    );

    api.signal(Signal::USR1);
    api.until("its clock", |ev| matches!(ev, FleetEvent::Clock { .. }).then_some(())).await;
    api.signal(Signal::TERM);
    assert_eq!(api.ended().await.code(), Some(0));
}

async fn start_api(stack: &Stack) -> (Process, Process, String) {
    let (api_port, catalogue_port) = (free_port(), free_port());
    let with_port = |name: &str, port: u16| {
        let mut environment = stack.environment(name);
        environment.insert("PORT".into(), port.to_string());
        environment.insert("CATALOGUE_URL".into(), format!("http://127.0.0.1:{catalogue_port}"));
        environment
    };
    let mut catalogue = Process::start("catalogue", with_port("catalogue", catalogue_port));
    let mut api = Process::start("api", with_port("api", api_port));
    catalogue.ready().await;
    api.ready().await;
    (api, catalogue, format!("http://127.0.0.1:{api_port}"))
}

async fn search(url: &str, id: &str) -> (u16, Value) {
    let body = json!({"q": id, "job": job(id, &[1])});
    let request = reqwest::Client::new().post(format!("{url}/api/search")).json(&body);
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn health(url: &str) -> Value {
    let answer = reqwest::get(format!("{url}/api/health")).await.expect("an answer");
    answer.json().await.expect("JSON")
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["results"].as_array().into_iter().flatten().filter_map(|found| found["id"].as_str()).collect()
}

fn searched(ev: &FleetEvent) -> Option<bool> {
    match ev {
        FleetEvent::Searched { online, .. } => Some(*online),
        _ => None,
    }
}
