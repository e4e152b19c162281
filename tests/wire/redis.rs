//! Conversations with Redis.

use proptest::prelude::*;

use syncope::fault::wire::{CommandPattern, Side};
use syncope::names::Store;
use syncope::proxy::tap::resp::reply::{Replies, Token};

use crate::listener::{Caught, Heard, Said, client, listen, run, server, wire};

pub fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
    bytes
}

fn ask(words: &[&str]) -> Said {
    client(command(words))
}

fn whole(talk: &[Said]) -> Heard {
    listen(Store::Redis, &CommandPattern::default(), talk, |all| all)
}

fn named(name: &str) -> CommandPattern {
    CommandPattern { name: Some(name.into()), ..CommandPattern::default() }
}

/// What was asked, and what took effect; and the same however the bytes are cut.
#[track_caller]
fn check(talk: &[Said], asked: &[&str], done: &[&str]) {
    let heard = whole(talk);
    assert_eq!(heard.aside, None);
    assert_eq!(heard.commands(Side::Before), asked);
    assert_eq!(heard.commands(Side::After), done);
    let bytewise = listen(Store::Redis, &CommandPattern::default(), talk, |_| 1);
    assert_eq!(bytewise, heard);
}

#[track_caller]
fn check_aside(talk: &[Said], reason: &str) {
    assert_eq!(whole(talk).aside.as_deref(), Some(reason));
    assert_eq!(listen(Store::Redis, &CommandPattern::default(), talk, |_| 1).aside.as_deref(), Some(reason));
}

#[test]
fn a_command_stands_at_the_gate_from_its_first_byte_and_its_reply_likewise() {
    let talk = [ask(&["PING"]), server("+PONG\r\n"), ask(&["GET", "a"]), server("$1\r\nx\r\n")];
    let heard = whole(&talk);
    let caught = |side, at, command: &str| Caught { side, at, command: command.to_owned() };
    assert_eq!(
        heard.caught,
        [
            caught(Side::Before, 0, "PING"),
            caught(Side::After, 0, "PING"),
            caught(Side::Before, 14, "GET a"),
            caught(Side::After, 7, "GET a"),
        ]
    );
}

#[test]
fn what_came_before_it_in_the_same_read_has_passed() {
    let mut both = command(&["SET", "a", "b"]);
    let first = both.len();
    both.extend(command(&["GET", "a"]));
    let replies = "+OK\r\n$1\r\nb\r\n";
    let wires = [Side::Before, Side::After].map(|side| wire(Store::Redis, named("get"), 1, side));
    let heard = run(Store::Redis, &wires, &[client(both), server(replies)], |all| all);
    assert_eq!(heard.places(Side::Before), [first]);
    assert_eq!(heard.places(Side::After), [5]);
}

#[test]
fn replies_of_every_type_belong_to_one_command_each() {
    let replies = [
        "+OK\r\n",
        ":-42\r\n",
        "$0\r\n\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "*0\r\n",
        "*3\r\n:1\r\n*2\r\n+a\r\n$1\r\nb\r\n_\r\n",
        "_\r\n",
        "#t\r\n",
        ",1.5e3\r\n",
        ",inf\r\n",
        "(3492890328409238509324850943850943825024385\r\n",
        "=15\r\ntxt:Some string\r\n",
        "%2\r\n+a\r\n:1\r\n+b\r\n%1\r\n+c\r\n*0\r\n",
        "~2\r\n+a\r\n+b\r\n",
        "|1\r\n+key-popularity\r\n%1\r\n$1\r\na\r\n,0.19\r\n*2\r\n:1\r\n:2\r\n",
        "*2\r\n:1\r\n|1\r\n+ttl\r\n:3600\r\n:2\r\n",
        "$?\r\n;4\r\nHell\r\n;5\r\no wor\r\n;1\r\nd\r\n;0\r\n",
        "*?\r\n:1\r\n:2\r\n*?\r\n.\r\n.\r\n",
        "%?\r\n+a\r\n:1\r\n.\r\n",
    ];
    for reply in replies {
        let talk = [
            ask(&["GET", "a"]),
            ask(&["INCR", "b"]),
            server(">2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n"),
            server(reply),
            server(":7\r\n"),
        ];
        check(&talk, &["GET a", "INCR b"], &["GET a", "INCR b"]);
    }
}

#[test]
fn an_error_took_no_effect() {
    let talk = [
        ask(&["GET", "a"]),
        server("-WRONGTYPE no\r\n"),
        ask(&["GET", "b"]),
        server("!9\r\nERR never\r\n"),
        ask(&["GET", "c"]),
        server("$-1\r\n"),
    ];
    check(&talk, &["GET a", "GET b", "GET c"], &["GET c"]);
}

#[test]
fn commands_of_a_transaction_take_effect_with_exec() {
    let queued = "+OK\r\n+QUEUED\r\n+QUEUED\r\n";
    let asked = [ask(&["MULTI"]), ask(&["SET", "a", "1"]), ask(&["INCR", "a"]), ask(&["EXEC"])];
    let after = |reply: &str| {
        let mut talk = asked.to_vec();
        talk.extend([server(queued), server(reply)]);
        let incr = [wire(Store::Redis, named("INCR"), 1, Side::After)];
        run(Store::Redis, &incr, &talk, |all| all)
    };
    assert_eq!(after("*2\r\n+OK\r\n:2\r\n").places(Side::After), [queued.len()]);
    assert_eq!(after("*2\r\n+OK\r\n:2\r\n").commands(Side::After), ["INCR a"]);
    assert_eq!(after("*-1\r\n").caught, [], "a watched key had changed");
    assert_eq!(after("_\r\n").caught, []);
    assert_eq!(after("-EXECABORT no\r\n").caught, []);
    let discarded = [ask(&["MULTI"]), ask(&["INCR", "a"]), ask(&["DISCARD"]), ask(&["PING"])];
    let mut talk = discarded.to_vec();
    talk.push(server("+OK\r\n+QUEUED\r\n+OK\r\n+PONG\r\n"));
    assert_eq!(whole(&talk).commands(Side::After), ["MULTI", "DISCARD", "PING"]);
}

#[test]
fn messages_to_a_subscriber_are_nobodys_reply() {
    let talk = [
        ask(&["SUBSCRIBE", "a", "b"]),
        server("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"),
        server("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"),
        server("*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"),
        ask(&["PING"]),
        server("*3\r\n$7\r\nmessage\r\n$1\r\nb\r\n$2\r\nhi\r\n"),
        server("*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
        ask(&["UNSUBSCRIBE"]),
        server("*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n"),
        server("*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n"),
        ask(&["GET", "x"]),
        server("$-1\r\n"),
    ];
    check(&talk, &["SUBSCRIBE a b", "PING", "UNSUBSCRIBE", "GET x"], &["GET x"]);
}

#[test]
fn confirmations_that_are_pushed_are_nobodys_reply() {
    let talk = [
        ask(&["HELLO", "3"]),
        server("%1\r\n$5\r\nproto\r\n:3\r\n"),
        ask(&["SUBSCRIBE", "a"]),
        server(">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"),
        ask(&["GET", "x"]),
        server(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"),
        server("_\r\n"),
    ];
    check(&talk, &["HELLO 3", "SUBSCRIBE a", "GET x"], &["HELLO 3", "GET x"]);
}

#[test]
fn what_the_client_silenced_is_not_waited_for() {
    let talk = [
        ask(&["CLIENT", "REPLY", "OFF"]),
        ask(&["SET", "a", "1"]),
        ask(&["CLIENT", "REPLY", "ON"]),
        server("+OK\r\n"),
        ask(&["CLIENT", "REPLY", "SKIP"]),
        ask(&["SET", "b", "1"]),
        ask(&["GET", "c"]),
        server("$1\r\nx\r\n"),
    ];
    let asked = ["CLIENT REPLY OFF", "SET a 1", "CLIENT REPLY ON", "CLIENT REPLY SKIP", "SET b 1", "GET c"];
    check(&talk, &asked, &["CLIENT REPLY ON", "GET c"]);
}

#[test]
fn inline_commands_count() {
    let talk = [client("PING\r\n\r\nset a \"b c\"\nGET a\r\n"), server("+PONG\r\n+OK\r\n$3\r\nb c\r\n")];
    let all = ["PING", "SET a \"b c\"", "GET a"];
    check(&talk, &all, &all);
}

#[test]
fn it_steps_aside_of_what_it_does_not_know() {
    check_aside(&[client(b"\x16\x03\x01\x02\x00")], "the traffic is encrypted");
    check_aside(
        &[client("*1\r\n+PING\r\n")],
        "the traffic is not understood: an argument that is no bulk string",
    );
    check_aside(&[ask(&["MONITOR"])], "the connection now carries a stream (MONITOR)");
    check_aside(&[ask(&["PSYNC", "?", "-1"])], "the connection now carries a stream (replication)");
    check_aside(&[server("+OK\r\n")], "the traffic is not understood: a reply that nobody asked for");
    check_aside(&[ask(&["PING"]), server("HTTP/1.1")], "the traffic is not understood: no Redis reply");
}

#[test]
fn a_client_that_is_turned_away_is_told_why_unasked() {
    check(&[server("-ERR max number of clients reached\r\n")], &[], &[]);
}

#[test]
fn a_script_is_known_by_its_text_once_it_was_sent() {
    let text = "--[[\n  Move job from active to a finished status\n]] return 1";
    let sha = sha1_smol::Sha1::from(text).digest().to_string();
    let completed = ["bull:q:wait", "bull:q:active", "job-1", "completed"];
    let words = |name: &'static str, script: &str, keys: &[&str]| {
        let mut words = vec![name, script, "2"];
        words.extend(keys);
        ask(&words)
    };
    let talk = [
        words("EVALSHA", &sha, &completed),
        server("-NOSCRIPT No matching script.\r\n"),
        words("EVAL", text, &completed),
        server(":0\r\n"),
        words("EVALSHA", "0000000000000000000000000000000000000000", &completed),
        server(":0\r\n"),
        words("EVALSHA", &sha, &["bull:q:wait", "bull:q:active", "job-2", "failed"]),
        server(":0\r\n"),
        words("EVALSHA", &sha, &completed),
        server(":0\r\n"),
    ];
    let script = CommandPattern { script: Some("active to a finished".into()), ..CommandPattern::default() };
    let heard = |pattern: &CommandPattern, nth, cut: fn(usize) -> usize| {
        let wires = [Side::Before, Side::After].map(|side| wire(Store::Redis, pattern.clone(), nth, side));
        let heard = run(Store::Redis, &wires, &talk, cut);
        (heard.places(Side::Before), heard.places(Side::After))
    };
    let begins = |number: usize| -> usize {
        talk.iter()
            .filter(|said| said.direction == talk[number].direction)
            .map(|said| said.bytes.len())
            .take(number / 2)
            .sum()
    };
    for cut in [|all| all, |_| 1, |all: usize| all.min(7)] {
        assert_eq!(heard(&script, 1, cut).0, [2, 6, 8].map(begins));
        assert_eq!(heard(&script, 1, cut).1, [3, 7, 9].map(begins));
        assert_eq!(heard(&script, 3, cut).0, [begins(8)]);
        let pattern = CommandPattern { argument: Some("completed".into()), ..script.clone() };
        assert_eq!(heard(&pattern, 2, cut).1, [begins(9)]);
        let by_sha = CommandPattern { script: Some(sha.to_uppercase()), ..CommandPattern::default() };
        assert_eq!(heard(&by_sha, 3, cut).0, [begins(8)], "an answer of NOSCRIPT does not count");
        let by_key = CommandPattern { key: Some(":wait".into()), ..named("evalsha") };
        assert!(heard(&by_key, 4, cut).1.is_empty(), "three EVALSHAs took effect");
        assert_eq!(heard(&by_key, 3, cut).1, [begins(9)]);
    }
}

#[test]
fn a_subcommand_can_be_asked_for() {
    let talk = [ask(&["SCRIPT", "EXISTS", "a"]), ask(&["script", "load", "return 1"])];
    let heard = listen(Store::Redis, &named("SCRIPT LOAD"), &talk, |all| all);
    assert_eq!(heard.places(Side::Before), [talk[0].bytes.len()]);
}

#[test]
fn a_large_argument_is_kept_only_while_it_matters() {
    let value = "x".repeat(6 << 20);
    let talk = [ask(&["SET", "a", &value]), server("+OK\r\n"), ask(&["PING"])];
    let other = CommandPattern { argument: Some("y".into()), ..CommandPattern::default() };
    for pattern in [named("PING"), other] {
        let heard = listen(Store::Redis, &pattern, &talk, |all| all.min(65_536));
        assert_eq!(heard.aside, None);
        assert_eq!(heard.caught.len(), usize::from(pattern.name.is_some()));
    }
}

/// A reply of any shape, none of them an error; also such as come in parts of unknown number, if `streamed`.
fn reply(depth: u32, streamed: bool) -> BoxedStrategy<Vec<u8>> {
    let leaf = prop_oneof![
        "[a-zA-Z ]{0,12}".prop_map(|text| format!("+{text}\r\n").into_bytes()),
        any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| {
            let mut reply = format!("${}\r\n", bytes.len()).into_bytes();
            reply.extend(bytes);
            reply.extend(b"\r\n");
            reply
        }),
        Just(b"$-1\r\n".to_vec()),
        Just(b"_\r\n".to_vec()),
        Just(b"#f\r\n".to_vec()),
        Just(b",-inf\r\n".to_vec()),
        "[a-z]{0,9}".prop_map(|text| format!("={}\r\ntxt:{text}\r\n", text.len() + 4).into_bytes()),
        prop::collection::vec("[a-z]{1,5}", 0..4).prop_map(move |parts| {
            let parts: String = parts.iter().map(|part| format!(";{}\r\n{part}\r\n", part.len())).collect();
            if streamed { format!("$?\r\n{parts};0\r\n").into_bytes() } else { b"#t\r\n".to_vec() }
        }),
    ];
    leaf.prop_recursive(depth, 24, 5, move |inner| {
        let elements = prop::collection::vec(inner, 0..5);
        let kinds = if streamed { vec!['*', '~', '%', '|', '?'] } else { vec!['*', '~', '%', '|'] };
        (prop::sample::select(kinds), elements).prop_map(|(kind, elements)| {
            let bytes: Vec<u8> = elements.concat();
            let (head, tail) = match kind {
                '%' | '|' if elements.len() % 2 == 1 => (format!("*{}\r\n", elements.len()), ""),
                '%' => (format!("%{}\r\n", elements.len() / 2), ""),
                // Attributes, and the value that they are of.
                '|' => (format!("|{}\r\n", elements.len() / 2), ":1\r\n"),
                '?' => ("*?\r\n".to_owned(), ".\r\n"),
                kind => (format!("{kind}{}\r\n", elements.len()), ""),
            };
            [head.as_bytes(), &bytes, tail.as_bytes()].concat()
        })
    })
    .boxed()
}

proptest! {
    #[test]
    fn in_any_conversation_cut_in_any_way_each_reply_is_its_commands(
        exchanges in prop::collection::vec(
            (prop::collection::vec("[a-zA-Z0-9]{1,20}", 1..6), reply(3, true), any::<bool>(), 0u8..4),
            1..12,
        ),
        cuts in prop::collection::vec(1usize..40, 1..20),
        pipelined in any::<bool>(),
    ) {
        let (mut up, mut down, mut asked, mut done) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (words, reply, fails, push) in &exchanges {
            let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
            words[0] = "XNAME";
            asked.push(up.iter().map(|said: &Said| said.bytes.len()).sum::<usize>());
            up.push(ask(&words));
            let mut bytes = Vec::new();
            if *push == 0 {
                bytes.extend(b">2\r\n+invalidate\r\n_\r\n");
            }
            // Attributes precede the reply, which is what is held.
            let attributes = if reply[0] == b'|' { reply.len() - 4 } else { 0 };
            let before = down.iter().map(|said: &Said| said.bytes.len()).sum::<usize>() + bytes.len() + attributes;
            if *fails {
                bytes.extend(b"-ERR no\r\n");
            } else {
                done.push(before);
                bytes.extend(reply);
            }
            down.push(server(bytes));
        }
        let talk: Vec<Said> = if pipelined {
            up.into_iter().chain(down).collect()
        } else {
            up.into_iter().zip(down).flat_map(|(up, down)| [up, down]).collect()
        };
        let mut cuts = cuts.into_iter().cycle();
        let heard = listen(Store::Redis, &named("XNAME"), &talk, |_| cuts.next().unwrap());
        prop_assert_eq!(&heard.aside, &None);
        prop_assert_eq!(heard.places(Side::Before), asked);
        prop_assert_eq!(heard.places(Side::After), done);
    }

    #[test]
    fn the_redis_crate_finds_as_many_replies(replies in prop::collection::vec(reply(3, false), 1..8)) {
        let all = replies.concat();
        let (mut reader, mut parser, mut values) = (&all[..], redis::Parser::new(), 0);
        // At the end there is none, which is an error.
        while parser.parse_value(&mut reader).is_ok() {
            values += 1;
        }
        let (mut ours, mut at, mut found, mut attributes) = (Replies::default(), 0, 0, false);
        while let Some(token) = ours.next(&all, &mut at).unwrap() {
            match token {
                // The crate takes them for a part of the value that they are of.
                Token::Begin(kind) => attributes = kind == b'|',
                Token::End { .. } if !attributes => found += 1,
                _ => {}
            }
        }
        prop_assert_eq!((found, at), (values, all.len()));
    }

    #[test]
    fn what_the_redis_crate_sends_is_understood(words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 1..8)) {
        let mut packed = redis::cmd("XNAME");
        packed.arg(&words);
        let talk = [client(packed.get_packed_command()), server("+OK\r\n")];
        let heard = listen(Store::Redis, &named("xname"), &talk, |all| all.min(5));
        prop_assert_eq!((heard.caught.len(), heard.aside), (2, None));
    }
}
