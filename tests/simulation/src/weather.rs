//! The weather: what strikes a machine, drawn from the seed.

use std::time::Duration;

use headwater_core::world::sim::SimRandom;
use headwater_core::world::{Clock, Errno, Fault, Op};

use crate::scene::Scene;

/// What strikes in one run. Each run has a weather of its own, so that some are calm enough to get far.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Faults in a thousand steps.
    faults: u64,
    /// Full disks in a thousand steps.
    full: u64,
    /// Ends of the process in a thousand steps.
    pub ends: u64,
    /// Whether the wall clock is set back at times.
    clock: bool,
}

impl Weather {
    /// One of many.
    pub fn draw(random: &SimRandom) -> Self {
        Self {
            faults: [0, 0, 5, 20][random.index(4)],
            full: [0, 0, 0, 10][random.index(4)],
            ends: [0, 5, 15, 40][random.index(4)],
            clock: random.chance(1, 3),
        }
    }

    /// No weather: the log is left alone.
    pub const CALM: Self = Self { faults: 0, full: 0, ends: 0, clock: false };

    /// Lets it strike, or not.
    pub fn strike(self, scene: &mut Scene) {
        let random = &scene.random;
        let disk = scene.machine.disk();
        if random.chance(self.faults, 1_000) {
            let (fault, syncs) = draw_fault(random);
            scene.story.note(format!("a fault is to come: {fault:?}"));
            scene.sync_failed |= syncs;
            disk.faults().add(fault);
        }
        if random.chance(self.full, 1_000) {
            let room = random.below(8_000);
            scene.story.note(format!("the disk has {room} bytes left"));
            disk.set_capacity(Some(disk.used() + room));
            scene.disk_is_full = true;
        }
        let clock = scene.machine.clock();
        if random.chance(30, 1_000) {
            clock.advance(Duration::from_millis(random.below(40_000)));
        }
        if self.clock && random.chance(5, 1_000) {
            clock.set_wall(clock.now().minus(Duration::from_secs(random.below(100_000))));
        }
    }

    /// The weather is over.
    pub fn clear(scene: &mut Scene) {
        scene.disk_is_full = false;
        scene.machine.disk().faults().clear();
        scene.machine.disk().set_capacity(None);
    }
}

/// A fault, and whether it may strike a sync.
fn draw_fault(random: &SimRandom) -> (Fault, bool) {
    let kinds: [(&[Op], bool); 9] = [
        (&[Op::Write], false),
        (&[Op::Write], false),
        (&[Op::Sync], true),
        (&[Op::Sync], true),
        (&[Op::SyncDir], false),
        (&[Op::Create, Op::Open], false),
        (&[Op::Rename, Op::Remove], false),
        (&[Op::Read], false),
        (Op::CHANGES, true),
    ];
    let (ops, syncs) = kinds[random.index(kinds.len())];
    let errno = if random.chance(1, 3) { Errno::NoSpace } else { Errno::Io };
    let mut fault = Fault::new(ops, errno).nth(random.below(12)).after_bytes(random.index(5_000));
    if random.chance(1, 2) {
        fault = fault.for_good();
    }
    (fault, syncs)
}
