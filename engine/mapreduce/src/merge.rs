//! Merging sorted runs.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::io;
use std::path::Path;

use headwater_core::world::Disk;

use crate::run_file::{Run, RunReader, RunWriter};
use crate::sorter::{compare, key_of, prefix_of};

/// How many runs are merged at a time. More are first merged into fewer.
pub const FAN_IN: usize = 128;

/// A run and the line it is at.
struct Head {
    reader: RunReader,
    prefix: u64,
    key: usize,
}

impl Head {
    /// The run at its next line; `None` if there is none.
    fn next(mut reader: RunReader) -> io::Result<Option<Self>> {
        if !reader.advance()? {
            return Ok(None);
        }
        let key = key_of(reader.line());
        let (prefix, key) = (prefix_of(key), key.len());
        Ok(Some(Self { reader, prefix, key }))
    }
}

/// The greatest of a heap is its first: so the order is turned around.
impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        let rest = || compare(other.reader.line(), other.key, self.reader.line(), self.key);
        other.prefix.cmp(&self.prefix).then_with(rest)
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

/// Calls `take` with the lines of one partition of all runs, in order.
pub(crate) fn merge(
    runs: &[Run],
    partition: usize,
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut heap = BinaryHeap::with_capacity(runs.len());
    for reader in runs.iter().filter_map(|run| run.partition(partition)) {
        heap.extend(Head::next(reader)?);
    }
    while let Some(Head { reader, .. }) = heap.pop() {
        take(reader.line())?;
        heap.extend(Head::next(reader)?);
    }
    Ok(())
}

/// Merges runs until so few are left that they can be merged at once.
pub(crate) fn reduce_runs(
    mut runs: Vec<Run>,
    partitions: usize,
    disk: &dyn Disk,
    dir: &Path,
) -> io::Result<Vec<Run>> {
    while runs.len() > FAN_IN {
        let some: Vec<_> = runs.drain(..FAN_IN).collect();
        runs.push(merged(&some, partitions, disk, dir)?);
    }
    Ok(runs)
}

/// One run of several.
fn merged(runs: &[Run], partitions: usize, disk: &dyn Disk, dir: &Path) -> io::Result<Run> {
    let mut writer = RunWriter::create(disk, dir)?;
    for partition in 0..partitions {
        merge(runs, partition, &mut |line| writer.add(partition, line))?;
    }
    writer.finish()
}

/// The runs of tasks that are done. As many of a level as can be merged at once are merged into one of the next: so few files are open,
/// however many tasks there are, and each line is written once for each level.
#[derive(Default)]
pub(crate) struct Runs {
    levels: Vec<Vec<Run>>,
}

impl Runs {
    /// Takes the runs of a task; whether some are to be merged.
    pub(crate) fn take(&mut self, runs: Vec<Run>) -> bool {
        if self.levels.is_empty() {
            self.levels.push(Vec::new());
        }
        self.levels[0].extend(runs);
        self.levels[0].len() >= FAN_IN
    }

    /// Merges what there is enough of.
    pub(crate) fn merge(mut self, partitions: usize, disk: &dyn Disk, dir: &Path) -> io::Result<Self> {
        let mut level = 0;
        while level < self.levels.len() {
            while self.levels[level].len() >= FAN_IN {
                let some: Vec<_> = self.levels[level].drain(..FAN_IN).collect();
                let run = merged(&some, partitions, disk, dir)?;
                if level + 1 == self.levels.len() {
                    self.levels.push(Vec::new());
                }
                self.levels[level + 1].push(run);
            }
            level += 1;
        }
        Ok(self)
    }

    /// All runs, the smallest first.
    pub(crate) fn into_all(self) -> Vec<Run> {
        self.levels.into_iter().flatten().collect()
    }
}
