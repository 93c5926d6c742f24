//! The log on a simulated machine. `HEADWATER_SEEDS=from..to` runs other seeds than the usual ones.

use headwater_log::MemoryLog;
use headwater_simulation::recovery::Opener;
use headwater_simulation::run;
use headwater_simulation::seeds::{self, Story};

/// What a log acknowledges it keeps, once, in order, as wholes of groups, whatever strikes.
#[test]
fn the_log_keeps_its_promises() {
    seeds::each("the_log_keeps_its_promises", 0..200, |seed, story| {
        run::on_disk(seed, story);
    });
}

/// Without this a seed would be worth nothing.
#[test]
fn the_same_seed_gives_the_same_bytes() {
    seeds::each("the_same_seed_gives_the_same_bytes", 0..10, |seed, story| {
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
    seeds::each("a_log_in_memory_fits_the_model", 0..50, |seed, story| {
        let open: Opener = Box::new(|world| Ok(MemoryLog::new(world) as _));
        run::calm(seed, story, &open);
    });
}
