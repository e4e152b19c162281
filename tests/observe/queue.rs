//! The queue's state as it is sampled, against a real Redis, a real Postgres and a small web server.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use syncope::history::queue::{QueueState, Queued, Standing};
use syncope::history::{Event, FinalState, What};
use syncope::live::observe::effects::States;
use syncope::live::observe::{QueueSampler, Sources, collect};
use syncope::live::sink::Sink;
use syncope::names::Store;
use syncope::scenario::{EffectQuery, Page, QueueAsk, QueueProbe};
use syncope::time::{Instant, Span};
use tokio::runtime::Runtime;

use crate::fake::{FakeSite, PATIENCE, Server};
use crate::web::Web;

struct Sampling {
    _runtime: Runtime,
    _sampler: QueueSampler,
    events: Receiver<Event>,
    last_asked: Instant,
}

impl Sampling {
    fn start(ask: QueueAsk, site: FakeSite) -> Self {
        let runtime = Runtime::new().unwrap();
        let probe = QueueProbe { every: Span::from_millis(10), timeout: Span::from_secs(20), ask };
        let (sender, events) = channel();
        let processes = ["worker-1", "worker-2"].map(Into::into).into();
        let sampler =
            QueueSampler::start(&probe, processes, Arc::new(site), Sink::new(sender), runtime.handle());
        Self { _runtime: runtime, _sampler: sampler, events, last_asked: Instant::ZERO }
    }

    /// The next thing that is told.
    fn next(&mut self) -> Queued {
        let event = self.events.recv_timeout(PATIENCE).unwrap();
        let What::Queue { since, asked, answer } = event.ev else { panic!("the queue: {event:?}") };
        assert!(self.last_asked <= since && since <= asked && asked <= event.at);
        self.last_asked = since;
        answer
    }

    #[track_caller]
    fn expect(&mut self, expected: &[Standing]) {
        assert_eq!(self.next(), Queued::Changed(expected.to_vec()));
    }
}

fn standing(job: &str, state: QueueState, holder: Option<&str>) -> Standing {
    Standing { job: job.into(), state: Some(state), holder: holder.map(Into::into) }
}

fn with_store(server: &Server) -> FakeSite {
    let site = FakeSite::default();
    site.stores.lock().unwrap().insert(server.instance.store, server.instance.clone());
    site
}

#[test]
fn redis_gives_job_state_and_holder_in_turn() {
    const SCRIPT: &str = "local all = {} \
        for _, id in ipairs(redis.call('LRANGE', 'wait', 0, -1)) do for _, it in ipairs({id, 'waiting', ''}) do \
        all[#all + 1] = it end end \
        for _, id in ipairs(redis.call('LRANGE', 'active', 0, -1)) do \
        for _, it in ipairs({id, 'active', redis.call('HGET', 'job:' .. id, 'pb') or ''}) do \
        all[#all + 1] = it end end return all";
    let server = Server::redis();
    let command = ["EVAL", SCRIPT, "0"].map(str::to_owned).to_vec();
    let mut sampling = Sampling::start(QueueAsk::Redis { command }, with_store(&server));
    sampling.expect(&[]);
    let client = redis::Client::open(format!("redis://{}", server.instance.address)).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut run = |line: &str| {
        let mut words = line.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| _ = command.arg(word));
        command.exec(&mut connection).unwrap();
    };
    run("LPUSH wait job-1");
    sampling.expect(&[standing("job-1", QueueState::Waiting, None)]);
    run("HSET job:job-1 pb worker-2");
    run("LMOVE wait active RIGHT LEFT");
    sampling.expect(&[standing("job-1", QueueState::Active, Some("worker-2"))]);
    run("DEL active");
    sampling.expect(&[Standing { job: "job-1".into(), state: None, holder: None }]);
    run("HSET job:job-2 pb somebody");
    run("LPUSH active job-2");
    assert!(matches!(sampling.next(), Queued::Misshapen { error } if error.contains("`somebody`")));
}

#[test]
fn postgres_gives_rows_and_what_has_failed_is_part_of_the_final_state() {
    let server = Server::postgres();
    let table = "create table jobs as select * from (values ('job-1', 'active', 'worker-1'), \
                 ('job-2', 'failed', null)) as it (job, state, holder)";
    let address = server.instance.address;
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let mut config = tokio_postgres::Config::new();
        config.host(address.ip().to_string()).port(address.port());
        config.user(&server.instance.user).dbname(&server.instance.database);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        let driver = tokio::spawn(connection);
        client.batch_execute(table).await.unwrap();
        driver.abort();
    });
    let ask = QueueAsk::Sql { query: "select job, state, holder from jobs".to_owned() };
    let mut sampling = Sampling::start(ask.clone(), with_store(&server));
    sampling.expect(&[
        standing("job-1", QueueState::Active, Some("worker-1")),
        standing("job-2", QueueState::Failed, None),
    ]);

    let said = States::from([("job-1".into(), FinalState { effects: 1, ..FinalState::default() })]);
    let stores = [(Store::Postgres, server.instance.clone())].into();
    let sources = Sources { stores, said: said.clone(), ..Sources::default() };
    let found = runtime.block_on(collect(&EffectQuery::default(), Some(&ask), &sources)).unwrap();
    let mut expected = said;
    expected.insert("job-2".into(), FinalState { failed: true, ..FinalState::default() });
    assert_eq!(found, expected);

    let ask = QueueAsk::Sql { query: "select job, state from jobs".to_owned() };
    assert!(matches!(
        Sampling::start(ask, with_store(&server)).next(),
        Queued::Misshapen { error } if error.contains("no columns job, state, holder")
    ));
    let ask = QueueAsk::Sql { query: "select nonsense".to_owned() };
    assert!(matches!(
        Sampling::start(ask, with_store(&server)).next(),
        Queued::Unknown { error } if error.contains("nonsense")
    ));
}

#[test]
fn a_page_gives_a_list_and_an_error_page_says_nothing() {
    let web = Web::start(200, r#"[{"job": "job-1", "state": "active", "holder": "worker-1"}]"#);
    let site = FakeSite::default();
    site.http.lock().unwrap().insert("api".into(), web.address);
    let page = Page { process: "api".into(), path: "/jobs".to_owned() };
    let mut sampling = Sampling::start(QueueAsk::Http(page), site);
    sampling.expect(&[standing("job-1", QueueState::Active, Some("worker-1"))]);
    web.answer(503, "[]");
    assert!(matches!(sampling.next(), Queued::Unknown { error } if error.contains("503")));
    web.answer(200, r#"[{"job": "job-1", "state": "done"}]"#);
    sampling.expect(&[standing("job-1", QueueState::Done, None)]);
    web.answer(200, r#"{"job-1": "done"}"#);
    assert!(matches!(sampling.next(), Queued::Misshapen { error } if error.contains("no list")));
}
