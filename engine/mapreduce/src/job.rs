//! A job from its splits to its part files.

use std::collections::VecDeque;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::World;
use headwater_objects::{Split, splits};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::error::{JobError, Result};
use crate::merge::{Runs, merge, reduce_runs};
use crate::progress::{Counters, Phase, Progress};
use crate::run_file::Run;
use crate::sorter::Sorter;
use crate::spec::{JobSpec, Program};
use crate::spills::Spills;
use crate::task::{Attempt, Feed, Said, run_program};

/// Bytes of output that are gathered before they are handed on.
const OUTPUT_AT: usize = 1 << 20;

/// Runs a job to its end.
pub async fn run(world: &World, spec: JobSpec, progress: Arc<Progress>) -> Result<Counters> {
    spec.check()?;
    if spec.again && spec.output.has("_SUCCESS").await? {
        progress.enter(Phase::Done);
        return Ok(progress.counters());
    }
    if !spec.again && !spec.output.is_empty().await? {
        return Err(JobError::Spec(format!(
            "{} is not empty: take it away, or name another output",
            spec.output.shown()
        )));
    }
    if spec.again {
        remove_parts(&spec).await?;
    }
    world.disk.create_dir(&spec.work).map_err(JobError::io(format!("create {}", spec.work.display())))?;
    let splits = splits(&spec.inputs, spec.slots, spec.split).await?;
    let reduces = spec.reducers as u64;
    progress.maps.store(splits.len() as u64, Ordering::Relaxed);
    progress.reduces.store(reduces, Ordering::Relaxed);
    progress.input_bytes.store(splits.iter().map(|split| split.to - split.from).sum(), Ordering::Relaxed);
    let job = Arc::new(Job { world: world.clone(), spec, progress, runtime: Handle::current() });
    job.progress.enter(Phase::Map);
    let tasks = splits.into_iter().enumerate().map(|(number, split)| Task::Map { number, split });
    let runs = Job::run_all(&job, tasks.collect()).await?;
    job.progress.enter(Phase::Reduce);
    if reduces > 0 {
        let runs = runs.into_all();
        let fewer = Arc::clone(&job);
        let merged = tokio::task::spawn_blocking(move || fewer.reduce_runs(runs)).await;
        let runs = Arc::new(merged.map_err(died)??);
        let reduce = |partition| Task::Reduce { partition, runs: Arc::clone(&runs) };
        Job::run_all(&job, (0..job.spec.reducers).map(reduce).collect()).await?;
    }
    job.spec.output.put("_SUCCESS", Bytes::new()).await?;
    job.progress.enter(Phase::Done);
    Ok(job.progress.counters())
}

/// Takes away the parts that a former run has left: with another number of reducers, or other input, there would be more of them than
/// this one writes over.
async fn remove_parts(spec: &JobSpec) -> Result<()> {
    for object in spec.output.list().await? {
        let number = object.name.strip_prefix("part-");
        if number.is_some_and(|number| number.len() >= 5 && number.bytes().all(|byte| byte.is_ascii_digit()))
        {
            spec.output.remove(&object.name).await?;
        }
    }
    Ok(())
}

fn died(error: tokio::task::JoinError) -> JobError {
    JobError::Spec(format!("a task of the engine died: {error}"))
}

struct Job {
    world: World,
    spec: JobSpec,
    progress: Arc<Progress>,
    runtime: Handle,
}

#[derive(Clone)]
enum Task {
    Map { number: usize, split: Split },
    Reduce { partition: usize, runs: Arc<Vec<Run>> },
}

impl Job {
    /// Runs tasks, so many at a time, each as often as it may be tried; the runs that they leave.
    async fn run_all(job: &Arc<Self>, tasks: Vec<Task>) -> Result<Runs> {
        let mut done = Runs::default();
        let mut waiting: VecDeque<_> = tasks.into_iter().map(|task| (task, 1)).collect();
        let mut running = JoinSet::new();
        loop {
            while running.len() < job.spec.slots && !job.progress.is_stopped() {
                let Some((task, number)) = waiting.pop_front() else { break };
                let job = Arc::clone(job);
                running.spawn_blocking(move || {
                    let attempt = task.attempt(number, job.spec.timeout);
                    let (said, ended) = job.run_task(&task, &attempt);
                    job.keep(&attempt, said);
                    (task, attempt, ended)
                });
            }
            let Some(ended) = running.join_next().await else { break };
            let (task, attempt, ended) = ended.map_err(died)?;
            match ended {
                Ok(runs) => {
                    job.count(&task);
                    if done.take(runs) {
                        done = match Self::merge_runs(job, done).await {
                            Ok(done) => done,
                            Err(error) => {
                                job.progress.stop();
                                while running.join_next().await.is_some() {}
                                return Err(error);
                            }
                        };
                    }
                }
                Err(JobError::Stopped) => {}
                Err(last) => {
                    Progress::add(&job.progress.failed_attempts, 1);
                    tracing::warn!(task = attempt.task, attempt = attempt.number, error = %last, "an attempt failed");
                    if attempt.number >= job.spec.attempts {
                        // The others are ended, too: their programs would go on without anybody to hear them.
                        job.progress.stop();
                        while running.join_next().await.is_some() {}
                        let (task, attempts) = (attempt.task, attempt.number);
                        return Err(JobError::Task { task, attempts, last: Box::new(last) });
                    }
                    waiting.push_back((task, attempt.number + 1));
                }
            }
        }
        if job.progress.is_stopped() { Err(JobError::Stopped) } else { Ok(done) }
    }

    /// Fewer runs of tasks that are done, while others go on.
    async fn merge_runs(job: &Arc<Self>, runs: Runs) -> Result<Runs> {
        let job = Arc::clone(job);
        let merged = tokio::task::spawn_blocking(move || {
            let (disk, work) = (&*job.world.disk, &job.spec.work);
            let merged = runs.merge(job.spec.reducers, disk, work);
            merged.map_err(JobError::io(format!("merge runs in {}", work.display())))
        });
        merged.await.map_err(died)?
    }

    fn count(&self, task: &Task) {
        match task {
            Task::Map { split, .. } => {
                Progress::add(&self.progress.maps_done, 1);
                Progress::add(&self.progress.input_bytes_read, split.to - split.from);
            }
            Task::Reduce { .. } => Progress::add(&self.progress.reduces_done, 1),
        }
    }

    /// Keeps what an attempt said on its standard error.
    fn keep(&self, attempt: &Attempt, said: Said) {
        if said.stderr.is_empty() {
            return;
        }
        let name = format!("_logs/{}-{}.stderr", attempt.task, attempt.number);
        if let Err(error) = self.runtime.block_on(self.spec.output.put(&name, said.stderr.into())) {
            tracing::warn!(task = attempt.task, %error, "what an attempt said could not be kept");
        }
    }

    fn run_task(&self, task: &Task, attempt: &Attempt) -> (Said, Result<Vec<Run>>) {
        match task {
            Task::Map { split, .. } if self.spec.reducers > 0 => self.map(split, attempt),
            Task::Map { number, split } => {
                let (said, written) = self.output(*number, &self.spec.mapper, attempt, self.feed_of(split));
                (said, written.map(|()| Vec::new()))
            }
            Task::Reduce { partition, runs } => {
                let (said, written) = self.reduce(*partition, runs, attempt);
                (said, written.map(|()| Vec::new()))
            }
        }
    }

    fn feed_of(&self, split: &Split) -> Feed {
        let (split, runtime) = (split.clone(), self.runtime.clone());
        Box::new(move |into| split.copy(into, runtime))
    }

    /// A mapper over a split; its lines as sorted runs.
    fn map(&self, split: &Split, attempt: &Attempt) -> (Said, Result<Vec<Run>>) {
        let mut sorter = Sorter::new(self.spec.reducers);
        let mut spills = Spills {
            world: &self.world,
            spec: &self.spec,
            progress: &self.progress,
            runtime: &self.runtime,
            attempt,
            runs: Vec::new(),
            said: Vec::new(),
        };
        let (limit, mut lines) = (spills.limit(), 0);
        let mut take = |line: &[u8]| {
            if !sorter.has_room(line.len(), limit) {
                spills.take(&mut sorter)?;
            }
            sorter.add(line);
            lines += 1;
            Ok(())
        };
        let (said, ended) = run_program(
            &self.spec.mapper,
            attempt,
            &self.progress,
            &self.runtime,
            self.feed_of(split),
            &mut take,
        );
        let ended = ended.and_then(|()| spills.take(&mut sorter));
        let of_combiner = Attempt { task: format!("{}-combine", attempt.task), ..attempt.clone() };
        self.keep(&of_combiner, Said { stderr: std::mem::take(&mut spills.said) });
        let runs = ended.map(|()| {
            Progress::add(&self.progress.map_output_lines, lines);
            spills.runs
        });
        (said, runs)
    }

    /// So few runs that a reducer can merge them.
    fn reduce_runs(&self, runs: Vec<Run>) -> Result<Vec<Run>> {
        let (disk, work) = (&*self.world.disk, &self.spec.work);
        let fewer = reduce_runs(runs, self.spec.reducers, disk, work);
        fewer.map_err(JobError::io(format!("merge runs in {}", work.display())))
    }

    /// A reducer over the lines of a partition.
    fn reduce(&self, partition: usize, runs: &Arc<Vec<Run>>, attempt: &Attempt) -> (Said, Result<()>) {
        let of_partition = Arc::clone(runs);
        let feed: Feed = Box::new(move |into| {
            let mut into = BufWriter::with_capacity(256 << 10, into);
            merge(&of_partition, partition, &mut |line| {
                into.write_all(line)?;
                into.write_all(b"\n")
            })?;
            into.flush()
        });
        if let Some(reducer) = &self.spec.reducer {
            return self.output(partition, reducer, attempt, feed);
        }
        let written = Part::new(self, partition).and_then(|mut part| {
            let merged = merge(runs, partition, &mut |line| part.add(line).map_err(std::io::Error::other));
            merged.map_err(JobError::io("write the output"))?;
            part.finish()
        });
        (Said::default(), written)
    }

    /// A program whose lines are a part of the output.
    fn output(&self, number: usize, program: &Program, attempt: &Attempt, feed: Feed) -> (Said, Result<()>) {
        let mut part = match Part::new(self, number) {
            Ok(part) => part,
            Err(error) => return (Said::default(), Err(error)),
        };
        let mut take = |line: &[u8]| part.add(line);
        let (said, ended) = run_program(program, attempt, &self.progress, &self.runtime, feed, &mut take);
        // What was written is forgotten unless the part is finished.
        (said, ended.and_then(|()| part.finish()))
    }
}

impl Task {
    fn attempt(&self, number: u32, timeout: Option<Duration>) -> Attempt {
        match self {
            Self::Map { number: split, split: of } => Attempt {
                task: format!("map-{split:05}"),
                number,
                partition: *split,
                input: Some(format!("{}/{}", of.location.shown(), of.object.name)),
                timeout,
            },
            Self::Reduce { partition, .. } => Attempt {
                task: format!("reduce-{partition:05}"),
                number,
                partition: *partition,
                input: None,
                timeout,
            },
        }
    }
}

/// A part of the output that is being written.
struct Part<'a> {
    job: &'a Job,
    writer: object_store::buffered::BufWriter,
    buffer: Vec<u8>,
    lines: u64,
}

impl<'a> Part<'a> {
    fn new(job: &'a Job, number: usize) -> Result<Self> {
        let writer = job.spec.output.writer(&format!("part-{number:05}"));
        Ok(Self { job, writer, buffer: Vec::new(), lines: 0 })
    }

    fn add(&mut self, line: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(line);
        self.buffer.push(b'\n');
        self.lines += 1;
        if self.buffer.len() >= OUTPUT_AT { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.buffer);
        let put = self.job.runtime.block_on(self.writer.put(bytes.into()));
        put.map_err(|error| JobError::io("write the output")(error.into()))
    }

    fn finish(mut self) -> Result<()> {
        self.flush()?;
        let ended = self.job.runtime.block_on(self.writer.shutdown());
        ended.map_err(JobError::io("write the output"))?;
        Progress::add(&self.job.progress.output_lines, self.lines);
        Ok(())
    }
}
