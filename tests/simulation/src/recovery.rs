//! Opens the log after an end of the process, and compares all of it with the model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use headwater_core::{Sequence, World};
use headwater_log::{DiskLog, DiskLogOptions, Durability, Log, LogError, ReadSpec, verify};

use crate::keeper;
use crate::model::{Complaint, Contents, Place};
use crate::rows;
use crate::scene::{Actor, End, Scene};
use crate::weather::Weather;

/// Where the log is.
const DIR: &str = "/data";

/// Makes a log on a machine.
pub type Opener = Box<dyn Fn(World) -> Result<Arc<dyn Log>, LogError>>;

/// Opens a log on disk.
pub fn disk_log(options: DiskLogOptions) -> Opener {
    Box::new(move |world| {
        DiskLog::open(world, Path::new(DIR), options.clone()).map(|log| log as Arc<dyn Log>)
    })
}

/// Ends the process in some way, opens the log again and checks it.
pub fn restart(
    scene: &mut Scene,
    actors: &mut [Box<dyn Actor>],
    open: &Opener,
    end: End,
) -> Result<(), Complaint> {
    scene.story.note(format!("the process ends: {end:?}"));
    let mut survives = end.survives(scene.sync_failed);
    if end == End::Closed {
        match scene.log().close() {
            Ok(()) => actors.iter_mut().try_for_each(|actor| actor.closed(scene))?,
            Err(error) => {
                scene.excuse("close", &error)?;
                survives = Durability::Disk;
            }
        }
    }
    stop(scene, actors, end);
    if scene.random.chance(2, 3) {
        Weather::clear(scene);
        verify_closed(scene)?;
    }
    if reopen(scene, open)? {
        survives = Durability::Disk;
    }
    check(scene, survives)
}

fn stop(scene: &mut Scene, actors: &mut [Box<dyn Actor>], end: End) {
    match end {
        End::Power | End::Closed => scene.machine.power_loss(),
        End::Killed => scene.machine.process_crash(),
    }
    actors.iter_mut().for_each(|actor| actor.crashed());
    scene.open = None;
    scene.in_flight = 0;
    let image = scene.machine.disk().image();
    let files = image.files.iter().map(|(path, bytes)| format!("{} {}", path.display(), bytes.len()));
    scene.story.note(format!("on the disk: {}", files.collect::<Vec<_>>().join(", ")));
}

/// Whatever a crash leaves behind is not damage: `verify` finds none.
fn verify_closed(scene: &Scene) -> Result<(), Complaint> {
    let verified =
        verify(&scene.machine.world(), Path::new(DIR)).map_err(|error| format!("verify: {error}"))?;
    match verified.damage.first() {
        None => Ok(()),
        Some(damage) => Err(format!("verify finds damage where nothing was damaged: {damage:?}")),
    }
}

/// Opens the log. As long as faults strike it may fail, and must not do harm. Tells whether the power went meanwhile.
pub fn reopen(scene: &mut Scene, open: &Opener) -> Result<bool, Complaint> {
    let mut power_went = false;
    loop {
        scene.failing = false;
        scene.struck_before = scene.machine.disk().faults().struck();
        match open(scene.machine.world()) {
            Ok(log) => {
                scene.open = Some(log);
                // What is checked next must be readable.
                Weather::clear(scene);
                return Ok(power_went);
            }
            Err(error) => {
                scene.excuse("open", &error)?;
                Weather::clear(scene);
                match scene.random.below(3) {
                    0 => {
                        scene.machine.power_loss();
                        power_went = true;
                    }
                    1 => scene.machine.process_crash(),
                    // The same process tries again: nothing may be left locked.
                    _ => {}
                }
            }
        }
    }
}

/// Compares the log, which was just opened, with the model.
fn check(scene: &mut Scene, survives: Durability) -> Result<(), Complaint> {
    reconcile_streams(scene)?;
    let mut found = BTreeMap::new();
    for place in scene.model.places() {
        found.insert(place, contents(scene, place)?);
    }
    let rows: usize = found.values().map(|contents| contents.rows.len()).sum();
    scene.story.note(format!("opened again with {rows} rows in {} shards", found.len()));
    scene.sync_failed = false;
    scene.model.recovered(survives, &found)
}

/// Which streams there are. Those of which nobody was told may be there or not.
fn reconcile_streams(scene: &mut Scene) -> Result<(), Complaint> {
    let there = scene.log().streams();
    let ids: BTreeSet<_> = there.iter().map(|info| info.id).collect();
    let gone: Vec<_> = scene.streams.values().filter(|info| !ids.contains(&info.id)).cloned().collect();
    for info in gone {
        if !scene.uncertain.contains(info.spec.name.as_str()) {
            return Err(format!("stream {} is gone", info.spec.name));
        }
        scene.forget(info.id);
    }
    for info in there {
        match scene.streams.get(&info.id) {
            Some(known) => {
                let columns = (known.spec.schema.fields().len(), info.spec.schema.fields().len());
                if known.spec.name != info.spec.name
                    || columns.0 > columns.1
                    || known.schema_id > info.schema_id
                {
                    return Err(format!("{known:?} became {info:?}"));
                }
                scene.streams.insert(info.id, (*info).clone());
            }
            None if scene.uncertain.contains(info.spec.name.as_str()) => keeper::adopt(scene, &info),
            None => return Err(format!("stream {} appeared", info.spec.name)),
        }
    }
    scene.uncertain.clear();
    Ok(())
}

/// All of a shard.
fn contents(scene: &Scene, place: Place) -> Result<Contents, Complaint> {
    let fails = |error: LogError| format!("{place:?} cannot be read after opening: {error}");
    let log = scene.log();
    let bounds = log.bounds(place.0).map_err(fails)?[place.1.0 as usize];
    let columns = log.stream(place.0).map_err(fails)?.spec.schema.fields().len();
    let mut spec = ReadSpec::all(place.0, place.1);
    spec.until = Some(bounds.next);
    let mut reader = log.read(spec).map_err(fails)?;
    let mut contents = Contents { first: bounds.first.0, rows: Vec::new() };
    while let Some(batch) = reader.next().map_err(fails)? {
        let expected = Sequence(contents.first + contents.rows.len() as u64);
        if batch.first != expected {
            return Err(format!("{place:?}: after {expected} comes {}", batch.first));
        }
        contents.rows.extend(rows::check(&batch.rows, &(0..columns).collect::<Vec<_>>())?);
    }
    let end = contents.first + contents.rows.len() as u64;
    if end != bounds.next.0 {
        return Err(format!("{place:?} ends at {end}, its bounds say {bounds:?}"));
    }
    Ok(contents)
}
