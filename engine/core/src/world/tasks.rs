//! Background work as turns: a task is a function that does a little and says what it wants next.
//!
//! On a real machine each task has a thread ([`ThreadTasks`]). In a simulation one thread gives turns to all tasks in an
//! order drawn from the seed. Code that waits for a task to make progress must call [`Tasks::drive`] in its
//! loop, so that it also works where there is only one thread:
//!
//! ```text
//! loop {
//!     if let Some(result) = try_take() { return result }
//!     if !world.tasks.drive() { block until something changes }
//! }
//! ```

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// What a task wants after a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// Another turn at once.
    Again,
    /// Another turn when woken, or after this long at the latest.
    Wait(Option<Duration>),
    /// No more turns.
    Done,
}

/// Runs background work.
pub trait Tasks: Send + Sync {
    /// Starts a task. It gets turns until it says [`Turn::Done`] or its handle is stopped or dropped.
    fn spawn(&self, name: &str, turn: Box<dyn FnMut() -> Turn + Send>) -> Task;

    /// Gives one turn to some task on this thread, if tasks have no threads of their own.
    ///
    /// `false` says that they have: the caller should block instead.
    fn drive(&self) -> bool;

    /// How many threads a computation may be spread over; 1 in a simulation.
    fn parallelism(&self) -> usize;
}

/// The state that a task's handle shares with whoever runs it.
#[derive(Default)]
pub struct TaskControl {
    state: Mutex<ControlState>,
    changed: Condvar,
}

#[derive(Default, Clone, Copy)]
struct ControlState {
    woken: bool,
    stopping: bool,
    done: bool,
}

impl TaskControl {
    /// Takes the wake-up, if there was one.
    pub fn take_woken(&self) -> bool {
        std::mem::take(&mut self.state.lock().woken)
    }

    /// Whether the task was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }

    /// Whether the task has had its last turn.
    pub fn is_done(&self) -> bool {
        self.state.lock().done
    }

    /// Notes that the task has had its last turn.
    pub fn finish(&self) {
        self.state.lock().done = true;
        self.changed.notify_all();
    }

    fn wait(&self, at_most: Option<Duration>) {
        let mut state = self.state.lock();
        if !state.woken && !state.stopping {
            match at_most {
                Some(time) => {
                    self.changed.wait_for(&mut state, time);
                }
                None => self.changed.wait(&mut state),
            }
        }
        state.woken = false;
    }
}

/// A running task. Dropping the handle stops the task and waits for its current turn to end.
pub struct Task {
    control: Arc<TaskControl>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Task {
    /// A handle for a task that somebody else gives turns to.
    pub fn new(control: Arc<TaskControl>) -> Self {
        Self { control, thread: None }
    }

    /// Gives a waiting task a turn soon. Cheap, and never lost.
    pub fn wake(&self) {
        self.waker().wake();
    }

    /// A handle that can only wake.
    pub fn waker(&self) -> TaskWaker {
        TaskWaker(Arc::clone(&self.control))
    }

    /// Whether the task has ended.
    pub fn is_done(&self) -> bool {
        self.control.is_done()
    }

    /// Stops the task after its current turn and waits for that.
    pub fn stop(&mut self) {
        self.control.state.lock().stopping = true;
        self.control.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic of the task was reported by the panic hook already; stopping goes on.
            let _ = thread.join();
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Wakes one task.
#[derive(Clone)]
pub struct TaskWaker(Arc<TaskControl>);

impl TaskWaker {
    /// Gives a waiting task a turn soon. Cheap, and never lost.
    pub fn wake(&self) {
        self.0.state.lock().woken = true;
        self.0.changed.notify_all();
    }
}

/// Tasks as threads, one each.
pub struct ThreadTasks;

impl Tasks for ThreadTasks {
    #[expect(clippy::disallowed_methods, reason = "the one place that starts threads")]
    fn spawn(&self, name: &str, mut turn: Box<dyn FnMut() -> Turn + Send>) -> Task {
        let control = Arc::new(TaskControl::default());
        let shared = Arc::clone(&control);
        let body = move || {
            while !shared.is_stopping() {
                match turn() {
                    Turn::Again => {}
                    Turn::Wait(at_most) => shared.wait(at_most),
                    Turn::Done => break,
                }
            }
            // What the task owns goes before its end is told: a lock on a directory, say.
            drop(turn);
            shared.finish();
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(body)
            .unwrap_or_else(|error| panic!("the system starts no thread for {name}: {error}"));
        Task { control, thread: Some(thread) }
    }

    fn drive(&self) -> bool {
        false
    }

    fn parallelism(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}
