//! A checkpoint on its way from the job, which takes its state part by part, to the task that writes it.
//!
//! ```text
//!  job ── takes a part ──► waiting, HELD_BYTES at most ──► task ── encodes, writes
//! ```
//!
//! The parts are copies of the state. When more of them wait than that, the job waits, too: a state that fills the memory would not fit in
//! there twice.

use std::collections::VecDeque;
use std::sync::Arc;

use headwater_core::World;
use headwater_core::world::{Task, Tasks, Turn};
use parking_lot::{Condvar, Mutex};

use super::checkpoint::Writer;
use super::spill::StatePart;

type Result<T> = std::result::Result<T, String>;

/// How many bytes of parts may wait to be written.
const HELD_BYTES: usize = 64 << 20;

/// A checkpoint that is being written.
pub(crate) struct Saving {
    flow: Arc<Flow>,
    task: Task,
    tasks: Arc<dyn Tasks>,
    held_bytes: usize,
    /// The step after which it is taken.
    pub(super) step: u64,
    /// Whether it has all of the state.
    pub(super) full: bool,
}

/// What the job and the task share.
#[derive(Default)]
struct Flow {
    state: Mutex<FlowState>,
    changed: Condvar,
}

#[derive(Default)]
struct FlowState {
    parts: VecDeque<(usize, StatePart)>,
    /// Of the parts, that which is being written included.
    bytes: usize,
    /// No more parts come.
    ended: bool,
    /// How many bytes were written, once it is known.
    outcome: Option<Result<usize>>,
}

impl FlowState {
    fn holds_too_much(&self, held_bytes: usize) -> bool {
        self.bytes > held_bytes && self.outcome.is_none()
    }
}

impl Saving {
    /// Begins to write what comes.
    pub(super) fn begin(world: &World, name: &str, writer: Writer, full: bool) -> Self {
        let step = writer.step();
        let flow = Arc::new(Flow::default());
        let told = Arc::clone(&flow);
        let mut writer = Some(writer);
        let task = world.tasks.spawn(name, Box::new(move || told.turn(&mut writer)));
        let tasks = Arc::clone(&world.tasks);
        Self { flow, task, tasks, held_bytes: HELD_BYTES, step, full }
    }

    /// Adds a part of a stage's state, and waits as long as too much of it is still to be written.
    pub(super) fn add(&self, stage: usize, part: StatePart) {
        {
            let mut state = self.flow.state.lock();
            if state.outcome.is_some() {
                // It has failed: nobody takes any more.
                return;
            }
            state.bytes += part.memory();
            state.parts.push_back((stage, part));
        }
        self.task.wake();
        while self.flow.state.lock().holds_too_much(self.held_bytes) {
            if !self.tasks.drive() {
                let mut state = self.flow.state.lock();
                while state.holds_too_much(self.held_bytes) {
                    self.flow.changed.wait(&mut state);
                }
            }
        }
    }

    /// Says that all parts have been added.
    pub(super) fn end(&self) {
        self.flow.state.lock().ended = true;
        self.task.wake();
    }

    /// How many bytes were written, if it is known now.
    pub(super) fn outcome(&self) -> Option<Result<usize>> {
        self.flow.state.lock().outcome.clone()
    }

    /// Waits until that is known. It has been said that all parts were added.
    pub(super) fn wait(&self) {
        while self.flow.state.lock().outcome.is_none() {
            if !self.tasks.drive() {
                let mut state = self.flow.state.lock();
                while state.outcome.is_none() {
                    self.flow.changed.wait(&mut state);
                }
            }
        }
    }
}

impl Flow {
    /// Writes a part, or what makes the checkpoint whole behind the last one.
    fn turn(&self, writer: &mut Option<Writer>) -> Turn {
        let (part, ended) = {
            let mut state = self.state.lock();
            (state.parts.pop_front(), state.ended)
        };
        let outcome = match part {
            None if !ended => return Turn::Wait(None),
            None => match writer.take() {
                Some(writer) => writer.finish(),
                None => return Turn::Done,
            },
            Some((stage, part)) => {
                let Some(open) = writer.as_mut() else { return Turn::Done };
                let bytes = part.memory();
                let added = open.add(stage, &part);
                drop(part);
                self.state.lock().bytes -= bytes;
                self.changed.notify_all();
                match added {
                    Ok(()) => return Turn::Again,
                    Err(reason) => Err(reason),
                }
            }
        };
        *writer = None;
        let mut state = self.state.lock();
        state.parts.clear();
        state.outcome = Some(outcome);
        drop(state);
        self.changed.notify_all();
        Turn::Done
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use bytes::Bytes;
    use headwater_core::world::sim::SimWorld;

    use super::super::blobs::{Blobs, DiskBlobs};
    use super::super::checkpoint::Manifest;
    use super::super::checkpoint::tests::entries;
    use super::*;

    fn saving(world: &World, blobs: Arc<dyn Blobs>, held_bytes: usize) -> Saving {
        let manifest = Manifest { step: 3, ..Manifest::default() };
        Saving { held_bytes, ..Saving::begin(world, "checkpoint", Writer::new(blobs, manifest), true) }
    }

    #[test]
    fn no_more_waits_than_may() {
        let machine = SimWorld::new(7);
        let world = machine.world();
        let blobs: Arc<dyn Blobs> =
            Arc::new(DiskBlobs::open(world.clone(), PathBuf::from("/checkpoints")).unwrap());
        let of_one = StatePart::Here(entries(0)).memory();
        let saving = saving(&world, Arc::clone(&blobs), 2 * of_one);
        for value in 0..20 {
            saving.add(1, StatePart::Here(entries(value)));
            let state = saving.flow.state.lock();
            assert!(state.bytes <= 2 * of_one && state.parts.len() <= 2, "{} bytes wait", state.bytes);
        }
        assert!(blobs.list().unwrap().is_empty(), "it is not whole");
        saving.end();
        saving.wait();
        assert!(saving.outcome().unwrap().unwrap() > 20 * 9 * 8);
        assert_eq!(blobs.list().unwrap().len(), 1);
    }

    /// A store that refuses.
    struct Refusing;

    impl Blobs for Refusing {
        fn put(&self, name: &str, _bytes: Bytes) -> Result<()> {
            Err(format!("{name} is refused"))
        }

        fn get(&self, name: &str) -> Result<Bytes> {
            Err(format!("there is no {name}"))
        }

        fn list(&self) -> Result<Vec<String>> {
            Ok(Vec::new())
        }

        fn remove(&self, _name: &str) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_checkpoint_that_has_failed() {
        let machine = SimWorld::new(1);
        let world = machine.world();
        let manifest = Manifest { step: 3, ..Manifest::default() };
        let writer = Writer::new(Arc::new(Refusing), manifest).with_blobs_of(1);
        let saving = Saving { held_bytes: 0, ..Saving::begin(&world, "checkpoint", writer, true) };
        (0..5).for_each(|value| saving.add(1, StatePart::Here(entries(value))));
        saving.end();
        saving.wait();
        assert!(saving.outcome().unwrap().unwrap_err().contains("is refused"));
    }

    #[test]
    fn one_that_is_given_up_writes_nothing_that_counts() {
        let machine = SimWorld::new(1);
        let world = machine.world();
        let blobs: Arc<dyn Blobs> =
            Arc::new(DiskBlobs::open(world.clone(), PathBuf::from("/checkpoints")).unwrap());
        let saving = saving(&world, Arc::clone(&blobs), 0);
        saving.add(1, StatePart::Here(entries(1)));
        drop(saving);
        assert!(blobs.list().unwrap().is_empty());
    }
}
