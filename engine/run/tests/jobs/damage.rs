//! Damage that the log finds by itself is seen in a table.

use std::time::Duration;

use headwater_log::DiskLogOptions;

use crate::machine::Machine;

const ALL: &str = "SELECT stream, file, \"offset\" > 0, reason FROM system.damage";

#[test]
fn what_the_scrubber_finds_is_in_a_table() {
    let mut machine = Machine::new(3);
    machine.log_options =
        DiskLogOptions { segment_age: Duration::from_secs(10), ..DiskLogOptions::default() };
    machine.restart(1);
    machine.create_readings(1);
    machine.append(&[("a", 1_000, 1), ("a", 2_000, 2)]);
    machine.run_for(120);
    assert!(machine.query(ALL).is_empty());
    let stream = machine.log().stream_named("readings").unwrap().id;
    let sealed = machine.log().segments(stream).unwrap().remove(0);
    assert!(sealed.sealed, "{sealed:?}");
    let path = format!("/data/log/{}", sealed.file);
    // The body of the first batch comes after its header, which says how long it is.
    let image = machine.sim.disk().image();
    let bytes = &image.files[std::path::Path::new(&path)];
    let body = 64 + u64::from(bytes[64 + 16]) + 256 * u64::from(bytes[64 + 17]);
    machine.sim.disk().corrupt(path.as_ref(), body, 1).unwrap();
    machine.run_for(120);
    let found = machine.query(ALL);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(&format!("readings {path} true ")), "{found:?}");
    assert_eq!(machine.log().metrics().damaged, 1);
}
