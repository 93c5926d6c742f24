//! Bytes in the wrong place, and bytes of something else.

use headwater_core::world::sim::SimRandom;

use crate::sample::{Outcome, files, outcome, small};

/// The alignment of all that a file holds, and the size of what a disk writes at once.
const UNITS: [usize; 2] = [64, 512];

#[test]
fn blocks_that_changed_places_are_detected_or_irrelevant() {
    let sample = small(true);
    let random = SimRandom::new(3);
    for file in files(&sample.image) {
        for unit in UNITS {
            for _ in 0..60 {
                let mut damaged = sample.image.clone();
                let bytes = damaged.files.get_mut(&file).unwrap();
                let units = bytes.len() / unit;
                if units < 2 {
                    continue;
                }
                let (one, other) = (random.index(units), random.index(units));
                for at in 0..unit {
                    bytes.swap(one * unit + at, other * unit + at);
                }
                let what = format!("{}: {unit} bytes at {one} and {other} changed places", file.display());
                assert_ne!(outcome(&damaged, &sample, &what), Outcome::Shortened, "{what}");
            }
        }
    }
}

#[test]
fn garbled_stretches_are_detected_or_irrelevant() {
    let sample = small(true);
    let random = SimRandom::new(4);
    for file in files(&sample.image) {
        for round in 0..120 {
            let mut damaged = sample.image.clone();
            let bytes = damaged.files.get_mut(&file).unwrap();
            let start = random.index(bytes.len());
            let len = random.index(bytes.len() - start) + 1;
            for byte in &mut bytes[start..start + len] {
                *byte = if round % 2 == 0 { 0 } else { random.below(256) as u8 };
            }
            let what = format!("{}: {len} bytes from {start} garbled", file.display());
            assert_ne!(outcome(&damaged, &sample, &what), Outcome::Shortened, "{what}");
        }
    }
}

#[test]
fn files_that_changed_places_are_detected() {
    let sample = small(true);
    let files = files(&sample.image);
    for one in &files {
        for other in files.iter().filter(|other| *other > one) {
            let mut damaged = sample.image.clone();
            let (first, second) = (sample.image.files[one].clone(), sample.image.files[other].clone());
            damaged.files.insert(one.clone(), second);
            damaged.files.insert(other.clone(), first);
            let what = format!("{} and {} changed places", one.display(), other.display());
            assert_eq!(outcome(&damaged, &sample, &what), Outcome::Detected, "{what}");
        }
    }
}
