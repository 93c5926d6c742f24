//! The world outside, in four parts: clock, disk, randomness and tasks.
//!
//! `main` makes one [`World`] and everything takes what it needs from there. [`World::real`] is this machine;
//! [`sim::SimWorld`] is a machine in memory that is driven by a seed, on one thread, and can lose power.

mod clock;
mod disk;
mod faults;
mod faulty_disk;
mod machine;
mod pool;
mod random;
mod real_disk;
pub mod sim;
mod tasks;

pub use clock::{Clock, RealClock};
pub use disk::{Disk, DiskEntry, DiskFile, DiskLock, Open, create_durable_dir};
pub use faults::{Errno, Fault, Faults, Op};
pub use faulty_disk::FaultyDisk;
pub use machine::World;
pub use random::{Random, RealRandom};
pub use real_disk::RealDisk;
pub use tasks::{Task, TaskWaker, Tasks, ThreadTasks, Turn};
