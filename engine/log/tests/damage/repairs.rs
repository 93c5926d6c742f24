//! What `verify` and `repair` make of one flipped bit.

use std::path::Path;

use headwater_core::world::sim::SimWorld;
use headwater_core::{ProducerId, Sequence, ShardId};
use headwater_log::{DiskLog, From, Log, LogError, LostRows, ReadSpec, repair, verify};

use crate::sample::{DATA, Outcome, Sample, files, newest_active, options, outcome, small};

/// Not every byte, since every byte of every kind of structure comes up all the same; a prime, so that bits vary too.
const STEP: usize = 23;

#[test]
fn what_is_detected_is_found_by_verify_and_made_good_by_repair() {
    let sample = small(true);
    let newest = newest_active(&sample.image);
    let (mut repaired, mut rows_lost) = (0, 0);
    for file in files(&sample.image).into_iter().filter(|file| !file.ends_with("catalog.hwc")) {
        for at in (0..sample.image.files[&file].len()).step_by(STEP) {
            let what = format!("{} byte {at}", file.display());
            let mut damaged = sample.image.clone();
            damaged.files.get_mut(&file).unwrap()[at] ^= 1 << (at % 8);
            let detected = outcome(&damaged, &sample, &what) == Outcome::Detected;

            let machine = SimWorld::new(9);
            machine.disk().restore(&damaged).unwrap();
            let verified = verify(&machine.world(), Path::new(DATA)).unwrap();
            assert!(!detected || !verified.damage.is_empty(), "{what}: not found by verify");
            assert_eq!(machine.disk().image(), damaged, "{what}: verify changes nothing");

            let lost = repair(&machine.world(), Path::new(DATA), false).unwrap().lost;
            assert!(detected || lost.is_empty(), "{what}: rows that could be read are given up: {lost:?}");
            check_rows(&machine, &sample, &lost, file == newest, &what);
            let left = verify(&machine.world(), Path::new(DATA)).unwrap().damage;
            assert!(left.is_empty(), "{what}: still damaged after repair: {left:?}");
            repaired += usize::from(detected);
            rows_lost += usize::from(!lost.is_empty());
        }
    }
    assert!(repaired > 100 && rows_lost > 100, "{repaired} repaired, {rows_lost} with loss of rows");
}

/// A footer is made anew from whichever of its two seals is whole; who appended what is kept nowhere else.
#[test]
fn a_footer_made_anew_still_knows_the_producers() {
    let sample = small(true);
    let file = Path::new(DATA).join("log/0/1.hws");
    let bytes = &sample.image.files[&file];
    let first_seal = bytes.windows(8).position(|window| window == b"HWSEALED").unwrap();
    let last_seal = bytes.len() - 64;
    assert!(first_seal < last_seal);
    for at in [first_seal, last_seal] {
        let machine = SimWorld::new(10);
        machine.disk().restore(&sample.image).unwrap();
        machine.disk().corrupt(&file, at as u64, 1).unwrap();
        assert_eq!(repair(&machine.world(), Path::new(DATA), false).unwrap().lost, []);
        // The newest file goes too, so that only the footer can tell.
        let mut image = machine.disk().image();
        image.files.remove(&newest_active(&image));
        machine.disk().restore(&image).unwrap();
        repair(&machine.world(), Path::new(DATA), false).unwrap();
        let log = DiskLog::open(machine.world(), Path::new(DATA), options()).unwrap();
        let stream = log.stream_named("weather").unwrap().id;
        let (producer, appended) = log.last_of(stream, ShardId(0), ProducerId(5)).unwrap().unwrap();
        assert_eq!((producer.sequence, appended.next), (3, Sequence(12)), "seal at {at}");
    }
}

/// Each row is read as it was written, or is an error and among those that repair said are lost.
fn check_rows(machine: &SimWorld, sample: &Sample, lost: &[LostRows], is_active: bool, what: &str) {
    let log = DiskLog::open(machine.world(), Path::new(DATA), options()).unwrap();
    for shard in &sample.shards {
        let stream = log.stream_named(shard.stream).unwrap().id;
        let bounds = log.bounds(stream).unwrap();
        for row in 0..shard.rows.num_rows() as u64 {
            let is_lost = lost.iter().any(|lost| {
                (lost.stream, lost.shard) == (stream, shard.shard) && lost.rows.contains(&Sequence(row))
            });
            let from = From::Sequence(Sequence(row));
            let spec =
                ReadSpec { from, until: Some(Sequence(row + 1)), ..ReadSpec::all(stream, shard.shard) };
            match log.read(spec).and_then(|mut reader| reader.next()) {
                Ok(Some(batch)) => {
                    assert!(!is_lost, "{what}: row {row} of {} is not lost", shard.stream);
                    assert_eq!(batch.rows, shard.rows.slice(row as usize, 1), "{what}: row {row}");
                }
                Err(LogError::Corrupt { .. } | LogError::Trimmed { .. }) if is_lost => {}
                // The last rows of a shard: with the header of their batch gone, nothing tells that they were.
                Ok(None) if is_active && row >= bounds[shard.shard.0 as usize].next.0 => {}
                other => panic!("{what}: row {row} of {}: {other:?}", shard.stream),
            }
        }
    }
}
