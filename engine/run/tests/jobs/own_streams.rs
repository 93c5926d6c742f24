//! The engine's own streams are there to be read.

use crate::machine::Machine;

#[test]
fn what_would_write_into_them_or_change_them_is_refused() {
    let machine = Machine::new(1);
    machine.create_readings(1);
    machine.sql(
        "CREATE STREAM mine (device STRING);
         CREATE JOB reading AS INSERT INTO mine SELECT alarm FROM system.alarm_history",
    );
    let refused = |sql: &str| {
        let error = machine.engine().define_here(sql).err().unwrap_or_else(|| panic!("{sql}"));
        let text = error.to_string();
        assert!(text.contains("'system.") && text.contains("the engine's own"), "{sql}: {text}");
    };
    refused("CREATE JOB j AS INSERT INTO system.alarm_history (alarm) SELECT device FROM readings");
    refused("CREATE JOB j AS INSERT INTO system.dead_letters SELECT device FROM readings");
    refused(
        "CREATE TRIGGER t ON readings WHEN value > 1 EXECUTE INSERT INTO system.job_metrics (job) VALUES (device)",
    );
    refused("ALTER STREAM system.alarm_history SET (retention = '1 hour')");
    refused("DROP STREAM system.alarm_history");
    refused(
        "CREATE MATERIALIZED VIEW v AS SELECT window_end, COUNT(*) FROM TUMBLE(TABLE readings, DESCRIPTOR(ts), \
         INTERVAL '10' SECOND) GROUP BY window_start, window_end LATE DATA TO system.late_rows",
    );
    let catalog = machine.engine().catalog();
    assert_eq!(catalog.names().collect::<Vec<_>>(), ["mine", "reading", "readings", "system.alarm_history"]);
}
