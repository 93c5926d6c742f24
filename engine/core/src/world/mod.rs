//! The world outside, in four parts: clock, disk, randomness and tasks.
//!
//! `main` makes one [`World`] and everything takes what it needs from there. [`World::real`] is this machine;
//! [`sim::SimWorld`] is a machine in memory that is driven by a seed, on one thread, and can lose power.

mod clock;
mod disk;
mod faults;
mod faulty_disk;
mod random;
mod real_disk;
pub mod sim;
mod tasks;

use std::sync::Arc;

pub use clock::{Clock, RealClock};
pub use disk::{Disk, DiskEntry, DiskFile, DiskLock, Open};
pub use faults::{Errno, Fault, Faults, Op};
pub use faulty_disk::FaultyDisk;
pub use random::{Random, RealRandom};
pub use real_disk::RealDisk;
pub use tasks::{Task, TaskWaker, Tasks, ThreadTasks, Turn};

/// Everything that is not computation. Cheap to clone.
#[derive(Clone)]
pub struct World {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Keeps bytes.
    pub disk: Arc<dyn Disk>,
    /// Gives random numbers.
    pub random: Arc<dyn Random>,
    /// Runs background work.
    pub tasks: Arc<dyn Tasks>,
}

impl World {
    /// This machine.
    pub fn real() -> Self {
        Self {
            clock: Arc::new(RealClock::new()),
            disk: Arc::new(RealDisk),
            random: Arc::new(RealRandom),
            tasks: Arc::new(ThreadTasks),
        }
    }
}
