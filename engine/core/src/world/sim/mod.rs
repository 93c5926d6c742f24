//! A machine in memory, driven by a seed: one thread, no real time, no randomness of the operating system.
//!
//! The same seed and the same calls give the same bytes, so that a failure found once is found again. See [`SimWorld`].

mod clock;
mod disk;
mod file;
mod names;
mod random;
mod tasks;
mod world;

pub use clock::SimClock;
pub use disk::{DiskImage, SimDisk};
pub use random::SimRandom;
pub use tasks::SimTasks;
pub use world::SimWorld;
