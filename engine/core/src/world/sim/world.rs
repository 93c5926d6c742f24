//! The simulated machine as a whole.

use std::sync::Arc;

use super::{SimClock, SimDisk, SimRandom, SimTasks};
use crate::world::World;

/// A machine in memory that is driven by a seed and can lose power.
///
/// Two machines with the same seed that are used in the same way behave in the same way, to the byte:
///
/// ```
/// use headwater_core::world::{Open, sim::SimWorld};
/// use std::io::IoSlice;
///
/// let machine = SimWorld::new(42);
/// let world = machine.world();
/// let file = world.disk.open("a".as_ref(), Open::Create)?;
/// file.write_all_at(&mut [IoSlice::new(b"rain")], 0)?;
/// file.sync()?;
/// world.disk.sync_dir("/".as_ref())?;
/// machine.power_loss();
/// assert!(file.len().is_err(), "the handle died with the machine");
/// assert_eq!(world.disk.open("a".as_ref(), Open::Read)?.len()?, 4);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct SimWorld {
    seed: SimRandom,
    clock: Arc<SimClock>,
    disk: SimDisk,
    random: Arc<SimRandom>,
    tasks: Arc<SimTasks>,
}

impl SimWorld {
    /// An idle machine with an empty disk.
    pub fn new(seed: u64) -> Self {
        let seed = SimRandom::new(seed);
        let clock = Arc::new(SimClock::new());
        Self {
            disk: SimDisk::new(seed.fork("disk")),
            random: Arc::new(seed.fork("random")),
            tasks: Arc::new(SimTasks::new(Arc::clone(&clock), seed.fork("tasks"))),
            clock,
            seed,
        }
    }

    /// The machine as programs see it.
    pub fn world(&self) -> World {
        World {
            clock: Arc::clone(&self.clock) as _,
            disk: Arc::new(self.disk.clone()),
            random: Arc::clone(&self.random) as _,
            tasks: Arc::clone(&self.tasks) as _,
        }
    }

    /// Its clocks.
    pub fn clock(&self) -> &SimClock {
        &self.clock
    }

    /// Its disk.
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// Its tasks.
    pub fn tasks(&self) -> &SimTasks {
        &self.tasks
    }

    /// Random numbers for a test that uses the machine, apart from those that the machine itself draws.
    pub fn random(&self, name: &str) -> SimRandom {
        self.seed.fork(name)
    }

    /// Cuts the power: what was not synced may be lost, every handle is dead, no task gets another turn.
    pub fn power_loss(&self) {
        // The disk first: what the tasks own must not write any more while it is dropped.
        self.disk.power_loss();
        self.tasks.crash();
    }

    /// Kills the process: what was written stays, every handle is dead, no task gets another turn.
    pub fn process_crash(&self) {
        self.disk.process_crash();
        self.tasks.crash();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::world::{DiskFile, Open, Turn};

    #[test]
    fn a_crash_stops_tasks_before_they_can_write_again() {
        struct WritesWhenDropped(Arc<dyn DiskFile>);
        impl Drop for WritesWhenDropped {
            fn drop(&mut self) {
                assert!(self.0.set_len(1_000).is_err());
            }
        }
        let machine = SimWorld::new(1);
        let world = machine.world();
        let file = world.disk.open(Path::new("/a"), Open::Create).unwrap();
        let owned = WritesWhenDropped(file);
        let task = world.tasks.spawn(
            "writer",
            Box::new(move || {
                let _ = &owned;
                Turn::Wait(Some(Duration::from_secs(1)))
            }),
        );
        assert!(world.tasks.drive());
        machine.process_crash();
        assert!(task.is_done());
        assert_eq!(machine.disk().image().files.values().map(Vec::len).sum::<usize>(), 0);
    }

    #[test]
    fn machines_with_one_seed_are_alike() {
        let draw = |seed| {
            let machine = SimWorld::new(seed);
            (machine.world().random.next(), machine.random("test").below(1 << 40))
        };
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
    }
}
