//! One run from start to end.

use std::time::Duration;

use headwater_core::world::sim::{DiskImage, SimRandom};
use headwater_log::DiskLogOptions;

use crate::keeper::Keeper;
use crate::model::Complaint;
use crate::producer::Producer;
use crate::reader::Reader;
use crate::recovery::{Opener, disk_log, reopen, restart};
use crate::scene::{Actor, End, Scene};
use crate::seeds::Story;
use crate::weather::Weather;

/// Runs a log on disk through everything that the seed holds; what is left on the disk.
pub fn on_disk(seed: u64, story: &Story) -> DiskImage {
    let mut scene = Scene::new(seed, story);
    let weather = Weather::draw(&scene.random);
    let options = draw_options(&scene.random);
    story.note(format!("{weather:?}, {options:?}"));
    let open = disk_log(options);
    let mut actors = draw_actors(&scene.random);
    must(play(&mut scene, &mut actors, &open, weather));
    must(end(&mut scene, &mut actors, &open));
    scene.machine.disk().image()
}

/// Runs a log that nothing strikes.
pub fn calm(seed: u64, story: &Story, open: &Opener) {
    let mut scene = Scene::new(seed, story);
    let mut actors = draw_actors(&scene.random);
    must(play(&mut scene, &mut actors, open, Weather::CALM));
    must(actors.iter_mut().try_for_each(|actor| actor.finish(&mut scene)));
}

fn must(result: Result<(), Complaint>) {
    if let Err(complaint) = result {
        panic!("{complaint}");
    }
}

/// Small limits, so that a short run meets them.
fn draw_options(random: &SimRandom) -> DiskLogOptions {
    DiskLogOptions {
        segment_bytes: [4 << 10, 32 << 10, 256 << 10][random.index(3)],
        segment_age: Duration::from_secs(60),
        queue_bytes: [1 << 10, 1 << 20][random.index(2)],
        scrub_bytes_per_second: [0, 100 << 10][random.index(2)],
        retention_interval: Duration::from_secs(10),
        producers_remembered: 4_096,
        open_files: [1, 256][random.index(2)],
        decoded_bytes: 1 << 20,
        maintains: true,
    }
}

fn draw_actors(random: &SimRandom) -> Vec<Box<dyn Actor>> {
    let mut actors: Vec<Box<dyn Actor>> = vec![Box::new(Keeper::default())];
    for id in 0..=random.below(3) {
        actors.push(Box::new(Producer::new(id)));
    }
    for _ in 0..=random.below(2) {
        actors.push(Box::new(Reader::default()));
    }
    actors
}

fn play(
    scene: &mut Scene,
    actors: &mut [Box<dyn Actor>],
    open: &Opener,
    weather: Weather,
) -> Result<(), Complaint> {
    reopen(scene, open)?;
    for _ in 0..100 + scene.random.below(300) {
        if scene.random.chance(2, 3) {
            let actor = scene.random.index(actors.len());
            actors[actor].act(scene)?;
        } else {
            scene.machine.tasks().turn();
        }
        weather.strike(scene);
        // A log that fails is left to its actors for a moment, and then started again.
        let ends = if scene.failing { 100 } else { weather.ends };
        if scene.random.chance(ends, 1_000) {
            let end = End::draw(&scene.random);
            restart(scene, actors, open, end)?;
        }
    }
    Ok(())
}

/// After the last weather everything must come to an end, survive a loss of power, and close.
fn end(scene: &mut Scene, actors: &mut [Box<dyn Actor>], open: &Opener) -> Result<(), Complaint> {
    if scene.failing || scene.has_struck() {
        restart(scene, actors, open, End::Killed)?;
    }
    Weather::clear(scene);
    actors.iter_mut().try_for_each(|actor| actor.finish(scene))?;
    restart(scene, actors, open, End::Power)?;
    restart(scene, actors, open, End::Closed)?;
    scene.log().close().map_err(|error| format!("closing at last: {error}"))
}
