//! `ALTER STREAM .. SET`: what is changed takes effect, at once and after a restart; what cannot be is refused.

use headwater_ingest::{AppendRequest, Format, FormatOptions, Payload, format::TimestampFormat};

use crate::machine::Machine;

const HOUR: i64 = 3_600_000;

/// A machine with a stream of four shards, with these options.
fn machine(options: &str) -> Machine {
    let machine = Machine::new(2);
    machine.sql(&format!(
        "CREATE STREAM readings (device STRING NOT NULL, ts TIMESTAMP(3), value BIGINT, \
         WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) PARTITIONED BY (device) WITH (shards = 4, {options})"
    ));
    machine
}

/// Sends a reading whose clock is so many hours ahead; whether it is taken.
fn send(machine: &Machine, hours: i64) -> bool {
    let time = machine.sim.world().clock.now().millis() + hours * HOUR;
    let body = format!("{{\"device\":\"a\",\"ts\":{time},\"value\":1}}\n");
    let options = FormatOptions { timestamps: TimestampFormat::EpochMillis, ..FormatOptions::default() };
    let payload = Payload::Bytes { body: body.into(), format: Format::JsonLines, options: Some(options) };
    let request = AppendRequest::new("readings", "test", payload);
    let report = machine.engine().ingest().append(request).unwrap().wait().unwrap();
    assert_eq!(report.accepted + report.dead_lettered, 1);
    report.accepted == 1
}

#[test]
fn another_clock_guard_is_in_force_at_once() {
    let mut machine = machine("'clock.guard' = '1 hour'");
    assert!(send(&machine, 0) && !send(&machine, 3));
    machine.sql("ALTER STREAM readings SET ('clock.guard' = '4 hours')");
    assert!(send(&machine, 3) && !send(&machine, 5));
    machine.kill(1);
    assert!(send(&machine, 3) && !send(&machine, 5));
    machine.sql("ALTER STREAM readings SET ('clock.guard' = 'none')");
    machine.lose_power(1);
    assert!(send(&machine, 5));
}

#[test]
fn jobs_that_run_take_another_idle_timeout() {
    let mut machine = machine("'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none'");
    machine.sql(
        "CREATE MATERIALIZED VIEW result AS SELECT window_end, COUNT(*) AS n \
         FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end",
    );
    machine.append(&[("a", 1_000, 1), ("a", 14_000, 1)]);
    machine.run_for(6);
    assert!(machine.rows("result").is_empty(), "three shards have no rows yet");
    machine.sql("ALTER STREAM readings SET ('scan.watermark.idle-timeout' = '5 s')");
    machine.run_for(1);
    assert_eq!(machine.rows("result"), ["1970-01-01T00:00:10 1"], "they have been silent for longer");
    machine.kill(1);
    machine.run_for(30);
    assert_eq!(machine.rows("result").len(), 2, "after a restart, too");
    // Without a timeout shards that are awake stay so.
    machine.sql("ALTER STREAM readings SET ('scan.watermark.idle-timeout' = 'none')");
    machine.append(&[("a", 100_000, 1)]);
    machine.run_for(60);
    assert_eq!(machine.rows("result").len(), 2);
}

#[test]
fn retention_is_what_it_was_set_to() {
    let mut machine = machine("retention = '7 days'");
    let age = |machine: &Machine| machine.log().stream_named("readings").unwrap().spec.retention.age;
    machine.sql("ALTER STREAM readings SET (retention = '1 day')");
    let day = std::time::Duration::from_secs(86_400);
    assert_eq!(age(&machine), Some(day));
    machine.kill(1);
    assert_eq!(age(&machine), Some(day));
}

#[test]
fn what_cannot_change_is_refused_and_changes_nothing() {
    let machine = machine("durability = 'disk'");
    for option in ["durability = 'memory'", "format = 'csv'", "shards = 8", "compression = 'zstd'"] {
        let sql = format!("ALTER STREAM readings SET (retention = '1 day', {option})");
        let error = machine.engine().define_here(&sql).unwrap_err().to_string();
        let key = option.split(' ').next().unwrap();
        assert!(error.contains(&format!("'{key}' of a stream cannot be changed")), "{error}");
    }
    let spec = machine.log().stream_named("readings").unwrap().spec.clone();
    assert_eq!((spec.retention.age, spec.durability), (None, headwater_log::Durability::Disk));
}

/// Every append over HTTP would be refused by it.
#[test]
fn a_format_that_there_is_not_is_refused_when_it_is_said() {
    let machine = machine("format = 'csv'");
    let create = |format: &str| format!("CREATE STREAM other (n BIGINT) WITH (format = '{format}')");
    let error = machine.engine().define_here(&create("jsno")).unwrap_err().to_string();
    assert!(error.contains("'jsno'") && error.contains("did you mean 'json'?"), "{error}");
    let error = machine.engine().define_here(&create("debezium-jsn")).unwrap_err().to_string();
    assert!(error.contains("did you mean 'debezium_json'?"), "{error}");
    let error = machine.engine().define_here(&create("xml")).unwrap_err().to_string();
    assert!(error.contains("choose one of json") && !error.contains("did you mean"), "{error}");
    assert!(machine.log().stream_named("other").is_err());
    machine.sql(&create("json"));
    assert!(send(&machine, 0));
}
