//! Looks for a text in a stream that comes in pieces, without keeping the stream (Knuth, Morris, Pratt).

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Needle {
    bytes: Box<[u8]>,
    /// For each length of a matched part: the longest proper prefix of it that is its suffix, too.
    back: Box<[usize]>,
}

/// How much of a needle the last bytes match. Starts at zero, for each stream anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Matched(usize);

impl Needle {
    #[must_use]
    pub fn new(text: &str) -> Self {
        let bytes: Box<[u8]> = text.as_bytes().into();
        let mut back = vec![0; bytes.len() + 1];
        let mut matched = 0;
        for at in 1..bytes.len() {
            while matched > 0 && bytes[matched] != bytes[at] {
                matched = back[matched];
            }
            matched += usize::from(bytes[matched] == bytes[at]);
            back[at + 1] = matched;
        }
        Self { bytes, back: back.into() }
    }

    /// Goes on with the next piece. Returns whether the needle has been seen, in this piece or before.
    pub fn seen(&self, matched: &mut Matched, piece: &[u8]) -> bool {
        let Matched(length) = matched;
        for byte in piece {
            if *length == self.bytes.len() {
                break;
            }
            while *length > 0 && self.bytes[*length] != *byte {
                *length = self.back[*length];
            }
            *length += usize::from(self.bytes[*length] == *byte);
        }
        *length == self.bytes.len()
    }

    /// Whether the text has the needle in it.
    #[must_use]
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.seen(&mut Matched::default(), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_needle_is_everywhere() {
        assert!(Needle::new("").is_in(b""));
        assert!(Needle::new("").is_in(b"a"));
    }

    proptest! {
        #[test]
        fn finds_what_a_plain_search_finds_however_the_text_is_cut(
            needle in "[ab]{1,6}",
            text in "[ab]{0,60}",
            cut in 0usize..61,
        ) {
            let (found, cut) = (text.contains(&needle), cut.min(text.len()));
            let (needle, mut matched) = (Needle::new(&needle), Matched::default());
            needle.seen(&mut matched, &text.as_bytes()[..cut]);
            prop_assert_eq!(needle.seen(&mut matched, &text.as_bytes()[cut..]), found);
        }
    }
}
