//! A job or a trigger whose rows come back to it may go on for ever, and whoever makes it is told by which way they do.

use crate::machine::Machine;

/// What is said about coming back, if anything.
fn way(machine: &Machine, sql: &str) -> Option<String> {
    let notes = machine.notes(sql);
    let note = notes.into_iter().find(|note| note.contains("comes back"))?;
    Some(note.split_once('(').unwrap().1.split_once(')').unwrap().0.to_owned())
}

#[test]
fn a_way_back_is_told_when_it_is_made() {
    let machine = Machine::new(1);
    machine.create_readings(1);
    machine.sql("CREATE STREAM copies (device STRING, ts TIMESTAMP(3), value BIGINT)");
    machine.sql("CREATE STREAM ends (device STRING, ts TIMESTAMP(3), value BIGINT)");
    machine.sql("CREATE VIEW hot AS SELECT * FROM readings WHERE value > 5");

    let told = |sql: &str| way(&machine, sql);
    assert_eq!(
        told("CREATE TRIGGER again ON readings WHEN value > 5 EXECUTE INSERT INTO readings").as_deref(),
        Some("again -> readings -> again")
    );
    assert_eq!(
        told("CREATE TRIGGER hotter ON hot WHEN value > 5 EXECUTE INSERT INTO readings").as_deref(),
        Some("hotter -> readings -> hotter")
    );
    assert_eq!(
        told("CREATE JOB more AS INSERT INTO readings SELECT device, ts, value + 1 FROM readings").as_deref(),
        Some("more -> readings -> more")
    );
    for name in ["again", "hotter"] {
        machine.sql(&format!("DROP TRIGGER {name}"));
    }
    machine.sql("DROP JOB more");

    // One that only reads on is no way back, and the last one of several closes it.
    assert_eq!(told("CREATE JOB copy AS INSERT INTO copies SELECT device, ts, value FROM hot"), None);
    assert_eq!(told("CREATE JOB end AS INSERT INTO ends SELECT * FROM copies"), None);
    assert_eq!(told("CREATE TRIGGER watch ON readings WHEN value > 5 EXECUTE INSERT INTO ends"), None);
    assert_eq!(
        told("CREATE TRIGGER back ON copies WHEN value > 5 EXECUTE INSERT INTO readings (device, ts, value) VALUES (device, ts, value)")
            .as_deref(),
        Some("back -> readings -> copy -> copies -> back")
    );
}
