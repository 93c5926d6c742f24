//! Files that end too early, or are missing.

use crate::sample::{Outcome, files, files_of_a_killed_log, newest_active, outcome, small};

#[test]
fn of_a_closed_log_a_cut_at_any_length_is_detected() {
    let sample = small(true);
    for file in files(&sample.image) {
        for len in 0..sample.image.files[&file].len() {
            let mut damaged = sample.image.clone();
            damaged.files.get_mut(&file).unwrap().truncate(len);
            let what = format!("{} cut at {len}", file.display());
            assert_ne!(outcome(&damaged, &sample, &what), Outcome::Shortened, "{what}");
        }
    }
}

/// After a crash nothing tells how long the newest file was.
#[test]
fn of_a_killed_log_a_cut_leaves_whole_groups() {
    let sample = small(false);
    let newest = newest_active(&sample.image);
    for file in files_of_a_killed_log(&sample.image) {
        for len in 0..sample.image.files[&file].len() {
            let mut damaged = sample.image.clone();
            damaged.files.get_mut(&file).unwrap().truncate(len);
            let what = format!("{} cut at {len}", file.display());
            assert!(outcome(&damaged, &sample, &what) != Outcome::Shortened || file == newest, "{what}");
        }
    }
}

#[test]
fn a_missing_file_is_detected() {
    for closed in [false, true] {
        let sample = small(closed);
        for file in files(&sample.image) {
            let mut damaged = sample.image.clone();
            damaged.files.remove(&file);
            let what = format!("without {}", file.display());
            // The copy says only what the catalog has lost.
            let is_copy = file.ends_with("catalog-copy.hwc");
            let expected = if is_copy { Outcome::Irrelevant } else { Outcome::Detected };
            assert_eq!(outcome(&damaged, &sample, &what), expected, "{what}");
        }
    }
}
