//! Conversations with Postgres.

use proptest::prelude::*;

use syncope::fault::wire::{CommandPattern, Side};
use syncope::names::Store;

use crate::listener::{Heard, Said, client, listen, run, server, wire};

const READY: &[u8] = b"Z\0\0\0\x05I";
const SYNC: &[u8] = b"S\0\0\0\x04";
const PARSED: &[u8] = b"1\0\0\0\x04";
const BOUND: &[u8] = b"2\0\0\0\x04";

fn message(kind: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = vec![kind];
    bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0syncope\0\0";
    [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], body].concat()
}

fn request(code: u32) -> Vec<u8> {
    [8u32.to_be_bytes(), code.to_be_bytes()].concat()
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0"))
}

fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{sql}\0\0\0"))
}

fn bind(portal: &str, statement: &str) -> Vec<u8> {
    message(b'B', format!("{portal}\0{statement}\0\0\0\0\0\0\0"))
}

fn execute(portal: &str) -> Vec<u8> {
    message(b'E', format!("{portal}\0\0\0\0\0"))
}

fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0"))
}

fn error() -> Vec<u8> {
    message(b'E', "SERROR\0C42601\0Mno\0\0")
}

/// Logged in, with all that a server says then.
fn logged_in() -> Vec<Said> {
    let greeting = [
        message(b'R', [0, 0, 0, 0]),
        message(b'S', "server_version\x0017\0"),
        message(b'K', [0; 8]),
        READY.to_vec(),
    ];
    vec![client(startup()), server(greeting.concat())]
}

fn talk(rest: &[Said]) -> Vec<Said> {
    let mut talk = logged_in();
    talk.extend_from_slice(rest);
    talk
}

/// For the fuzzer.
pub fn corpus() -> Vec<Vec<Said>> {
    let extended =
        [parse("s", "UPDATE jobs SET done = $1"), bind("", "s"), execute(""), SYNC.to_vec()].concat();
    let answer =
        [PARSED.to_vec(), BOUND.to_vec(), message(b'D', [0, 0]), complete("UPDATE 1"), READY.to_vec()]
            .concat();
    vec![
        talk(&[client(query("BEGIN")), server([complete("BEGIN"), b"Z\0\0\0\x05T".to_vec()].concat())]),
        talk(&[
            client(&extended),
            server(&answer),
            client(query("commit")),
            server([complete("COMMIT"), READY.to_vec()].concat()),
        ]),
        talk(&[
            client(&extended),
            client(&extended),
            server([error(), READY.to_vec(), answer.clone()].concat()),
        ]),
        vec![client(request(80_877_103)), server("N"), client(startup()), server(READY)],
        talk(&[
            client([parse("", "COPY t FROM STDIN"), bind("", ""), execute(""), SYNC.to_vec()].concat()),
            server([PARSED, BOUND, &message(b'G', [0, 0, 0])].concat()),
            client([message(b'd', "1\n"), message(b'c', ""), SYNC.to_vec()].concat()),
            server([complete("COPY 1"), READY.to_vec()].concat()),
        ]),
    ]
}

fn pattern(name: Option<&str>, sql: Option<&str>) -> CommandPattern {
    CommandPattern { name: name.map(Into::into), sql: sql.map(Into::into), ..CommandPattern::default() }
}

/// What was asked and what took effect, by the statements' text; and in the same places however cut.
#[track_caller]
fn check(talk: &[Said], asked: &[&str], done: &[&str]) -> Heard {
    let heard = listen(Store::Postgres, &CommandPattern::default(), talk, |all| all);
    assert_eq!(heard.aside, None);
    assert_eq!(heard.commands(Side::Before), asked);
    assert_eq!(heard.commands(Side::After), done);
    let bytewise = listen(Store::Postgres, &CommandPattern::default(), talk, |_| 1);
    assert_eq!(bytewise.places(Side::Before), heard.places(Side::Before));
    assert_eq!(bytewise.places(Side::After), heard.places(Side::After));
    assert_eq!(bytewise.aside, None);
    heard
}

#[track_caller]
fn check_aside(talk: &[Said], reason: &str) {
    for cut in [|all| all, |_| 1] {
        let heard = listen(Store::Postgres, &CommandPattern::default(), talk, cut);
        assert_eq!(heard.aside.as_deref(), Some(reason));
    }
}

#[test]
fn a_query_takes_effect_with_the_end_of_its_round_and_its_answer_stands_from_its_completion_on() {
    let rows = [message(b'T', [0, 0]), message(b'D', [0, 0])].concat();
    let answer = [rows.clone(), complete("SELECT 1"), READY.to_vec()].concat();
    let talk = talk(&[client(query("select 1")), server(answer)]);
    let heard = check(&talk, &["select 1"], &["select 1"]);
    assert_eq!(heard.places(Side::Before), [talk[0].bytes.len()]);
    assert_eq!(heard.places(Side::After), [talk[1].bytes.len() + rows.len()]);
}

#[test]
fn an_execute_is_known_by_the_text_of_its_statement() {
    let answer = [PARSED.to_vec(), BOUND.to_vec(), complete("UPDATE 1"), READY.to_vec()].concat();
    let again = [BOUND.to_vec(), complete("UPDATE 1"), READY.to_vec()].concat();
    let (prepared, unnamed) = (parse("s1", "UPDATE jobs SET done = $1"), parse("", "SELECT 1"));
    let talk = talk(&[
        client([prepared, bind("", "s1"), execute(""), SYNC.to_vec()].concat()),
        server(&answer),
        client([unnamed, bind("", ""), execute(""), SYNC.to_vec()].concat()),
        server(&answer),
        client([bind("portal", "s1"), execute("portal"), SYNC.to_vec()].concat()),
        server(&again),
    ]);
    let update = "UPDATE jobs SET done = $1";
    check(&talk, &[update, "SELECT 1", update], &[update, "SELECT 1", update]);
    for wanted in [
        pattern(Some("update"), None),
        pattern(None, Some("SET done")),
        pattern(Some("UPDATE"), Some("jobs")),
    ] {
        let heard = listen(Store::Postgres, &wanted, &talk, |all| all.min(3));
        assert_eq!(heard.commands(Side::Before), [update, update]);
        let second = [wire(Store::Postgres, wanted, 2, Side::After)];
        assert_eq!(run(Store::Postgres, &second, &talk, |all| all).commands(Side::After), [update]);
    }
}

#[test]
fn rounds_may_be_pipelined() {
    let round = |sql: &str| [parse("", sql), bind("", ""), execute(""), SYNC.to_vec()].concat();
    let answer = [PARSED.to_vec(), BOUND.to_vec(), complete("INSERT 0 1"), READY.to_vec()].concat();
    let asked: Vec<u8> = ["INSERT a", "INSERT b", "INSERT c"].map(round).concat();
    let talk = talk(&[client(asked), server([&answer[..], &answer, &answer].concat())]);
    check(&talk, &["INSERT a", "INSERT b", "INSERT c"], &["INSERT a", "INSERT b", "INSERT c"]);
}

#[test]
fn after_an_error_the_rest_of_the_round_is_skipped() {
    let asked = [parse("", "bad"), bind("", ""), execute(""), SYNC.to_vec(), query("SELECT 2")].concat();
    let answers = [error(), READY.to_vec(), complete("SELECT 1"), READY.to_vec()].concat();
    check(&talk(&[client(asked), server(answers)]), &["bad", "SELECT 2"], &["SELECT 2"]);
    // The Sync may come later than the error, and be sent after more that is skipped.
    let late = talk(&[
        client([parse("", "bad"), message(b'H', "")].concat()),
        server(error()),
        client([bind("", ""), execute(""), SYNC.to_vec()].concat()),
        server(READY),
        client(query("SELECT 2")),
        server([complete("SELECT 1"), READY.to_vec()].concat()),
    ]);
    check(&late, &["bad", "SELECT 2"], &["SELECT 2"]);
}

#[test]
fn what_was_rolled_back_with_its_round_took_no_effect() {
    let asked = [parse("", "UPDATE a"), bind("", ""), execute(""), execute(""), SYNC.to_vec()].concat();
    let answers = [PARSED.to_vec(), BOUND.to_vec(), complete("UPDATE 1"), error(), READY.to_vec()].concat();
    check(&talk(&[client(asked), server(answers)]), &["UPDATE a", "UPDATE a"], &[]);
}

#[test]
fn without_a_sync_the_completion_is_all_that_is_waited_for() {
    let asked = [parse("", "UPDATE a"), bind("", ""), execute(""), message(b'H', "")].concat();
    let answers = [PARSED.to_vec(), BOUND.to_vec(), complete("UPDATE 1")].concat();
    let talk = talk(&[client(asked), server(answers), client(SYNC), server(READY)]);
    let heard = check(&talk, &["UPDATE a"], &["UPDATE a"]);
    assert_eq!(heard.places(Side::After), [talk[1].bytes.len() + PARSED.len() + BOUND.len()]);
}

#[test]
fn a_copy_is_one_command_and_its_sync_is_not_answered() {
    let copy = |early: bool| {
        let mut asked = [parse("", "COPY t FROM STDIN"), bind("", ""), execute("")].concat();
        if early {
            asked.extend(SYNC);
        }
        talk(&[
            client(asked),
            server([PARSED, BOUND, &message(b'G', [0, 0, 0])].concat()),
            client([message(b'd', "1\n"), message(b'd', "2\n"), message(b'c', ""), SYNC.to_vec()].concat()),
            server([complete("COPY 2"), READY.to_vec()].concat()),
            client(query("COPY t TO STDOUT")),
            server(
                [
                    message(b'H', [0, 0, 0]),
                    message(b'd', "1\n"),
                    message(b'c', ""),
                    complete("COPY 1"),
                    READY.to_vec(),
                ]
                .concat(),
            ),
            client(query("SELECT 1")),
            server([complete("SELECT 1"), READY.to_vec()].concat()),
        ])
    };
    let all = ["COPY t FROM STDIN", "COPY t TO STDOUT", "SELECT 1"];
    check(&copy(true), &all, &all);
    check(&copy(false), &all, &all);
}

#[test]
fn what_comes_unasked_is_no_answer() {
    let unasked =
        [message(b'N', "SNOTICE\0\0"), message(b'A', "\0\0\0\x01channel\0\0"), message(b'S', "a\0b\0")]
            .concat();
    let answer = [unasked.clone(), complete("SELECT 1"), unasked.clone(), READY.to_vec(), unasked].concat();
    check(&talk(&[client(query("SELECT 1")), server(answer)]), &["SELECT 1"], &["SELECT 1"]);
}

#[test]
fn a_server_that_does_not_encrypt_is_listened_to() {
    let mut refused =
        vec![client(request(80_877_104)), server("N"), client(request(80_877_103)), server("N")];
    refused
        .extend(talk(&[client(query("SELECT 1")), server([complete("SELECT 1"), READY.to_vec()].concat())]));
    check(&refused, &["SELECT 1"], &["SELECT 1"]);
}

#[test]
fn it_steps_aside_of_what_is_encrypted_or_unknown() {
    let asked = |code, answer: &str| [client(request(code)), server(answer), client("\x16\x03\x01")];
    check_aside(&asked(80_877_103, "S"), "the traffic is encrypted");
    check_aside(&asked(80_877_104, "G"), "the traffic is encrypted");
    check_aside(&[client("\x16\x03\x01\x02")], "the traffic is encrypted");
    let unknown = |what: &str| format!("the traffic is not understood: {what}");
    let old = [&8u32.to_be_bytes()[..], &0x0002_0000u32.to_be_bytes()].concat();
    check_aside(&[client(old)], &unknown("another version of PostgreSQL's protocol"));
    check_aside(&[client("GET / HTTP/1.1")], &unknown("a message of an impossible length"));
    check_aside(&talk(&[server(PARSED)]), &unknown("an answer that nobody asked for"));
    check_aside(&talk(&[server(READY)]), &unknown("an end of a round that nobody began"));
}

proptest! {
    #[test]
    fn in_any_conversation_cut_in_any_way_each_answer_is_its_commands(
        rounds in prop::collection::vec((any::<bool>(), 0u8..4, 0usize..4, "[a-z ]{0,40}"), 1..12),
        cuts in prop::collection::vec(1usize..30, 1..20),
        pipelined in any::<bool>(),
    ) {
        let (mut up, mut down, mut asked, mut done) = (logged_in(), Vec::new(), Vec::new(), Vec::new());
        down.push(up.pop().unwrap());
        let length = |all: &[Said]| all.iter().map(|said| said.bytes.len()).sum::<usize>();
        for (simple, outcome, rows, text) in &rounds {
            let sql = format!("UPDATE {text}");
            let rows: Vec<u8> = (0..*rows).flat_map(|row| message(b'D', vec![b'Z'; row * 7])).collect();
            let fails = *outcome == 0;
            let (before, head) = if *simple {
                (0, Vec::new())
            } else {
                (parse("", &sql).len() + bind("", "").len(), [PARSED, BOUND].concat())
            };
            asked.push(length(&up) + before);
            up.push(client(if *simple {
                query(&sql)
            } else {
                [parse("", &sql), bind("", ""), execute(""), SYNC.to_vec()].concat()
            }));
            let end = if fails { error() } else { complete("UPDATE 1") };
            if !fails {
                done.push(length(&down) + head.len() + rows.len());
            }
            down.push(server([head, rows, end, READY.to_vec()].concat()));
        }
        let talk: Vec<Said> = if pipelined {
            up.into_iter().chain(down).collect()
        } else {
            up.into_iter().zip(down).flat_map(|(up, down)| [up, down]).collect()
        };
        let mut cuts = cuts.into_iter().cycle();
        let heard = listen(Store::Postgres, &pattern(Some("UPDATE"), None), &talk, |_| cuts.next().unwrap());
        prop_assert_eq!(&heard.aside, &None);
        prop_assert_eq!(heard.places(Side::Before), asked);
        prop_assert_eq!(heard.places(Side::After), done);
    }
}
