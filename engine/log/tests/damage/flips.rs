//! One flipped bit.

use crate::sample::{Outcome, files, files_of_a_killed_log, newest_active, outcome, small};

#[test]
fn the_sample_has_sealed_and_active_files() {
    for closed in [false, true] {
        let sample = small(closed);
        let names: Vec<String> = files(&sample.image).iter().map(|path| path.display().to_string()).collect();
        let count = |suffix: &str| names.iter().filter(|name| name.ends_with(suffix)).count();
        assert!(count(".hws") >= 4 && count(".hwl") >= 1 && count(".hwc") == 2, "{names:?}");
        assert_eq!(outcome(&sample.image, &sample, "undamaged"), Outcome::Irrelevant);
    }
}

/// A log that was closed has a witness for every byte: whatever matters is detected.
#[test]
fn of_a_closed_log_a_flipped_bit_is_detected_or_irrelevant() {
    let sample = small(true);
    let (mut detected, mut irrelevant) = (0, 0);
    for file in files(&sample.image) {
        for at in 0..sample.image.files[&file].len() {
            let mut damaged = sample.image.clone();
            damaged.files.get_mut(&file).unwrap()[at] ^= 1 << (at % 8);
            match outcome(&damaged, &sample, &format!("{} byte {at}", file.display())) {
                Outcome::Detected => detected += 1,
                Outcome::Irrelevant => irrelevant += 1,
                Outcome::Shortened => panic!("{} byte {at}: rows are gone without a word", file.display()),
            }
        }
    }
    assert!(detected > 1000 && irrelevant > 0, "{detected} detected, {irrelevant} irrelevant");
}

/// After a crash the newest commit of the active file may have been torn: it has no witness yet.
#[test]
fn of_a_log_that_was_not_closed_only_the_newest_commit_can_be_taken_for_torn() {
    let sample = small(false);
    let newest = newest_active(&sample.image);
    for file in files_of_a_killed_log(&sample.image) {
        for at in 0..sample.image.files[&file].len() {
            let mut damaged = sample.image.clone();
            damaged.files.get_mut(&file).unwrap()[at] ^= 1 << (at % 8);
            let what = format!("{} byte {at}", file.display());
            let outcome = outcome(&damaged, &sample, &what);
            assert!(outcome != Outcome::Shortened || file == newest, "{what}: rows are gone without a word");
        }
    }
}
