//! Broken conversations: neither parser may panic, lose, add or reorder a byte, whatever comes.
//!
//! Runs a few thousand conversations of each protocol; for as many seconds as `SYNCOPE_FUZZ_SECONDS` says, if
//! that is set. `SYNCOPE_FUZZ_SEED` begins elsewhere.

use std::time::{Duration, Instant};

use rand_core::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use syncope::fault::wire::{CommandPattern, Side, Wire};
use syncope::names::Store;

use crate::listener::{Said, run, wire};
use crate::{postgres, redis};

const CONVERSATIONS: u64 = 4_000;
/// How long a conversation may become, so that one does not eat up the time of many.
const BYTES_MAX: usize = 1 << 14;

#[test]
fn redis_conversations_that_are_broken_in_any_way_pass_as_they_are() {
    let pieces: &[&[u8]] = &[
        b"*",
        b"$",
        b"\r\n",
        b"-1\r\n",
        b"*3\r\n",
        b"$5\r\n",
        b"*-1\r\n",
        b"$-1\r\n",
        b"?\r\n",
        b";0\r\n",
        b".\r\n",
        b"|1\r\n",
        b">3\r\n",
        b"%2\r\n",
        b"_\r\n",
        b"-NOSCRIPT \r\n",
        b"+QUEUED\r\n",
        b"99999999999999999999\r\n",
        b"*2147483647\r\n",
        b"*1000000\r\n",
        b"$536870912\r\n",
        b"$1099511627776\r\n",
        b"MULTI\r\n",
        b"EXEC\r\n",
        b"SUBSCRIBE a b\r\n",
        b"UNSUBSCRIBE\r\n",
        b"CLIENT REPLY SKIP\r\n",
        b"RESET\r\n",
        b"\x16\x03\x01",
        b"\"",
        b"\\",
        b"*1\r\n*1\r\n*1\r\n*1\r\n",
    ];
    let corpus = [
        vec![
            Said { direction: 0, bytes: redis::command(&["MULTI"]) },
            Said { direction: 0, bytes: redis::command(&["SET", "key", "value"]) },
            Said { direction: 0, bytes: redis::command(&["EXEC"]) },
            Said { direction: 1, bytes: b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n".to_vec() },
        ],
        vec![
            Said { direction: 0, bytes: redis::command(&["EVALSHA", &"a".repeat(40), "1", "key", "done"]) },
            Said { direction: 1, bytes: b"-NOSCRIPT no\r\n".to_vec() },
            Said {
                direction: 0,
                bytes: redis::command(&["EVAL", "return 1 -- finished", "1", "key", "done"]),
            },
            Said { direction: 1, bytes: b"*3\r\n:1\r\n*2\r\n+a\r\n$1\r\nb\r\n_\r\n".to_vec() },
        ],
        vec![
            Said { direction: 0, bytes: redis::command(&["SUBSCRIBE", "a", "b"]) },
            Said { direction: 1, bytes: b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n".to_vec() },
            Said { direction: 1, bytes: b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n".to_vec() },
            Said { direction: 0, bytes: b"PING \"a b\"\r\nGET x\r\n".to_vec() },
            Said {
                direction: 1,
                bytes: b"|1\r\n+a\r\n:1\r\n%1\r\n+a\r\n~1\r\n+b\r\n$?\r\n;1\r\na\r\n;0\r\n*?\r\n.\r\n"
                    .to_vec(),
            },
        ],
    ];
    let words = |script: Option<&str>, name: Option<&str>, argument: Option<&str>| CommandPattern {
        name: name.map(Into::into),
        script: script.map(Into::into),
        argument: argument.map(Into::into),
        ..CommandPattern::default()
    };
    let patterns = [
        words(None, None, None),
        words(Some("finished"), None, None),
        words(None, Some("SET"), Some("value")),
        words(None, Some("EXEC"), None),
    ];
    fuzz("redis", Store::Redis, &corpus, pieces, &patterns);
}

#[test]
fn postgres_conversations_that_are_broken_in_any_way_pass_as_they_are() {
    let pieces: &[&[u8]] = &[
        b"\0\0\0\x04",
        b"\0\0\0\x05",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"S\0\0\0\x04",
        b"Z\0\0\0\x05I",
        b"C\0\0\0\x04",
        b"1\0\0\0\x04",
        b"2\0\0\0\x04",
        b"3\0\0\0\x04",
        b"E\0\0\0\x05\0",
        b"G\0\0\0\x04",
        b"W\0\0\0\x04",
        b"s\0\0\0\x04",
        b"n\0\0\0\x04",
        b"c\0\0\0\x04",
        b"f\0\0\0\x05\0",
        b"d\0\0\0\x05x",
        b"H\0\0\0\x04",
        b"X\0\0\0\x04",
        b"Q\0\0\0\x0bcommit\0",
        b"\x40\0\0\0",
        b"\xff\xff\xff\xff",
        b"N",
        b"\x16",
    ];
    let corpus = postgres::corpus();
    let words = |name: Option<&str>, sql: Option<&str>| CommandPattern {
        name: name.map(Into::into),
        sql: sql.map(Into::into),
        ..CommandPattern::default()
    };
    let patterns = [
        words(None, None),
        words(Some("UPDATE"), None),
        words(None, Some("done")),
        words(Some("COMMIT"), None),
    ];
    fuzz("postgres", Store::Postgres, &corpus, pieces, &patterns);
}

fn fuzz(name: &str, store: Store, corpus: &[Vec<Said>], pieces: &[&[u8]], patterns: &[CommandPattern]) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let lasting = number("SYNCOPE_FUZZ_SECONDS").map(Duration::from_secs);
    let first = number("SYNCOPE_FUZZ_SEED").unwrap_or(0);
    let begun = Instant::now();
    let (mut conversations, mut bytes, mut understood) = (0u64, 0u64, 0u64);
    while lasting.map_or(conversations < CONVERSATIONS, |lasting| begun.elapsed() < lasting) {
        let seed = first + conversations;
        let talk = broken(seed, corpus, pieces);
        bytes += talk.iter().map(|said| said.bytes.len() as u64).sum::<u64>();
        let mut random = Pcg64Mcg::seed_from_u64(!seed);
        let wires = gates(&mut random, store, patterns);
        let mut cut = |all: usize| match random.next_u32() % 4 {
            0 => all,
            1 => 1,
            _ => 1 + random.next_u32() as usize % all.min(64),
        };
        // The seed is said if it panics: `SYNCOPE_FUZZ_SEED` repeats it.
        let said = Say(seed);
        let heard = run(store, &wires, &talk, &mut cut);
        std::mem::forget(said);
        understood += u64::from(heard.aside.is_none());
        conversations += 1;
    }
    println!(
        "{name}: {conversations} conversations, {bytes} bytes, {understood} understood to the end, in {:?}",
        begun.elapsed()
    );
}

struct Say(u64);

impl Drop for Say {
    fn drop(&mut self) {
        eprintln!("SYNCOPE_FUZZ_SEED={}", self.0);
    }
}

fn gates(random: &mut Pcg64Mcg, store: Store, patterns: &[CommandPattern]) -> Vec<Wire> {
    (0..random.next_u32() % 4)
        .map(|_| {
            let pattern = patterns[random.next_u32() as usize % patterns.len()].clone();
            let side = if random.next_u32().is_multiple_of(2) { Side::Before } else { Side::After };
            wire(store, pattern, 1 + random.next_u32() % 2, side)
        })
        .collect()
}

/// One of the corpus, or several, with some things changed.
fn broken(seed: u64, corpus: &[Vec<Said>], pieces: &[&[u8]]) -> Vec<Said> {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut below = |most: usize| random.next_u64() as usize % most.max(1);
    let mut talk = corpus[below(corpus.len())].clone();
    for _ in 0..below(3) {
        talk.extend(corpus[below(corpus.len())].clone());
    }
    for _ in 0..below(8) {
        let at = below(talk.len());
        let other = talk[below(talk.len())].bytes.clone();
        let bytes = &mut talk[at].bytes;
        let place = below(bytes.len() + 1);
        match below(9) {
            0 if place < bytes.len() => bytes[place] ^= 1 << below(8),
            1 if place < bytes.len() => bytes[place] = below(256) as u8,
            2 => drop(bytes.drain(place..(place + below(8)).min(bytes.len()))),
            3 => bytes.truncate(place),
            4 => {
                let piece = pieces[below(pieces.len())];
                bytes.splice(place..place, piece.iter().copied());
            }
            5 => {
                let from = below(other.len() + 1);
                bytes.splice(place..place, other[from..].iter().copied());
            }
            6 => {
                let random: Vec<u8> = (0..below(32)).map(|_| below(256) as u8).collect();
                bytes.splice(place..place, random);
            }
            7 => talk[at].direction = below(2),
            _ => {
                let other = below(talk.len());
                talk.swap(at, other);
            }
        }
    }
    let mut left = BYTES_MAX;
    for said in &mut talk {
        said.bytes.truncate(left);
        left -= said.bytes.len();
    }
    talk
}
