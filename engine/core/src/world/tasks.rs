//! Background work as turns: a task is a function that does a little and says what it wants next.
//!
//! On a real machine a task has a thread of its own, or is one of many that share a few ([`ThreadTasks`]). In a simulation one thread gives
//! turns to all tasks in an order drawn from the seed. Code that waits for a task to make progress must call [`Tasks::drive`] in its
//! loop, so that it also works where there is only one thread, or none left:
//!
//! ```text
//! loop {
//!     if let Some(result) = try_take() { return result }
//!     if !world.tasks.drive() { block until something changes }
//! }
//! ```

use std::sync::Arc;
use std::task::Wake;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::pool::{Pool, Seat};

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

    /// Starts one of many tasks, which share threads. A turn that waits for something must say so before, by [`Tasks::drive`] or
    /// [`Tasks::give_way`], or others wait with it.
    fn spawn_shared(&self, name: &str, turn: Box<dyn FnMut() -> Turn + Send>) -> Task {
        self.spawn(name, turn)
    }

    /// Gives one turn to some task on this thread, if tasks have no threads of their own.
    ///
    /// `false` says that they have: the caller should block instead. Called in a turn, it gives way.
    fn drive(&self) -> bool;

    /// Says that this turn is about to wait for something outside: others that share its thread have another from now on.
    fn give_way(&self) {}

    /// How many threads a computation may be spread over; 1 in a simulation.
    fn parallelism(&self) -> usize;

    /// How many threads the computation of this turn may be spread over as things are: 1 if other tasks want them.
    fn free_threads(&self) -> usize {
        self.parallelism()
    }
}

/// The state that a task's handle shares with whoever runs it.
#[derive(Default)]
pub(super) struct TaskControl {
    state: Mutex<ControlState>,
    changed: Condvar,
    /// Of a task that shares threads: who is told that it is woken.
    seat: Option<Seat>,
}

#[derive(Default, Clone, Copy)]
struct ControlState {
    woken: bool,
    stopping: bool,
    done: bool,
}

impl TaskControl {
    /// That of a task which shares threads.
    pub(super) fn seated(seat: Seat) -> Self {
        Self { seat: Some(seat), ..Self::default() }
    }

    /// Waits until the task has had its last turn, and what it owned is gone.
    pub(super) fn wait_finished(&self) {
        let mut state = self.state.lock();
        while !state.done {
            self.changed.wait(&mut state);
        }
    }

    /// Takes the wake-up, if there was one.
    pub(super) fn take_woken(&self) -> bool {
        std::mem::take(&mut self.state.lock().woken)
    }

    /// Whether there is a wake-up to take.
    pub(super) fn is_woken(&self) -> bool {
        self.state.lock().woken
    }

    /// Tells the task to stop after its current turn.
    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.changed.notify_all();
    }

    /// Whether the task was told to stop.
    pub(super) fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }

    /// Notes that the task has had its last turn.
    pub(super) fn finish(&self) {
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

/// Notes the end of a task when dropped, so that it is told also when a turn panics.
pub(super) struct Finish(pub(super) Arc<TaskControl>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// A running task. Dropping the handle stops the task and waits for its current turn to end.
pub struct Task {
    control: Arc<TaskControl>,
    join: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Task {
    /// A handle; `join` waits for the end of a task that was told to stop.
    pub(super) fn new(control: Arc<TaskControl>, join: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { control, join: Some(Box::new(join)) }
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
        self.control.state.lock().done
    }

    /// Stops the task after its current turn and waits for that, unless called from within that turn.
    pub fn stop(&mut self) {
        self.control.stop();
        if let Some(join) = self.join.take() {
            join();
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

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        Self::wake(&self);
    }
}

impl TaskWaker {
    /// Gives a waiting task a turn soon. Cheap, and never lost.
    pub fn wake(&self) {
        match &self.0.seat {
            Some(seat) => seat.wake(),
            None => {
                self.0.state.lock().woken = true;
                self.0.changed.notify_all();
            }
        }
    }
}

/// Tasks as threads: one each, or ([`Tasks::spawn_shared`]) as many as there are processors for all of them.
pub struct ThreadTasks {
    pool: Arc<Pool>,
}

impl ThreadTasks {
    /// Threads of this machine, none of which is started yet.
    pub fn new() -> Self {
        Self { pool: Arc::new(Pool::new(processors())) }
    }
}

impl Default for ThreadTasks {
    fn default() -> Self {
        Self::new()
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Starts a thread, if the system has one.
#[expect(clippy::disallowed_methods, reason = "the one place that starts threads")]
pub(super) fn start_thread(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body)
}

impl Tasks for ThreadTasks {
    fn spawn(&self, name: &str, turn: Box<dyn FnMut() -> Turn + Send>) -> Task {
        let control = Arc::new(TaskControl::default());
        let shared = Arc::clone(&control);
        let body = move || {
            // What the task owns goes before its end is told: a lock on a directory, say. Locals go in reverse order.
            let finish = Finish(shared);
            let mut turn = turn;
            while !finish.0.is_stopping() {
                match turn() {
                    Turn::Again => {}
                    Turn::Wait(at_most) => finish.0.wait(at_most),
                    Turn::Done => break,
                }
            }
        };
        let thread = start_thread(name, body)
            .unwrap_or_else(|error| panic!("the system starts no thread for {name}: {error}"));
        Task::new(control, move || {
            if thread.thread().id() != std::thread::current().id() {
                // A panic of the task was reported by the panic hook already; stopping goes on.
                let _ = thread.join();
            }
        })
    }

    fn spawn_shared(&self, _name: &str, turn: Box<dyn FnMut() -> Turn + Send>) -> Task {
        self.pool.spawn(turn)
    }

    fn drive(&self) -> bool {
        self.pool.give_way();
        false
    }

    fn give_way(&self) {
        self.pool.give_way();
    }

    fn parallelism(&self) -> usize {
        processors()
    }

    fn free_threads(&self) -> usize {
        self.pool.free_threads()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_waits_until_woken_and_stops() {
        let turns = Arc::new((Mutex::new(0), Condvar::new()));
        let shared = Arc::clone(&turns);
        let mut task = ThreadTasks::new().spawn(
            "counts",
            Box::new(move || {
                *shared.0.lock() += 1;
                shared.1.notify_all();
                Turn::Wait(None)
            }),
        );
        for expected in 1..4 {
            let mut count = turns.0.lock();
            while *count < expected {
                turns.1.wait(&mut count);
            }
            assert_eq!(*count, expected);
            drop(count);
            task.wake();
        }
        task.stop();
        assert!(task.is_done());
        assert_eq!(Arc::strong_count(&turns), 1, "what it owned is gone");
    }

    #[test]
    fn a_panic_in_a_turn_ends_the_task_and_frees_what_it_owned() {
        let owned = Arc::new(());
        let held = Arc::clone(&owned);
        let mut task = ThreadTasks::new().spawn(
            "broken",
            Box::new(move || {
                let _ = &held;
                panic!("as intended")
            }),
        );
        task.stop();
        assert!(task.is_done());
        assert_eq!(Arc::strong_count(&owned), 1);
    }
}
