//! What an attempt of a map task gathers: lines in memory, sorted runs of what did not fit, perhaps combined.

use std::io::{BufWriter, Write};
use std::sync::Arc;

use headwater_core::World;
use tokio::runtime::Handle;

use crate::error::{JobError, Result};
use crate::progress::Progress;
use crate::run_file::{Run, RunWriter};
use crate::sorter::Sorter;
use crate::spec::{JobSpec, Program};
use crate::task::{Attempt, Feed, keep_last, run_program};

/// The runs of an attempt, all in one file.
pub(crate) struct Spills<'a> {
    pub(crate) world: &'a World,
    pub(crate) spec: &'a JobSpec,
    pub(crate) progress: &'a Arc<Progress>,
    pub(crate) runtime: &'a Handle,
    pub(crate) attempt: &'a Attempt,
    pub(crate) runs: Vec<Run>,
    /// What the combiner said on its standard error.
    pub(crate) said: Vec<u8>,
}

impl Spills<'_> {
    /// Bytes of memory for lines. Where they are combined, those that go in and those that come out share it.
    pub(crate) fn limit(&self) -> usize {
        let shares = if self.spec.combiner.is_some() { 2 } else { 1 };
        self.spec.memory / self.spec.slots / shares
    }

    /// Takes all lines of a sorter.
    pub(crate) fn take(&mut self, sorter: &mut Sorter) -> Result<()> {
        if sorter.is_empty() {
            return Ok(());
        }
        let spec = self.spec;
        match &spec.combiner {
            Some(combiner) => {
                let lines = std::mem::replace(sorter, Sorter::new(spec.reducers));
                self.combine(combiner, lines)
            }
            None => self.write(sorter),
        }
    }

    fn write(&mut self, sorter: &mut Sorter) -> Result<()> {
        let run = self.written(sorter);
        let run = run.map_err(JobError::io(format!("write a run to {}", self.spec.work.display())))?;
        Progress::add(&self.progress.spilled_bytes, run.bytes());
        self.runs.push(run);
        sorter.clear();
        Ok(())
    }

    fn written(&self, sorter: &mut Sorter) -> std::io::Result<Run> {
        let mut writer = match self.runs.last() {
            Some(last) => RunWriter::behind(last),
            None => RunWriter::create(&*self.world.disk, &self.spec.work)?,
        };
        for (partition, line) in sorter.sorted() {
            writer.add(partition, line)?;
        }
        writer.finish()
    }

    /// Writes what the combiner makes of lines.
    fn combine(&mut self, combiner: &Program, mut lines: Sorter) -> Result<()> {
        let feed: Feed = Box::new(move |into| {
            let mut into = BufWriter::with_capacity(256 << 10, into);
            for (_, line) in lines.sorted() {
                into.write_all(line)?;
                into.write_all(b"\n")?;
            }
            into.flush()
        });
        let (attempt, progress, runtime, limit) = (self.attempt, self.progress, self.runtime, self.limit());
        let mut combined = Sorter::new(self.spec.reducers);
        let mut take = |line: &[u8]| {
            if !combined.has_room(line.len(), limit) {
                self.write(&mut combined)?;
            }
            combined.add(line);
            Ok(())
        };
        let (said, ended) = run_program(combiner, attempt, progress, runtime, feed, &mut take);
        keep_last(&mut self.said, &said.stderr);
        ended?;
        if combined.is_empty() { Ok(()) } else { self.write(&mut combined) }
    }
}

#[cfg(test)]
mod tests {
    use headwater_objects::Location;

    use super::*;
    use crate::merge::merge;

    #[test]
    fn what_a_combiner_gives_takes_no_more_memory_than_what_it_gets() {
        let dir = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let program = |words: &[&str]| Program::new(words.iter().map(|word| (*word).to_owned()).collect());
        let place = Location::parse(dir.path().to_str().unwrap()).unwrap();
        let mut spec = JobSpec::new(program(&["cat"]).unwrap(), vec![], place, dir.path().to_owned(), 1);
        (spec.reducers, spec.memory) = (1, 4 << 10);
        // Says each line eight times.
        spec.combiner = Some(program(&["sed", "-n", "p;p;p;p;p;p;p;p"]).unwrap());
        let attempt =
            Attempt { task: "map-00000".to_owned(), number: 1, partition: 0, input: None, timeout: None };
        let mut spills = Spills {
            world: &World::real(),
            spec: &spec,
            progress: &Arc::new(Progress::default()),
            runtime: runtime.handle(),
            attempt: &attempt,
            runs: Vec::new(),
            said: Vec::new(),
        };
        let mut sorter = Sorter::new(1);
        let mut given = 0;
        while sorter.has_room(8, spills.limit()) {
            sorter.add(format!("k{:02}\tv{:02}", given % 7, given % 3).as_bytes());
            given += 1;
        }
        spills.take(&mut sorter).unwrap();
        assert!(spills.runs.len() >= 7, "{} runs of at most {} bytes", spills.runs.len(), spills.limit());
        let (mut lines, mut last) = (0, Vec::new());
        merge(&spills.runs, 0, &mut |line| {
            assert!(last.as_slice() <= line);
            last = line.to_owned();
            lines += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(lines, 8 * given);
    }
}
