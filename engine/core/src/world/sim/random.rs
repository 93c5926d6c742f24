//! Random numbers from a seed, in streams that do not disturb each other.

use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::world::Random;

/// The golden ratio in 64 bits: the step of SplitMix64.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64: small, fast, and the same on every machine and in every version.
///
/// A consumer takes a stream of its own with [`SimRandom::fork`], so that one that is added later, or draws more often,
/// does not shift what the others draw.
pub struct SimRandom {
    seed: u64,
    state: AtomicU64,
}

impl SimRandom {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, state: AtomicU64::new(seed) }
    }

    /// The stream of a name under this seed, whatever was drawn before.
    pub fn fork(&self, name: &str) -> Self {
        Self::new(xxh3_64_with_seed(name.as_bytes(), self.seed))
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below 0");
        // The bias of one part in 2^64 / bound matters to nobody here.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// An index below `len`, which must not be 0.
    pub fn index(&self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// True in `hits` of `of` cases.
    pub fn chance(&self, hits: u64, of: u64) -> bool {
        self.below(of) < hits
    }
}

impl Random for SimRandom {
    fn next(&self) -> u64 {
        let mut z = self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_split_mix_64() {
        // The first outputs of the reference implementation for seed 1234567.
        let random = SimRandom::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_fork_depends_on_seed_and_name_only() {
        let one = SimRandom::new(7);
        let two = SimRandom::new(7);
        two.next();
        assert_eq!(one.fork("disk").next(), two.fork("disk").next());
        assert_ne!(one.fork("disk").next(), one.fork("tasks").next());
        assert_ne!(one.fork("disk").next(), SimRandom::new(8).fork("disk").next());
    }

    #[test]
    fn bounds_hold_and_are_reached() {
        let random = SimRandom::new(0);
        let mut seen = [0; 5];
        for _ in 0..1_000 {
            seen[random.index(5)] += 1;
        }
        assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
        assert!(!random.chance(0, 8));
        assert!(random.chance(8, 8));
    }
}
