//! The seeded generator.

use rand_core::Rng as _;
use rand_pcg::Pcg64Mcg;

/// A seeded generator. Independent streams of one seed come from `stream`.
#[derive(Debug, Clone)]
pub struct Random(Pcg64Mcg);

impl Random {
    /// The stream named `stream` of `seed`; different names give unrelated sequences.
    #[must_use]
    pub fn stream(seed: u64, stream: &str) -> Self {
        // FNV-1a keeps the name's hash independent of the standard library's version.
        let name = stream.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut random = Self(Pcg64Mcg::new((u128::from(seed) << 64 | u128::from(name)) | 1));
        random.0.next_u64();
        random
    }

    /// 64 uniform bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..bound`; zero if `bound` is zero. The bias is below 2⁻⁶⁴ · bound.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// True once in a million times `ppm`, on average; always from a million on.
    #[inline]
    pub fn happens_ppm(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(1_000_000) < u64::from(ppm)
    }

    /// Uniform in `(0, 1]`.
    #[inline]
    pub fn unit_open(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}
