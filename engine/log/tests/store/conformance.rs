//! The suite that every log must pass.

use headwater_core::World;
use headwater_log::{DiskLog, DiskLogOptions, MemoryLog, conformance};

#[test]
fn memory() {
    for (name, case) in conformance::CASES {
        println!("{name}");
        case(&|| MemoryLog::new(World::real()));
    }
}

#[test]
fn disk() {
    for (name, case) in conformance::CASES {
        println!("{name}");
        let dir = tempfile::tempdir().unwrap();
        case(&|| DiskLog::open(World::real(), dir.path(), DiskLogOptions::default()).unwrap());
    }
}

/// Files so small that almost every commit starts another one, a queue that takes one group at a time, one open file.
#[test]
fn disk_with_everything_small() {
    let options =
        DiskLogOptions { segment_bytes: 4096, queue_bytes: 1, open_files: 1, ..DiskLogOptions::default() };
    for (name, case) in conformance::CASES {
        println!("{name}");
        let dir = tempfile::tempdir().unwrap();
        case(&|| DiskLog::open(World::real(), dir.path(), options.clone()).unwrap());
    }
}
