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
        let mut writer = RunWriter::create(disk, dir)?;
        for partition in 0..partitions {
            merge(&some, partition, &mut |line| writer.add(partition, line))?;
        }
        runs.push(writer.finish()?);
    }
    Ok(runs)
}
