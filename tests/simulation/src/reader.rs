//! A reader: follows one shard, some of its columns, and checks every row.

use headwater_core::Sequence;
use headwater_log::{From, LogError, ReadSpec, Reader as LogReader};

use crate::model::{Complaint, Place};
use crate::rows;
use crate::scene::{Actor, Scene};

/// Follows a shard for a while, then another.
#[derive(Default)]
pub struct Reader {
    reading: Option<Reading>,
}

struct Reading {
    place: Place,
    projection: Vec<usize>,
    reader: Box<dyn LogReader>,
}

impl Reader {
    fn start(&mut self, scene: &mut Scene) -> Result<(), Complaint> {
        let Some(place) = scene.any_place() else { return Ok(()) };
        let mut spec = ReadSpec::all(place.0, place.1);
        let projection = [vec![0], vec![0, 1, 2], vec![0, 2]][scene.random.index(3)].clone();
        spec.projection = Some(projection.clone());
        if scene.random.chance(1, 3) {
            let known = scene.model.known_to(place);
            let first = scene.model.first(place);
            spec.from = From::Sequence(Sequence(first + scene.random.below(known - first + 1)));
        }
        match scene.log().read(spec) {
            Ok(reader) => self.reading = Some(Reading { place, projection, reader }),
            Err(LogError::Trimmed { oldest, .. }) => scene.model.first_is(place, oldest.0)?,
            Err(error) => scene.excuse("read", &error)?,
        }
        Ok(())
    }
}

impl Actor for Reader {
    fn act(&mut self, scene: &mut Scene) -> Result<(), Complaint> {
        let Some(reading) = &mut self.reading else { return self.start(scene) };
        for _ in 0..scene.random.below(6) {
            let before = reading.reader.position();
            match reading.reader.next() {
                Ok(Some(batch)) => {
                    let numbers = rows::check(&batch.rows, &reading.projection)?;
                    if numbers.is_empty() || batch.first < before {
                        return Err(format!(
                            "a reader at {before} got {} rows from {}",
                            numbers.len(),
                            batch.first
                        ));
                    }
                    if batch.first > before {
                        // Only at the start, and only if the oldest rows went meanwhile.
                        scene.model.first_is(reading.place, batch.first.0)?;
                    }
                    for (sequence, row) in (batch.first.0..).zip(numbers) {
                        // What a reader got before a trim it may still show.
                        if sequence >= scene.model.first(reading.place) {
                            scene.model.saw(reading.place, sequence, row)?;
                        }
                    }
                }
                Ok(None) => break,
                Err(LogError::NoStream { .. }) if !scene.model.has(reading.place) => {
                    self.reading = None;
                    return Ok(());
                }
                Err(LogError::Trimmed { oldest, .. }) => {
                    let place = reading.place;
                    self.reading = None;
                    return scene.model.first_is(place, oldest.0);
                }
                Err(error) => {
                    self.reading = None;
                    return scene.excuse("next", &error);
                }
            }
        }
        if scene.random.chance(1, 20) {
            self.reading = None;
        }
        Ok(())
    }

    fn closed(&mut self, _: &mut Scene) -> Result<(), Complaint> {
        Ok(())
    }

    fn crashed(&mut self) {
        self.reading = None;
    }

    fn finish(&mut self, _: &mut Scene) -> Result<(), Complaint> {
        self.reading = None;
        Ok(())
    }
}
