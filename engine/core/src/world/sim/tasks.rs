//! Tasks that take turns on one thread, in an order drawn from a seed.
//!
//! ```text
//!             wake, or deadline passed
//!   waiting ───────────────────────────► runnable
//!      ▲                                    │ drawn
//!      │ Wait                               ▼
//!      └──────────────────────────────── in a turn ──► done
//!                                           │ ▲
//!                                           └─┘ may drive the others meanwhile
//! ```
//!
//! When nobody is runnable, time jumps to the earliest deadline. When nobody ever will be, that is a bug of the program
//! under test, and [`SimTasks::drive`](Tasks::drive) panics with the names of those who wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::{SimClock, SimRandom};
use crate::world::tasks::{Finish, TaskControl};
use crate::world::{Clock, Task, Tasks, Turn};

/// The longest that one turn takes, in simulated time. A turn takes some, so that a busy task cannot hold up the clock.
const TURN_MICROS_MAX: u64 = 20;

/// The tasks of a simulated machine.
pub struct SimTasks {
    clock: Arc<SimClock>,
    random: SimRandom,
    shared: Arc<Mutex<TaskTable>>,
    /// Over how many threads a turn is told that it may be spread.
    free_threads: AtomicUsize,
}

#[derive(Default)]
struct TaskTable {
    next: u64,
    tasks: BTreeMap<u64, SimTask>,
}

struct SimTask {
    name: String,
    control: Arc<TaskControl>,
    state: State,
}

enum State {
    Runnable(Body),
    Waiting { body: Body, deadline: Option<Duration> },
    InTurn,
}

type Body = Box<dyn FnMut() -> Turn + Send>;

impl SimTask {
    fn is_runnable(&self, now: Duration) -> bool {
        match &self.state {
            State::Runnable(_) => true,
            State::Waiting { deadline, .. } => {
                self.control.is_woken() || deadline.is_some_and(|at| at <= now)
            }
            State::InTurn => false,
        }
    }

    fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Waiting { deadline, .. } => deadline,
            State::Runnable(_) | State::InTurn => None,
        }
    }

    fn describe(&self) -> String {
        let doing = match &self.state {
            State::Runnable(_) => "runnable",
            State::Waiting { .. } => "waiting",
            State::InTurn => "in a turn",
        };
        format!("{} ({doing})", self.name)
    }
}

impl SimTasks {
    /// No tasks yet.
    pub fn new(clock: Arc<SimClock>, random: SimRandom) -> Self {
        Self { clock, random, shared: Arc::default(), free_threads: AtomicUsize::new(1) }
    }

    /// Tells turns from now on that they may be spread over so many threads: real ones, which a turn waits for.
    pub fn set_free_threads(&self, threads: usize) {
        self.free_threads.store(threads, Ordering::Relaxed);
    }

    /// Gives a turn to a task that can use one now; `false` if there is none. Does not let time jump.
    pub fn turn(&self) -> bool {
        let now = self.clock.monotonic();
        let drawn = {
            let table = self.shared.lock();
            let runnable: Vec<u64> =
                table.tasks.iter().filter(|(_, task)| task.is_runnable(now)).map(|(&id, _)| id).collect();
            if runnable.is_empty() {
                return false;
            }
            runnable[self.random.index(runnable.len())]
        };
        self.clock.advance(Duration::from_micros(self.random.below(TURN_MICROS_MAX + 1)));
        self.give_turn(drawn);
        true
    }

    /// Gives turns until nobody can use one without time passing.
    pub fn settle(&self) {
        while self.turn() {}
    }

    /// Drops every task without another turn, as the end of the process does. One that is in a turn is dropped after it.
    pub fn crash(&self) {
        let tasks = std::mem::take(&mut self.shared.lock().tasks);
        for (_, task) in tasks {
            task.control.stop();
            let finish = Finish(Arc::clone(&task.control));
            drop(task);
            drop(finish);
        }
    }

    fn give_turn(&self, id: u64) {
        let control = Arc::clone(&self.shared.lock().tasks[&id].control);
        // Made first and so dropped last: what a task owns goes before its end is told, also when its turn panics.
        let mut ending = Ending { shared: Arc::clone(&self.shared), id, control, goes_on: false };
        let mut body = ending.begin();
        let state = match body() {
            Turn::Again => State::Runnable(body),
            Turn::Wait(at_most) => {
                let deadline = at_most.map(|time| self.clock.monotonic().saturating_add(time));
                State::Waiting { body, deadline }
            }
            Turn::Done => return,
        };
        ending.go_on(state);
    }

    /// Lets time jump to the earliest deadline; `false` if there is none.
    fn jump(&self) -> bool {
        let earliest = self.shared.lock().tasks.values().filter_map(SimTask::deadline).min();
        let Some(deadline) = earliest else { return false };
        self.clock.advance(deadline.saturating_sub(self.clock.monotonic()));
        true
    }
}

/// Takes a task out of the table when dropped, unless it goes on.
struct Ending {
    shared: Arc<Mutex<TaskTable>>,
    id: u64,
    control: Arc<TaskControl>,
    goes_on: bool,
}

impl Ending {
    /// Takes what is to be run from the table.
    fn begin(&self) -> Body {
        self.control.take_woken();
        let mut table = self.shared.lock();
        let task = table.tasks.get_mut(&self.id).expect("a drawn task is in the table");
        match std::mem::replace(&mut task.state, State::InTurn) {
            State::Runnable(body) | State::Waiting { body, .. } => body,
            State::InTurn => unreachable!("a task in a turn is not drawn"),
        }
    }

    /// Puts it back, unless the task was stopped during its turn.
    fn go_on(&mut self, state: State) {
        if !self.control.is_stopping() {
            let mut table = self.shared.lock();
            table.tasks.get_mut(&self.id).expect("a task leaves the table when it ends").state = state;
            self.goes_on = true;
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.goes_on {
            self.shared.lock().tasks.remove(&self.id);
            self.control.finish();
        }
    }
}

impl Tasks for SimTasks {
    fn spawn(&self, name: &str, turn: Body) -> Task {
        let control = Arc::new(TaskControl::default());
        let mut table = self.shared.lock();
        let id = table.next;
        table.next += 1;
        let task =
            SimTask { name: name.to_owned(), control: Arc::clone(&control), state: State::Runnable(turn) };
        table.tasks.insert(id, task);
        let shared = Arc::clone(&self.shared);
        Task::new(Arc::clone(&control), move || {
            let mut table = shared.lock();
            // One that is in a turn ends after it.
            if table.tasks.get(&id).is_some_and(|task| !matches!(task.state, State::InTurn)) {
                let task = table.tasks.remove(&id);
                drop(table);
                drop(task);
                control.finish();
            }
        })
    }

    fn drive(&self) -> bool {
        while !self.turn() {
            if !self.jump() {
                let names: Vec<String> = self.shared.lock().tasks.values().map(SimTask::describe).collect();
                panic!("deadlock: somebody waits, and no task will ever run again: [{}]", names.join(", "));
            }
        }
        true
    }

    fn parallelism(&self) -> usize {
        1
    }

    fn free_threads(&self) -> usize {
        self.free_threads.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::world::TaskWaker;

    fn tasks(seed: u64) -> (Arc<SimClock>, Arc<SimTasks>) {
        let clock = Arc::new(SimClock::new());
        let tasks = Arc::new(SimTasks::new(Arc::clone(&clock), SimRandom::new(seed)));
        (clock, tasks)
    }

    /// Spawns tasks that note their name and say what they want next.
    fn noting(
        tasks: &SimTasks,
        notes: &Arc<Mutex<Vec<&'static str>>>,
        name: &'static str,
        turn: Turn,
    ) -> Task {
        let notes = Arc::clone(notes);
        tasks.spawn(
            name,
            Box::new(move || {
                notes.lock().push(name);
                turn
            }),
        )
    }

    fn order(seed: u64) -> Vec<&'static str> {
        let (_, tasks) = tasks(seed);
        let notes = Arc::default();
        let _a = noting(&tasks, &notes, "a", Turn::Again);
        let _b = noting(&tasks, &notes, "b", Turn::Again);
        for _ in 0..50 {
            assert!(tasks.drive());
        }
        std::mem::take(&mut notes.lock())
    }

    #[test]
    fn the_seed_decides_the_order() {
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        assert!(order(1).contains(&"a") && order(1).contains(&"b"));
    }

    #[test]
    fn time_jumps_when_all_wait_and_not_before() {
        let (clock, tasks) = tasks(1);
        let notes = Arc::default();
        let _slow = noting(&tasks, &notes, "slow", Turn::Wait(Some(Duration::from_secs(60))));
        let _fast = noting(&tasks, &notes, "fast", Turn::Wait(Some(Duration::from_secs(25))));
        tasks.settle();
        assert!(clock.monotonic() < Duration::from_secs(1), "{:?}", clock.monotonic());
        notes.lock().clear();
        for _ in 0..4 {
            tasks.drive();
        }
        assert_eq!(*notes.lock(), ["fast", "fast", "slow", "fast"]);
        assert!(clock.monotonic() >= Duration::from_secs(75));
    }

    #[test]
    fn a_task_is_woken_from_within_another_also_before_it_waits() {
        let (_, tasks) = tasks(3);
        let notes = Arc::default();
        let sleeper = noting(&tasks, &notes, "sleeper", Turn::Wait(None));
        let waker: TaskWaker = sleeper.waker();
        waker.wake();
        tasks.settle();
        assert_eq!(*notes.lock(), ["sleeper"], "a wake-up before the turn is spent on it");
        let _other = tasks.spawn(
            "other",
            Box::new(move || {
                waker.wake();
                Turn::Done
            }),
        );
        tasks.settle();
        assert_eq!(*notes.lock(), ["sleeper", "sleeper"]);
    }

    #[test]
    fn a_turn_may_drive_the_others() {
        let (_, tasks) = tasks(4);
        let notes: Arc<Mutex<Vec<&str>>> = Arc::default();
        let _inner = noting(&tasks, &notes, "inner", Turn::Again);
        let outer = tasks.spawn("outer", {
            let (tasks, notes) = (Arc::clone(&tasks), Arc::clone(&notes));
            Box::new(move || {
                while notes.lock().len() < 3 {
                    tasks.drive();
                }
                Turn::Done
            })
        });
        while !outer.is_done() {
            tasks.drive();
        }
        assert!(notes.lock().len() >= 3);
    }

    #[test]
    fn a_deadlock_is_told_with_names() {
        let (_, tasks) = tasks(5);
        let notes = Arc::default();
        let _stuck = noting(&tasks, &notes, "stuck", Turn::Wait(None));
        tasks.settle();
        let panic = catch_unwind(AssertUnwindSafe(|| tasks.drive())).unwrap_err();
        let said = panic.downcast_ref::<String>().unwrap();
        assert!(said.starts_with("deadlock: ") && said.contains("stuck (waiting)"), "{said}");
    }

    #[test]
    fn stopping_drops_what_the_task_owns_at_once() {
        let (_, tasks) = tasks(6);
        let owned = Arc::new(());
        let held = Arc::clone(&owned);
        let mut task = tasks.spawn(
            "owner",
            Box::new(move || {
                let _ = &held;
                Turn::Wait(None)
            }),
        );
        tasks.settle();
        assert_eq!(Arc::strong_count(&owned), 2);
        task.stop();
        assert_eq!(Arc::strong_count(&owned), 1);
        assert!(task.is_done());
    }

    #[test]
    fn a_task_stopped_in_its_turn_ends_after_it() {
        let (_, tasks) = tasks(7);
        let own: Arc<Mutex<Option<Task>>> = Arc::default();
        let turns = Arc::new(Mutex::new(0));
        let task = tasks.spawn("suicidal", {
            let (own, turns) = (Arc::clone(&own), Arc::clone(&turns));
            Box::new(move || {
                *turns.lock() += 1;
                drop(own.lock().take());
                Turn::Again
            })
        });
        *own.lock() = Some(task);
        tasks.settle();
        assert_eq!(*turns.lock(), 1);
    }

    #[test]
    fn a_panic_propagates_and_ends_the_task() {
        let (_, tasks) = tasks(8);
        let task = tasks.spawn("broken", Box::new(|| panic!("as intended")));
        assert!(catch_unwind(AssertUnwindSafe(|| tasks.drive())).is_err());
        assert!(task.is_done());
        assert!(!tasks.turn());
    }

    #[test]
    fn a_crash_drops_all_without_another_turn() {
        let (_, tasks) = tasks(9);
        let notes = Arc::default();
        let task = noting(&tasks, &notes, "a", Turn::Again);
        tasks.crash();
        assert!(task.is_done());
        assert!(!tasks.turn());
        assert!(notes.lock().is_empty());
    }
}
