//! Randomness, where two runs may differ: ids and jitter.

/// Gives random numbers.
pub trait Random: Send + Sync {
    /// Any 64 bits.
    fn next(&self) -> u64;
}

/// The operating system's randomness, through the thread's generator.
pub struct RealRandom;

impl Random for RealRandom {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for randomness")]
    fn next(&self) -> u64 {
        rand::random()
    }
}
