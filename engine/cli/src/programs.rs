//! MapReduce jobs of SQL: the programs are those that the operator's configuration names.

use std::path::PathBuf;
use std::sync::Arc;

use headwater_connectors::Allowed;
use headwater_core::World;
use headwater_mapreduce::{JobError, JobSpec, Phase, Program, Progress};
use headwater_objects::Location;
use headwater_plan::MapReduceDef;
use headwater_run::{JobState, JobStatus, RunningPrograms};
use parking_lot::Mutex;

/// A job that runs, or has.
struct Running {
    def: Arc<MapReduceDef>,
    progress: Arc<Progress>,
    /// Why it failed.
    failure: Arc<Mutex<Option<String>>>,
}

/// Starts a job; what it may not run, or cannot, is said at once.
pub(crate) fn start(
    world: &World,
    allowed: &Allowed,
    def: &Arc<MapReduceDef>,
    work: PathBuf,
    again: bool,
    failed: Box<dyn FnOnce(String) + Send>,
) -> Result<Box<dyn RunningPrograms>, String> {
    let runtime = tokio::runtime::Handle::try_current().map_err(|error| error.to_string())?;
    let spec = spec_of(world, allowed, def, work, again)?;
    if !again && !runtime.block_on(spec.output.is_empty()).map_err(|error| error.to_string())? {
        return Err(format!("{} is not empty: take it away, or name another output", spec.output.shown()));
    }
    let (progress, failure) = (Arc::new(Progress::default()), Arc::new(Mutex::new(None)));
    let running =
        Running { def: Arc::clone(def), progress: Arc::clone(&progress), failure: Arc::clone(&failure) };
    let (world, name) = (world.clone(), def.name.clone());
    runtime.spawn(async move {
        match headwater_mapreduce::run(&world, spec, progress).await {
            // Whoever stopped it knows.
            Ok(_) | Err(JobError::Stopped) => {}
            Err(error) => {
                tracing::error!(job = name, %error, "the job has failed");
                *failure.lock() = Some(error.to_string());
                failed(error.to_string());
            }
        }
    });
    Ok(Box::new(running))
}

fn spec_of(
    world: &World,
    allowed: &Allowed,
    def: &MapReduceDef,
    work: PathBuf,
    again: bool,
) -> Result<JobSpec, String> {
    let program = |name: &str| {
        let words = allowed.program(name)?;
        Program::new(words.to_vec()).map_err(|error| error.to_string())
    };
    let location = |url: &String| Location::parse(url).map_err(|error| error.to_string());
    let inputs = def.inputs.iter().map(location).collect::<Result<_, _>>()?;
    let slots = world.tasks.parallelism();
    let mut spec = JobSpec::new(program(&def.mapper)?, inputs, location(&def.output)?, work, slots);
    spec.reducer = def.reducer.as_deref().map(program).transpose()?;
    spec.combiner = def.combiner.as_deref().map(program).transpose()?;
    spec.reducers = def.reducers.unwrap_or(slots);
    spec.attempts = def.attempts;
    if let Some(timeout) = def.timeout {
        spec.timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
    }
    spec.again = again;
    if let Some(memory) = def.memory {
        spec.memory = usize::try_from(memory).unwrap_or(usize::MAX);
    }
    Ok(spec)
}

impl RunningPrograms for Running {
    fn status(&self) -> JobStatus {
        let counters = self.progress.counters();
        let error = self.failure.lock().clone();
        let state = match (&error, counters.phase) {
            (Some(_), _) => JobState::Failed,
            (None, Phase::Done) => JobState::Finished,
            _ => JobState::Running,
        };
        JobStatus {
            state,
            done: Some(counters.done()),
            error,
            // Lines between the mappers and the reducers, and tasks that are done: the steps of such a job.
            rows_in: counters.map_output_lines,
            rows_out: counters.output_lines,
            lag: counters.maps + counters.reduces - counters.maps_done - counters.reduces_done,
            steps: counters.maps_done + counters.reduces_done,
            ..JobStatus::new(self.def.name.clone(), self.def.output.clone())
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.progress.stop();
    }
}
