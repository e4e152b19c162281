//! The producer that is a program, by what the program says.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, FutureExt as _};
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use syncope::fault::Signal;
use syncope::history::{EnqueueOutcome, Event, What};
use syncope::live::observe::{Links, Producer, Programs};
use syncope::live::provision::{Exit, Input, RunningProcess, Said};
use syncope::live::sink::Sink;
use syncope::names::PRODUCER;
use syncope::protocol::JobSpec;
use syncope::scenario::{Call, Enqueue, ProcessSpec, Program};
use syncope::time::{Instant, Span};
use tokio::io::{AsyncBufReadExt as _, BufReader, DuplexStream, duplex};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::fake::PATIENCE;
use crate::stores::{check_unknown, job};

const LONG: Span = Span::from_secs(20);

/// Runs in the next generation whenever it is asked for after its input ended.
struct Reader {
    running: Mutex<Arc<RunningProcess>>,
    /// By the next call.
    said: Mutex<Option<Said>>,
}

fn running(generation: u32, input: Input) -> Arc<RunningProcess> {
    let pid = getpid();
    Arc::new(RunningProcess {
        name: PRODUCER.into(),
        pid: pid.as_raw_nonzero().get(),
        pidfd: pidfd_open(pid, PidfdFlags::empty()).unwrap(),
        generation,
        exit: watch::channel(None).1,
        stop_signal: Signal::Term,
        input,
    })
}

impl Programs for Reader {
    fn call<'c>(
        &'c self,
        _: &'c Call,
        job: &'c [(String, String)],
        _: Span,
    ) -> BoxFuture<'c, Result<Said, String>> {
        assert_eq!(job[0], ("job".to_owned(), "a".to_owned()));
        let said = self.said.lock().unwrap().take().ok_or_else(|| "it does not start".to_owned());
        async move { said }.boxed()
    }

    fn producer(&self) -> BoxFuture<'_, Result<Arc<RunningProcess>, String>> {
        let running = Arc::clone(&self.running.lock().unwrap());
        async move { Ok(running) }.boxed()
    }
}

struct Lab {
    runtime: Runtime,
    producer: Producer,
    events: Receiver<Event>,
    reader: Arc<Reader>,
    lines: tokio::io::Lines<BufReader<DuplexStream>>,
}

impl Lab {
    /// The program's input holds so many bytes that it has not read.
    fn new(limit: Span, room: usize) -> Self {
        let (writer, read) = duplex(room);
        let reader =
            Arc::new(Reader { running: Mutex::new(running(1, Input::to(writer))), said: Mutex::default() });
        let spec = ProcessSpec::new(
            PRODUCER.into(),
            PRODUCER,
            1,
            Program::External { command: None, image: None, working_directory: None, recipe: None },
        );
        Self::with(Enqueue::Program { process: Box::new(spec) }, limit, reader, read)
    }

    fn with(way: Enqueue, limit: Span, reader: Arc<Reader>, read: DuplexStream) -> Self {
        let runtime = Runtime::new().unwrap();
        let (sender, events) = channel();
        let programs: Arc<dyn Programs> = Arc::<Reader>::clone(&reader);
        let links = Links { programs: Some(programs), ..Links::default() };
        let producer = Producer::new(way, links, limit, Sink::new(sender), runtime.handle().clone());
        Self { runtime, producer, events, reader, lines: BufReader::new(read).lines() }
    }

    fn enqueue(&mut self, id: &str) {
        self.producer.enqueue(job(id));
        let asked = self.events.recv_timeout(PATIENCE).unwrap();
        assert_eq!(asked.ev, What::EnqueueAsked { job: id.into() });
    }

    /// Waits until the program has read the next job, whole.
    fn reads(&mut self, id: &str) {
        let line = self.runtime.block_on(self.lines.next_line()).unwrap().unwrap();
        assert_eq!(serde_json::from_str::<JobSpec>(&line).unwrap(), job(id));
    }

    fn happens(&self, by: &str, ev: What) {
        self.producer.observe(&Event { at: Instant::ZERO, by: by.into(), ev });
    }

    fn says(&self, line: &str) {
        self.happens(PRODUCER, What::Line { text: line.to_owned() });
    }

    fn outcome(&self, id: &str) -> EnqueueOutcome {
        match self.events.recv_timeout(PATIENCE).unwrap().ev {
            What::EnqueueAnswered { job, outcome, .. } if job.as_str() == id => outcome,
            other => panic!("an answer about {id}: {other:?}"),
        }
    }
}

#[test]
fn each_job_s_outcome_is_what_the_program_says_of_it_in_whatever_order() {
    let mut lab = Lab::new(LONG, 64 * 1024);
    for id in ["a", "b", "c", "d"] {
        lab.enqueue(id);
        lab.reads(id);
    }
    lab.happens("worker-1", What::Line { text: "ok a".into() });
    lab.says("connected to redis");
    lab.says("ok d");
    assert_eq!(lab.outcome("d"), EnqueueOutcome::Acknowledged);
    lab.says("fail b it is full");
    assert_eq!(lab.outcome("b"), EnqueueOutcome::Declined("it is full".to_owned()));
    lab.says("info c reset by peer");
    check_unknown(&lab.outcome("c"), "reset by peer");
    lab.says("ok a");
    assert_eq!(lab.outcome("a"), EnqueueOutcome::Acknowledged);
    lab.says("fail a after all");
    assert!(lab.events.try_recv().is_err(), "what has been said stays said");
}

#[test]
fn of_a_silent_program_nothing_is_known() {
    let mut lab = Lab::new(Span::from_millis(50), 64 * 1024);
    lab.enqueue("a");
    check_unknown(&lab.outcome("a"), "no answer within 50ms");
}

#[test]
fn a_program_s_end_leaves_open_what_it_had_not_answered_and_nothing_else() {
    let mut lab = Lab::new(LONG, 64 * 1024);
    lab.enqueue("a");
    lab.reads("a");
    let (writer, read) = duplex(1024);
    *lab.reader.running.lock().unwrap() = running(2, Input::to(writer));
    lab.lines = BufReader::new(read).lines();
    lab.enqueue("b");
    lab.reads("b");
    lab.happens(PRODUCER, What::Exited { generation: 1, code: Some(3), signal: None });
    check_unknown(&lab.outcome("a"), "the producer has ended");
    lab.says("ok b");
    assert_eq!(lab.outcome("b"), EnqueueOutcome::Acknowledged);
}

/// Half a line would be read as the beginning of the next job.
#[test]
fn a_program_that_does_not_read_is_given_nothing_after_half_a_line() {
    let mut lab = Lab::new(Span::from_millis(50), 8);
    lab.enqueue("a");
    check_unknown(&lab.outcome("a"), "no answer within 50ms");
    lab.enqueue("b");
    check_unknown(&lab.outcome("b"), "the producer does not read");
}

#[test]
fn a_program_for_one_job_says_what_became_of_it_by_its_words_or_by_its_end() {
    let ask = |said: Option<(i32, &str)>| {
        let (writer, read) = duplex(8);
        let said = said.map(|(code, output)| Said {
            exit: Exit { code: Some(code), signal: None },
            output: output.into(),
            last_words: "no such host".to_owned(),
        });
        let running = Mutex::new(running(1, Input::to(writer)));
        let reader = Arc::new(Reader { running, said: Mutex::new(said) });
        let call = Call { command: vec!["hand".to_owned()], folder: String::new() };
        let mut lab = Lab::with(Enqueue::Call { call, links: Vec::new() }, LONG, reader, read);
        lab.enqueue("a");
        lab.outcome("a")
    };
    assert_eq!(ask(Some((0, ""))), EnqueueOutcome::Acknowledged);
    assert_eq!(ask(Some((0, "fail b\nfail a full\n"))), EnqueueOutcome::Declined("full".to_owned()));
    assert_eq!(ask(Some((1, "ok a\n"))), EnqueueOutcome::Acknowledged);
    check_unknown(&ask(Some((1, "fail b\n"))), "exit code 1): no such host");
    check_unknown(&ask(Some((0, "info a reset"))), "reset");
    check_unknown(&ask(None), "it does not start");
}
