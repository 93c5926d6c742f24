//! Tests of the pool, on real threads.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

fn pool(places: usize) -> Arc<Pool> {
    Arc::new(Pool::patient(places, Duration::from_secs(3_600)))
}

/// Waits until something is so, without a place in any pool.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let clock = RealClock::new();
    while !is_so() {
        assert!(clock.monotonic() < Duration::from_secs(60), "{what} never came");
        std::thread::yield_now();
    }
}

#[test]
fn everybody_has_a_turn_before_anybody_has_another() {
    let pool = pool(1);
    let notes: Arc<Mutex<Vec<usize>>> = Arc::default();
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    // Nobody has a turn before all are there.
    let _first = pool.spawn(Box::new(move || {
        until("the gate", || gate.load(Ordering::SeqCst));
        Turn::Done
    }));
    let tasks: Vec<Task> = (0..5)
        .map(|nth| {
            let notes = Arc::clone(&notes);
            let mut left = 3;
            pool.spawn(Box::new(move || {
                notes.lock().push(nth);
                left -= 1;
                if left == 0 { Turn::Done } else { Turn::Again }
            }))
        })
        .collect();
    open.store(true, Ordering::SeqCst);
    until("the end", || tasks.iter().all(Task::is_done));
    assert_eq!(*notes.lock(), [0, 1, 2, 3, 4].repeat(3));
}

#[test]
fn a_thousand_tasks_share_the_threads() {
    let pool = pool(2);
    let threads: Arc<Mutex<HashSet<std::thread::ThreadId>>> = Arc::default();
    let turns = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<Task> = (0..1_000)
        .map(|_| {
            let (threads, turns) = (Arc::clone(&threads), Arc::clone(&turns));
            pool.spawn(Box::new(move || {
                threads.lock().insert(std::thread::current().id());
                turns.fetch_add(1, Ordering::SeqCst);
                Turn::Wait(None)
            }))
        })
        .collect();
    until("the first turn of each", || turns.load(Ordering::SeqCst) == 1_000);
    tasks.iter().for_each(Task::wake);
    until("the second", || turns.load(Ordering::SeqCst) == 2_000);
    drop(tasks);
    assert!(threads.lock().len() <= 2, "{} threads", threads.lock().len());
}

#[test]
fn turns_that_wait_for_one_another_all_end() {
    let pool = pool(1);
    let reached = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<Task> = (0..20)
        .map(|nth| {
            let (reached, own) = (Arc::clone(&reached), Arc::clone(&pool));
            // Each waits, within its turn, for the one that comes after it.
            pool.spawn(Box::new(move || {
                own.give_way();
                until("the next one", || reached.load(Ordering::SeqCst) >= 19 - nth);
                reached.fetch_add(1, Ordering::SeqCst);
                Turn::Done
            }))
        })
        .collect();
    until("the end of all", || tasks.iter().all(Task::is_done));
    assert_eq!(reached.load(Ordering::SeqCst), 20);
    until("rest", || pool.shared.state.lock().placed == 0);
    assert!(pool.shared.state.lock().resting <= 1 + SPARE, "threads that are not needed have ended");
}

#[test]
fn a_turn_that_takes_long_does_not_hold_up_others() {
    let pool = Arc::new(Pool::patient(1, Duration::from_millis(1)));
    let other_ran = Arc::new(AtomicBool::new(false));
    let (seen, begun) = (Arc::clone(&other_ran), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&begun);
    let long = pool.spawn(Box::new(move || {
        told.store(true, Ordering::SeqCst);
        until("the other", || seen.load(Ordering::SeqCst));
        Turn::Done
    }));
    until("its beginning", || begun.load(Ordering::SeqCst));
    let other = pool.spawn(Box::new(move || {
        other_ran.store(true, Ordering::SeqCst);
        Turn::Done
    }));
    until("the end of both", || long.is_done() && other.is_done());
    until("rest", || pool.shared.state.lock().placed == 0);
    assert_eq!(pool.shared.state.lock().long, 0);
}

#[test]
fn one_that_began_after_the_queue_did_is_found_out_as_well() {
    let pool = Arc::new(Pool::patient(1, Duration::from_millis(300)));
    let (open, other_ran) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (gate, seen) = (Arc::clone(&open), Arc::clone(&other_ran));
    let short = pool.spawn(Box::new(move || {
        until("the gate", || gate.load(Ordering::SeqCst));
        Turn::Done
    }));
    until("its beginning", || pool.shared.state.lock().turns == 1);
    // Queued behind the first, so that it is looked for long turns; it is itself the long one, and began after that was said.
    let long = pool.spawn(Box::new(move || {
        until("the other", || seen.load(Ordering::SeqCst));
        Turn::Done
    }));
    open.store(true, Ordering::SeqCst);
    until("the end of the first", || short.is_done());
    until("the beginning of the long one", || pool.shared.state.lock().turns == 2);
    let other = pool.spawn(Box::new(move || {
        other_ran.store(true, Ordering::SeqCst);
        Turn::Done
    }));
    until("the end of both", || long.is_done() && other.is_done());
}

#[test]
fn whoever_waits_gets_a_turn_when_its_time_has_come() {
    let pool = pool(1);
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&turns);
    let short = pool.spawn(Box::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Turn::Wait(Some(Duration::from_millis(1)))
    }));
    let late = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&late);
    let long = pool.spawn(Box::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Turn::Wait(Some(Duration::from_secs(3_600)))
    }));
    until("the first turn of the one that waits long", || late.load(Ordering::SeqCst) == 1);
    let before = turns.load(Ordering::SeqCst);
    until("five turns more", || turns.load(Ordering::SeqCst) >= before + 5);
    assert_eq!(late.load(Ordering::SeqCst), 1);
    long.wake();
    until("the turn of the one woken", || late.load(Ordering::SeqCst) == 2);
    drop((short, long));
    let state = pool.shared.state.lock();
    assert!(state.deadlines.is_empty() && state.tasks.is_empty());
}

#[test]
fn a_wake_during_a_turn_is_not_lost() {
    let pool = pool(1);
    let (turns, own) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None::<Task>)));
    let (counted, handle) = (Arc::clone(&turns), Arc::clone(&own));
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let task = pool.spawn(Box::new(move || {
        until("the gate", || gate.load(Ordering::SeqCst));
        if counted.fetch_add(1, Ordering::SeqCst) == 0 {
            handle.lock().as_ref().unwrap().wake();
        }
        Turn::Wait(None)
    }));
    *own.lock() = Some(task);
    open.store(true, Ordering::SeqCst);
    until("the second turn", || turns.load(Ordering::SeqCst) == 2);
    drop(own.lock().take());
    assert_eq!(turns.load(Ordering::SeqCst), 2);
}

#[test]
fn stopping_frees_what_the_task_owned_wherever_it_is() {
    let pool = pool(1);
    let owned = Arc::new(());
    let owner = |turn: Turn| {
        let held = Arc::clone(&owned);
        pool.spawn(Box::new(move || {
            let _ = &held;
            turn
        }))
    };
    let (mut waits, mut busy) = (owner(Turn::Wait(None)), owner(Turn::Again));
    until("rest", || pool.shared.state.lock().turns > 10);
    waits.stop();
    busy.stop();
    assert!(waits.is_done() && busy.is_done());
    assert_eq!(Arc::strong_count(&owned), 1);
    // One that stops itself ends after that turn.
    let own: Arc<Mutex<Option<Task>>> = Arc::default();
    let (mine, held) = (Arc::clone(&own), Arc::clone(&owned));
    let task = pool.spawn(Box::new(move || {
        let _ = &held;
        let task = mine.lock().take();
        if task.is_some() { Turn::Again } else { Turn::Wait(Some(Duration::from_millis(1))) }
    }));
    *own.lock() = Some(task);
    until("its end", || Arc::strong_count(&owned) == 1);
}

#[test]
fn a_panic_ends_one_task_and_no_other() {
    let pool = pool(1);
    let owned = Arc::new(());
    let held = Arc::clone(&owned);
    let broken = pool.spawn(Box::new(move || {
        let _ = &held;
        panic!("as intended")
    }));
    until("its end", || broken.is_done());
    assert_eq!(Arc::strong_count(&owned), 1);
    let other = pool.spawn(Box::new(|| Turn::Done));
    until("the end of the other", || other.is_done());
}

#[test]
fn threads_end_with_the_pool() {
    let pool = pool(2);
    let task = pool.spawn(Box::new(|| Turn::Wait(Some(Duration::from_millis(1)))));
    until("some turns", || pool.shared.state.lock().turns > 3);
    let shared = Arc::downgrade(&pool.shared);
    drop((task, pool));
    until("the end of the threads", || shared.strong_count() == 0);
}

#[test]
fn a_turn_knows_whether_other_threads_are_free() {
    let pool = pool(2);
    assert_eq!(pool.free_threads(), 2);
    let (own, seen) = (Arc::clone(&pool), Arc::new(AtomicUsize::new(0)));
    let told = Arc::clone(&seen);
    let alone = pool.spawn(Box::new(move || {
        told.store(own.free_threads(), Ordering::SeqCst);
        Turn::Done
    }));
    until("its end", || alone.is_done());
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}
