//! A hash map for short names: fast, without a seed, and never iterated.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Looked up only. What has to be listed stands in a `Vec` or a tree beside it, so that no order
/// depends on the hash.
pub(super) type Index<K, V> = HashMap<K, V, BuildHasherDefault<NameHasher>>;

/// Multiply and rotate, eight bytes at a time, as Firefox and rustc hash their identifiers. Not made
/// against an adversary: the names are the scenario's own.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NameHasher(u64);

/// 2⁶⁴ over the golden ratio: its bits look random, and it is odd.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl NameHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last) ^ bytes.len() as u64);
    }

    fn write_u8(&mut self, byte: u8) {
        self.add(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        // The table takes its buckets from the low bits and its tags from the high ones; a product's
        // low bits depend on low bits alone.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hash;

    #[test]
    fn names_that_differ_in_one_place_differ_in_both_ends_of_the_hash() {
        let hash = |name: &str| {
            let mut hasher = NameHasher::default();
            name.hash(&mut hasher);
            hasher.finish()
        };
        let hashes: Vec<u64> = (0..4096).map(|n| hash(&format!("job-{n}"))).collect();
        for (end, shift) in [("low", 0), ("high", 52)] {
            let mut buckets = vec![0u32; 4096];
            for hash in &hashes {
                buckets[(hash >> shift) as usize & 4095] += 1;
            }
            let fullest = buckets.iter().max().copied().unwrap_or_default();
            assert!(fullest <= 10, "{fullest} of 4096 names share one bucket by the {end} bits");
        }
    }
}
