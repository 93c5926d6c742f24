//! How far a job is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a job is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Its input is being listed.
    Starting,
    /// Mappers run.
    Map,
    /// Reducers run.
    Reduce,
    /// All is written.
    Done,
}

/// How far a job is; shared with whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU64,
    stop: AtomicBool,
    pub(crate) maps: AtomicU64,
    pub(crate) maps_done: AtomicU64,
    pub(crate) reduces: AtomicU64,
    pub(crate) reduces_done: AtomicU64,
    pub(crate) input_bytes: AtomicU64,
    pub(crate) input_bytes_read: AtomicU64,
    pub(crate) map_output_lines: AtomicU64,
    pub(crate) output_lines: AtomicU64,
    pub(crate) spilled_bytes: AtomicU64,
    pub(crate) failed_attempts: AtomicU64,
}

/// A moment of [`Progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// What the job is doing.
    pub phase: Phase,
    /// Map tasks.
    pub maps: u64,
    /// Those that are done.
    pub maps_done: u64,
    /// Reduce tasks.
    pub reduces: u64,
    /// Those that are done.
    pub reduces_done: u64,
    /// Bytes of input, as they lie.
    pub input_bytes: u64,
    /// Those of tasks that are done.
    pub input_bytes_read: u64,
    /// Lines that mappers gave, before a combiner, in tasks that are done.
    pub map_output_lines: u64,
    /// Lines written.
    pub output_lines: u64,
    /// Bytes of sorted runs written to disk.
    pub spilled_bytes: u64,
    /// Attempts that failed.
    pub failed_attempts: u64,
}

impl Progress {
    /// How far it is now.
    pub fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            phase: match read(&self.phase) {
                0 => Phase::Starting,
                1 => Phase::Map,
                2 => Phase::Reduce,
                _ => Phase::Done,
            },
            maps: read(&self.maps),
            maps_done: read(&self.maps_done),
            reduces: read(&self.reduces),
            reduces_done: read(&self.reduces_done),
            input_bytes: read(&self.input_bytes),
            input_bytes_read: read(&self.input_bytes_read),
            map_output_lines: read(&self.map_output_lines),
            output_lines: read(&self.output_lines),
            spilled_bytes: read(&self.spilled_bytes),
            failed_attempts: read(&self.failed_attempts),
        }
    }

    /// Asks the job to stop: no task begins any more, and those that run are ended.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u64, Ordering::Relaxed);
    }

    pub(crate) fn add(counter: &AtomicU64, some: u64) {
        counter.fetch_add(some, Ordering::Relaxed);
    }
}

impl Counters {
    /// The done part of all tasks, from 0 to 1.
    pub fn done(&self) -> f64 {
        match self.phase {
            Phase::Starting => 0.0,
            Phase::Done => 1.0,
            _ => (self.maps_done + self.reduces_done) as f64 / (self.maps + self.reduces).max(1) as f64,
        }
    }
}
