//! Tasks that share threads: as many turns at once as there are processors, however many tasks there are.
//!
//! ```text
//!               woken, or its time has come
//!   waiting ───────────────────────────────► queued ────► in a turn ──► done
//!      ▲                                        ▲             │
//!      │                                        └─── Again ───┤
//!      └─────────────────── Wait ─────────────────────────────┘
//! ```
//!
//! Turns are given in the order of the queue: nobody has another one before all who wanted one have had theirs. So jobs over one
//! stream stay together, and what one of them had decoded is at hand for the others, in the processor's cache, too.
//!
//! A thread that takes turns has one of the **places**. A turn that is about to wait for something gives its place away
//! ([`Pool::give_way`]): another thread takes it, which is started if none rests. When the turn is over its thread takes a place
//! if one is free, or rests. So turns may wait for other turns, as if each task had a thread. A turn that computes for longer than
//! [`LONG`] while others queue loses its place, too, so that they need not wait for its end; but no more of those at a time than there are
//! places, since more threads would not make them any faster.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::tasks::{Finish, Task, TaskControl, Turn, start_thread};
use super::{Clock, RealClock};

/// So many threads rest, beside as many as there are places: starting one costs more than keeping it.
const SPARE: usize = 8;

/// After how long a turn that others wait for is a long one.
const LONG: Duration = Duration::from_millis(10);

type Body = Box<dyn FnMut() -> Turn + Send>;

/// Threads and the tasks that share them. Dropped with the last task and the last handle; then the threads end.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

/// A task's way back to its pool.
pub(super) struct Seat {
    pool: Arc<Pool>,
    id: u64,
}

struct Shared {
    state: Mutex<State>,
    /// Told when there is something to do for a thread that rests.
    work: Condvar,
    /// Told when the keeper of time has to look earlier than it would.
    time: Condvar,
    clock: RealClock,
    places: usize,
    long_after: Duration,
}

#[derive(Default)]
struct State {
    tasks: HashMap<u64, Entry>,
    next: u64,
    /// Tasks that want a turn. One that was stopped meanwhile may still be in it.
    queue: VecDeque<u64>,
    /// Of tasks that wait, when they want a turn at the latest.
    deadlines: BTreeSet<(Duration, u64)>,
    /// Threads that have a place.
    placed: usize,
    /// Threads that wait for something to do.
    resting: usize,
    /// How many turns have begun.
    turns: u64,
    /// How many turns have lost their place because they take long.
    long: usize,
    /// When to look for long turns; none are looked for while nobody waits for their place.
    look: Option<Look>,
    /// The system had no thread when one was wanted last.
    is_short: bool,
    keeper: Keeper,
    closed: bool,
}

struct Entry {
    control: Arc<TaskControl>,
    body: Option<Body>,
    phase: Phase,
}

enum Phase {
    Queued,
    Waiting(Option<Duration>),
    InTurn { number: u64, woken: bool, place: Place },
}

/// Where the place of a turn's thread is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Held,
    /// Given away: the turn waits.
    Given,
    /// Lost: the turn takes long.
    Lost,
}

/// At a time, the turns up to this one are long, if they are not over.
#[derive(Clone, Copy)]
struct Look {
    at: Duration,
    turns: u64,
}

/// The thread that wakes tasks whose time has come, and looks for long turns.
#[derive(Default)]
enum Keeper {
    #[default]
    NotStarted,
    /// Until then, or until it is told.
    Sleeps(Option<Duration>),
}

thread_local! {
    /// The pool and the task whose turn this thread is in.
    static TURN: Cell<(usize, u64)> = const { Cell::new((0, 0)) };
}

/// As long as this is there, the thread is in a turn of a task.
struct Within {
    before: (usize, u64),
}

impl Within {
    fn turn_of(shared: &Arc<Shared>, id: u64) -> Self {
        Self { before: TURN.replace((Arc::as_ptr(shared) as usize, id)) }
    }

    /// The task of this pool whose turn this thread is in.
    fn current(shared: &Arc<Shared>) -> Option<u64> {
        let (pool, id) = TURN.get();
        (pool == Arc::as_ptr(shared) as usize).then_some(id)
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        TURN.set(self.before);
    }
}

impl Seat {
    /// Gives the task a turn soon.
    pub(super) fn wake(&self) {
        let shared = &self.pool.shared;
        let mut state = shared.state.lock();
        let Some(entry) = state.tasks.get_mut(&self.id) else { return };
        match &mut entry.phase {
            Phase::Queued => {}
            Phase::InTurn { woken, .. } => *woken = true,
            Phase::Waiting(deadline) => {
                let deadline = *deadline;
                entry.phase = Phase::Queued;
                if let Some(at) = deadline {
                    state.deadlines.remove(&(at, self.id));
                }
                state.queue.push_back(self.id);
                shared.hand_out(&mut state);
            }
        }
    }
}

impl Pool {
    /// A pool of so many turns at once. Threads are started when they are needed.
    pub(super) fn new(places: usize) -> Self {
        Self::patient(places, LONG)
    }

    fn patient(places: usize, long_after: Duration) -> Self {
        let shared = Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            time: Condvar::new(),
            clock: RealClock::new(),
            places: places.max(1),
            long_after,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Starts a task.
    pub(super) fn spawn(self: &Arc<Self>, turn: Body) -> Task {
        let mut state = self.shared.state.lock();
        let id = state.next;
        state.next += 1;
        let control = Arc::new(TaskControl::seated(Seat { pool: Arc::clone(self), id }));
        let entry = Entry { control: Arc::clone(&control), body: Some(turn), phase: Phase::Queued };
        state.tasks.insert(id, entry);
        state.queue.push_back(id);
        self.shared.hand_out(&mut state);
        drop(state);
        let (pool, own) = (Arc::clone(self), Arc::clone(&control));
        Task::new(control, move || pool.end(id, &own))
    }

    /// Gives away the place of the turn that this thread is in, if it is in one: it is about to wait.
    pub(super) fn give_way(&self) {
        let Some(id) = Within::current(&self.shared) else { return };
        let mut state = self.shared.state.lock();
        let Some(Entry { phase: Phase::InTurn { place, .. }, .. }) = state.tasks.get_mut(&id) else { return };
        match std::mem::replace(place, Place::Given) {
            Place::Held => {
                state.placed -= 1;
                self.shared.hand_out(&mut state);
            }
            Place::Lost => state.long -= 1,
            Place::Given => {}
        }
    }

    /// How many threads have nothing to do, this one included.
    pub(super) fn free_threads(&self) -> usize {
        if Within::current(&self.shared).is_none() {
            return self.shared.places;
        }
        let state = self.shared.state.lock();
        let free = if state.queue.is_empty() { self.shared.places.saturating_sub(state.placed) } else { 0 };
        free + 1
    }

    /// Waits for the end of a task that was told to stop, unless this is its own turn.
    fn end(&self, id: u64, control: &TaskControl) {
        if Within::current(&self.shared) == Some(id) {
            return;
        }
        let mut state = self.shared.state.lock();
        if state.tasks.get(&id).is_none_or(|entry| matches!(entry.phase, Phase::InTurn { .. })) {
            drop(state);
            self.give_way();
            return control.wait_finished();
        }
        let Some(Entry { control, body, phase }) = state.tasks.remove(&id) else { return };
        if let Phase::Waiting(Some(at)) = phase {
            state.deadlines.remove(&(at, id));
        }
        drop(state);
        // What a task owns goes before its end is told. It may own its own handle.
        let _within = Within::turn_of(&self.shared, id);
        let finish = Finish(control);
        drop(body);
        drop(finish);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Every task has a seat, and every seat has the pool: there are no tasks any more.
        self.shared.state.lock().closed = true;
        self.shared.work.notify_all();
        self.shared.time.notify_all();
    }
}

impl Shared {
    /// Sees to it that a thread takes what is queued, if there is a place for one. That thread sees to the rest of the queue. If there is
    /// none now, the keeper of time comes here again.
    fn hand_out(self: &Arc<Self>, state: &mut State) {
        if state.queue.is_empty() {
            return;
        }
        if state.placed < self.places {
            if state.resting > 0 {
                self.work.notify_one();
                return;
            }
            let shared = Arc::clone(self);
            if state.has_started(start_thread("turns", move || shared.take_turns())) {
                state.placed += 1;
                return;
            }
        }
        if state.look.is_none() {
            let at = self.clock.monotonic() + self.long_after;
            state.look = Some(Look { at, turns: state.turns });
            self.see_to(at, state);
        }
    }

    /// What a thread with a place does.
    fn take_turns(self: Arc<Self>) {
        let mut state = self.state.lock();
        loop {
            let Some(id) = state.queue.pop_front() else {
                state.placed -= 1;
                if self.rest(&mut state) {
                    continue;
                }
                return;
            };
            let Some(body) = state.begin_turn(id) else { continue };
            self.hand_out(&mut state);
            drop(state);
            let place;
            (state, place) = self.turn(id, body);
            if place != Place::Held {
                if state.placed < self.places {
                    state.placed += 1;
                } else if !self.rest(&mut state) {
                    return;
                }
            }
        }
    }

    /// Waits, without a place, until there is something to do and a place for it. `false`: this thread is not needed any more.
    fn rest(&self, state: &mut MutexGuard<'_, State>) -> bool {
        if state.resting >= self.places + SPARE {
            return false;
        }
        state.resting += 1;
        while !state.closed && (state.queue.is_empty() || state.placed >= self.places) {
            self.work.wait(state);
        }
        state.resting -= 1;
        if state.closed {
            return false;
        }
        state.placed += 1;
        true
    }

    /// Gives a turn to a task, and puts it where it belongs then. The answer is where the thread's place is.
    fn turn(self: &Arc<Self>, id: u64, mut body: Body) -> (MutexGuard<'_, State>, Place) {
        let within = Within::turn_of(self, id);
        // A panic was reported by the panic hook already; it ends the task, and no other.
        let wanted = catch_unwind(AssertUnwindSafe(&mut body)).unwrap_or(Turn::Done);
        let mut state = self.state.lock();
        let (place, ended) = state.end_turn(id, body, wanted, self.clock.monotonic());
        if let Some((control, body)) = ended {
            drop(state);
            let finish = Finish(control);
            let _ = catch_unwind(AssertUnwindSafe(move || drop(body)));
            drop(finish);
            state = self.state.lock();
        } else if let Some((at, _)) = state.deadlines.first().copied() {
            self.see_to(at, &mut state);
        }
        drop(within);
        (state, place)
    }

    /// Sees to it that the keeper of time looks then, or earlier.
    fn see_to(self: &Arc<Self>, at: Duration, state: &mut State) {
        match &mut state.keeper {
            Keeper::Sleeps(Some(until)) if *until <= at => (),
            Keeper::Sleeps(until) => {
                *until = Some(at);
                self.time.notify_one();
            }
            Keeper::NotStarted => {
                let shared = Arc::clone(self);
                if state.has_started(start_thread("turns-time", move || shared.keep_time())) {
                    state.keeper = Keeper::Sleeps(Some(at));
                }
            }
        }
    }

    fn keep_time(self: Arc<Self>) {
        let mut state = self.state.lock();
        while !state.closed {
            let now = self.clock.monotonic();
            state.queue_due(now);
            // Once in any case: whoever is queued still is looked after again.
            for _ in 0..state.take_places(now, self.places).max(1) {
                self.hand_out(&mut state);
            }
            let deadline = state.deadlines.first().map(|(at, _)| *at);
            let next = [deadline, state.look.map(|look| look.at)].into_iter().flatten().min();
            state.keeper = Keeper::Sleeps(next);
            match next {
                Some(at) => {
                    self.time.wait_for(&mut state, at.saturating_sub(now));
                }
                None => self.time.wait(&mut state),
            }
        }
    }
}

impl State {
    /// Whether there is a thread. Whoever wakes a task, the committer of a log for instance, must not fail because there is none: those
    /// there are go on, and it is tried again.
    fn has_started(&mut self, started: io::Result<JoinHandle<()>>) -> bool {
        if let Err(error) = &started
            && !self.is_short
        {
            tracing::error!(%error, "the system starts no thread for the turns of tasks; they go on with those there are");
        }
        self.is_short = started.is_err();
        !self.is_short
    }

    /// What the turn of a queued task is made with; `None`: it was stopped.
    fn begin_turn(&mut self, id: u64) -> Option<Body> {
        let entry = self.tasks.get_mut(&id)?;
        self.turns += 1;
        entry.phase = Phase::InTurn { number: self.turns, woken: false, place: Place::Held };
        entry.body.take()
    }

    /// Puts a task where it belongs after a turn. The answer is where the thread's place is, and, if it was the last turn, what is left.
    fn end_turn(
        &mut self,
        id: u64,
        body: Body,
        wanted: Turn,
        now: Duration,
    ) -> (Place, Option<(Arc<TaskControl>, Body)>) {
        let entry = self.tasks.get_mut(&id).expect("a task that is in a turn stays until it is over");
        let Phase::InTurn { woken, place, .. } = entry.phase else { unreachable!("its turn ends once") };
        self.long -= usize::from(place == Place::Lost);
        match wanted {
            Turn::Again | Turn::Wait(_) if entry.control.is_stopping() => {}
            Turn::Done => {}
            Turn::Wait(at_most) if !woken => {
                let deadline = at_most.map(|time| now.saturating_add(time));
                (entry.phase, entry.body) = (Phase::Waiting(deadline), Some(body));
                self.deadlines.extend(deadline.map(|at| (at, id)));
                return (place, None);
            }
            Turn::Again | Turn::Wait(_) => {
                (entry.phase, entry.body) = (Phase::Queued, Some(body));
                self.queue.push_back(id);
                return (place, None);
            }
        }
        let entry = self.tasks.remove(&id);
        (place, entry.map(|entry| (entry.control, body)))
    }

    /// Queues the tasks whose time has come.
    fn queue_due(&mut self, now: Duration) {
        let later = self.deadlines.split_off(&(now.saturating_add(Duration::from_nanos(1)), 0));
        let due = std::mem::replace(&mut self.deadlines, later);
        for (_, id) in due {
            if let Some(entry) = self.tasks.get_mut(&id) {
                entry.phase = Phase::Queued;
                self.queue.push_back(id);
            }
        }
    }

    /// Takes the places of long turns, if it is time to look for some. The answer is how many.
    fn take_places(&mut self, now: Duration, places: usize) -> usize {
        let Some(look) = self.look.filter(|look| look.at <= now) else { return 0 };
        self.look = None;
        let mut taken = 0;
        for entry in self.tasks.values_mut().filter(|_| !self.queue.is_empty()) {
            if let Phase::InTurn { number, place, .. } = &mut entry.phase
                && *place == Place::Held
                && *number <= look.turns
                && self.long < places
            {
                *place = Place::Lost;
                self.long += 1;
                self.placed -= 1;
                taken += 1;
            }
        }
        taken
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
