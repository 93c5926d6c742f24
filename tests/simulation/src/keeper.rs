//! A keeper: creates, changes and drops streams, trims shards and sets fencing tokens.

use std::time::Duration;

use headwater_core::{Sequence, ShardId, StreamName};
use headwater_log::{Compression, Durability, Result as LogResult, Retention, StreamInfo, StreamSpec};

use crate::model::Complaint;
use crate::rows;
use crate::scene::{Actor, Scene};

/// The most streams at a time.
const STREAMS_MAX: usize = 5;

/// Looks after streams.
#[derive(Default)]
pub struct Keeper {
    created: u32,
}

impl Keeper {
    fn create(&mut self, scene: &mut Scene) -> Result<(), Complaint> {
        let random = &scene.random;
        self.created += 1;
        let name = StreamName::new(&format!("stream_{}", self.created)).map_err(|error| error.to_string())?;
        let mut spec = StreamSpec::new(name, rows::schema(0));
        spec.shards = 1 + random.below(3) as u32;
        spec.durability =
            [Durability::Disk, Durability::Disk, Durability::Disk, Durability::Process, Durability::Memory]
                [random.index(5)];
        spec.compression = [Compression::None, Compression::Lz4, Compression::Zstd][random.index(3)];
        spec.event_time = Some("at".to_owned());
        if random.chance(1, 6) {
            spec.retention = Retention { age: Some(Duration::from_secs(120)), bytes: Some(20_000) };
        }
        scene.story.note(format!("create {} {:?} of {} shards", spec.name, spec.durability, spec.shards));
        match scene.log().create_stream(spec.clone()) {
            Ok(info) => {
                adopt(scene, &info);
                Ok(())
            }
            Err(error) => {
                scene.uncertain.insert(spec.name.to_string());
                scene.excuse("create a stream", &error)
            }
        }
    }

    fn change(&mut self, scene: &mut Scene) -> Result<(), Complaint> {
        let Some(place) = scene.any_place() else { return Ok(()) };
        let (stream, shard) = place;
        let log = scene.log();
        let info = log.stream(stream).map_err(|error| format!("stream {stream} is gone: {error}"))?;
        let (what, done): (&str, LogResult<()>) = match scene.random.below(12) {
            0 => {
                let dropped = log.drop_stream(stream);
                if dropped.is_ok() {
                    scene.forget(stream);
                } else {
                    scene.uncertain.insert(info.spec.name.to_string());
                }
                ("drop", dropped)
            }
            1 if rows::added_columns(&info.spec.schema) < 3 => {
                let wider = rows::schema(rows::added_columns(&info.spec.schema) + 1);
                ("evolve", log.evolve(stream, wider).map(|info| drop(scene.streams.insert(stream, info))))
            }
            2 => {
                scene.model.set_expires(stream, true);
                let retention = Retention { age: Some(Duration::from_secs(30)), bytes: None };
                ("set retention", log.set_retention(stream, retention))
            }
            3..6 => {
                let token = scene.random.chance(2, 3).then(|| scene.random.below(1_000));
                scene.fences.remove(&place);
                let set = log.set_fence(stream, shard, token);
                if set.is_ok() {
                    scene.fences.insert(place, token);
                }
                ("set a fence", set)
            }
            _ => {
                let (first, known) = (scene.model.first(place), scene.model.known_to(place));
                let before = first + scene.random.below(known - first + 1);
                scene.model.trim_asked(place, before);
                ("trim", log.trim(stream, shard, Sequence(before)))
            }
        };
        scene.story.note(format!("{what} {place:?}: {done:?}"));
        match done {
            Ok(()) => Ok(()),
            Err(error) => scene.excuse(what, &error),
        }
    }

    /// Asks what anybody may ask at any time.
    fn look(&self, scene: &mut Scene) -> Result<(), Complaint> {
        let Some((stream, _)) = scene.any_place() else { return Ok(()) };
        let log = scene.log();
        let bounds = match log.bounds(stream) {
            Ok(bounds) => bounds,
            Err(error) => return scene.excuse("bounds", &error),
        };
        for (shard, bounds) in (0..).zip(&bounds) {
            let place = (stream, ShardId(shard));
            scene.model.first_is(place, bounds.first.0)?;
            if bounds.next.0 < scene.model.known_to(place) {
                return Err(format!("{place:?} ends at {} and had rows beyond", bounds.next));
            }
        }
        log.segments(stream).map_err(|error| format!("the segments of stream {stream}: {error}"))?;
        log.metrics();
        Ok(())
    }
}

/// Tells the model of a stream that is there.
pub fn adopt(scene: &mut Scene, info: &StreamInfo) {
    let spec = &info.spec;
    scene.model.add_stream(info.id, spec.shards, spec.durability, spec.retention != Retention::default());
    for shard in 0..spec.shards {
        scene.fences.insert((info.id, ShardId(shard)), None);
    }
    scene.streams.insert(info.id, info.clone());
}

impl Actor for Keeper {
    fn act(&mut self, scene: &mut Scene) -> Result<(), Complaint> {
        if scene.failing {
            return self.look(scene);
        }
        let streams = scene.log().streams().len();
        match scene.random.below(10) {
            _ if streams == 0 => self.create(scene),
            0..2 if streams < STREAMS_MAX => self.create(scene),
            0..5 => self.change(scene),
            _ => self.look(scene),
        }
    }

    fn closed(&mut self, _: &mut Scene) -> Result<(), Complaint> {
        Ok(())
    }

    fn crashed(&mut self) {}

    fn finish(&mut self, scene: &mut Scene) -> Result<(), Complaint> {
        self.look(scene)
    }
}
