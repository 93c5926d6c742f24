//! The four parts of the world as one value.

use std::sync::Arc;

use super::{Clock, Disk, Random, RealClock, RealDisk, RealRandom, Tasks, ThreadTasks};

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
            tasks: Arc::new(ThreadTasks::new()),
        }
    }
}
