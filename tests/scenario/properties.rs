//! Whatever the file holds, it is answered, and soon. For a long run: `PROPTEST_CASES=1000000`.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use syncope::scenario::{Overrides, Source, load, render};

const GOOD: [&str; 2] = [super::DESIGN, super::EXTERNAL];

/// What a file is spoilt with: YAML's own characters, keys of the format, and extreme values.
const PIECES: [&str; 40] = [
    ":",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "|\n",
    ">\n",
    "&a ",
    "*a",
    "!!str ",
    "? ",
    "---\n",
    "...\n",
    "#",
    "%YAML 1.2\n",
    "\t",
    "\r",
    "\n",
    "\u{0}",
    "\u{feff}",
    "é",
    "💥",
    "null",
    "~",
    "-1s",
    "99999999999h",
    "1e999",
    "18446744073709551616",
    "0x10",
    "${",
    "${redis.url}",
    "any",
    "model",
    "worker-1",
    "job-99999999",
    "<<: *a",
    "{}",
];

#[derive(Debug, Clone)]
enum Spoil {
    Insert(Index, &'static str),
    Delete(Index, usize),
    Repeat(Index, usize, usize),
    /// A line of the file takes another one's place.
    Move(Index, Index),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    prop_oneof![
        (any::<Index>(), select(&PIECES[..])).prop_map(|(at, piece)| Spoil::Insert(at, piece)),
        (any::<Index>(), 1..40usize).prop_map(|(at, length)| Spoil::Delete(at, length)),
        (any::<Index>(), 1..60usize, 1..30usize).prop_map(|(at, length, n)| Spoil::Repeat(at, length, n)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Spoil::Move(from, to)),
    ]
}

fn apply(text: &str, spoil: &Spoil) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.is_empty() {
        return String::new();
    }
    let cut = |at: &Index, length: usize| {
        let start = at.index(characters.len());
        (start, (start + length).min(characters.len()))
    };
    match spoil {
        Spoil::Insert(at, piece) => {
            let (start, _) = cut(at, 0);
            let (before, after) = characters.split_at(start);
            before.iter().copied().chain(piece.chars()).chain(after.iter().copied()).collect()
        }
        Spoil::Delete(at, length) => {
            let (start, end) = cut(at, *length);
            characters[..start].iter().chain(&characters[end..]).collect()
        }
        Spoil::Repeat(at, length, times) => {
            let (start, end) = cut(at, *length);
            let repeated = characters[start..end].repeat(*times);
            characters[..start].iter().chain(&repeated).chain(&characters[end..]).collect()
        }
        Spoil::Move(from, to) => {
            let lines: Vec<&str> = text.lines().collect();
            if lines.is_empty() {
                return text.to_owned();
            }
            let mut moved = lines.clone();
            moved[to.index(lines.len())] = lines[from.index(lines.len())];
            moved.join("\n")
        }
    }
}

/// No panic, no hang; a refusal has a reason, with a place in the file.
fn is_answered(text: &str) {
    let start = Instant::now();
    let source = Source::new("spoilt.yaml", text);
    let found = match load(&source, &Overrides::default()) {
        Ok(loaded) => loaded.warnings,
        Err(errors) => {
            assert!(!errors.is_empty(), "refused without a reason");
            errors
        }
    };
    for diagnostic in &found {
        assert!(text.get(diagnostic.place.start..diagnostic.place.end).is_some(), "{diagnostic:?}");
        assert!(diagnostic.line >= 1 && diagnostic.column >= 1);
    }
    assert!(found.is_sorted_by_key(|diagnostic| diagnostic.place.start) || found.len() > 100);
    assert!(!render(&found, true).contains('\u{0}') || text.contains('\u{0}'));
    assert_eq!(render(&found, false).is_empty(), found.is_empty());
    assert!(start.elapsed() < Duration::from_secs(10), "took {:?}", start.elapsed());
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        is_answered(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_mixture_of_yaml_s_own_characters_is_answered(pieces in prop::collection::vec(select(&PIECES[..]), 0..200)) {
        is_answered(&pieces.concat());
    }

    #[test]
    fn a_spoilt_scenario_is_answered(
        which in 0..GOOD.len(),
        spoils in prop::collection::vec(spoil(), 1..6),
    ) {
        let text = spoils.iter().fold(GOOD[which].to_owned(), |text, spoil| apply(&text, spoil));
        is_answered(&text);
    }
}
