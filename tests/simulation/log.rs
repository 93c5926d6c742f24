//! The log on a simulated machine. `HEADWATER_SEEDS=from..to` runs other seeds than the usual ones.

use std::cell::RefCell;
use std::collections::BTreeSet;

use headwater_log::MemoryLog;
use headwater_simulation::recovery::Opener;
use headwater_simulation::run;
use headwater_simulation::seeds::{self, Story};

/// What the usual seeds must meet between them: a simulation in which nothing happens finds nothing.
const LANDMARKS: &[&str] = &[
    "the process ends: Power",
    "the process ends: Killed",
    "the process ends: Closed",
    "duplicate: true",
    "Err(WrongSequence",
    "Err(Fenced",
    "Err(NoStream",
    "append: the log takes no more appends",
    "open: ",
    "create a stream: ",
    ".hws",
    "trim (",
    "evolve (",
    "drop (",
    "set retention (",
    "No space left",
    "Input/output error",
];

/// What a log acknowledges it keeps, once, in order, as wholes of groups, whatever strikes.
#[test]
fn the_log_keeps_its_promises() {
    let met = RefCell::new(BTreeSet::<&str>::new());
    seeds::each("-p headwater-simulation the_log_keeps_its_promises", 0..200, |seed, story| {
        run::on_disk(seed, story);
        let lines = story.lines();
        met.borrow_mut()
            .extend(LANDMARKS.iter().filter(|mark| lines.iter().any(|line| line.contains(**mark))));
    });
    let missed: Vec<_> = LANDMARKS.iter().filter(|mark| !met.borrow().contains(**mark)).collect();
    assert!(!seeds::are_usual() || missed.is_empty(), "never met: {missed:?}");
}

/// Without this a seed would be worth nothing.
#[test]
fn the_same_seed_gives_the_same_bytes() {
    seeds::each("-p headwater-simulation the_same_seed_gives_the_same_bytes", 0..10, |seed, story| {
        let again = Story::default();
        let images = [run::on_disk(seed, story), run::on_disk(seed, &again)];
        let first = story.lines().into_iter().zip(again.lines()).find(|(one, two)| one != two);
        assert_eq!(first, None, "what happened differs");
        assert!(images[0] == images[1], "the bytes differ");
    });
}

/// The model and the actors agree with the simplest log there is.
#[test]
fn a_log_in_memory_fits_the_model() {
    seeds::each("-p headwater-simulation a_log_in_memory_fits_the_model", 0..50, |seed, story| {
        let open: Opener = Box::new(|world| Ok(MemoryLog::new(world) as _));
        run::calm(seed, story, &open);
    });
}
