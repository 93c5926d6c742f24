//! The suite that every log must pass.

use headwater_core::World;
use headwater_log::{MemoryLog, conformance};

#[test]
fn memory() {
    for (name, case) in conformance::CASES {
        println!("{name}");
        case(&|| MemoryLog::new(World::real()));
    }
}
