//! Time: what is late, what idle shards do, what a wrong clock does.

use std::time::Duration;

use headwater_core::EventTime;

use crate::machine::Machine;

const PER_10_SECONDS: &str = "CREATE MATERIALIZED VIEW result AS SELECT window_end, device, COUNT(*) AS n \
    FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, device";

#[test]
fn a_late_row_is_counted_and_kept() {
    let machine = Machine::new(1);
    machine.create_readings(1);
    machine.sql(PER_10_SECONDS);
    machine.append(&[("a", 1_000, 1), ("a", 13_000, 2)]);
    machine.catch_up();
    assert_eq!(machine.rows("result"), ["1970-01-01T00:00:10 a 1"]);
    machine.append(&[("a", 9_999, 3), ("a", 11_000, 4), ("a", 30_000, 5)]);
    machine.catch_up();
    assert_eq!(machine.rows("result"), ["1970-01-01T00:00:10 a 1", "1970-01-01T00:00:20 a 2"]);
    let late = machine.rows("system.late_rows");
    assert_eq!(late.len(), 1, "{late:?}");
    assert!(late[0].starts_with("result readings") && late[0].contains("00:00:09.999"), "{late:?}");
    assert_eq!(machine.engine().jobs()[0].rows_late, 1);
}

#[test]
fn a_slow_shard_holds_windows_open_and_no_other_shard_makes_its_rows_late() {
    let machine = Machine::new(2);
    machine.create_readings(8);
    machine.sql(PER_10_SECONDS);
    // Two devices of different shards, a minute apart.
    machine.append(&[("a", 1_000, 1), ("b", 1_000, 1)]);
    machine.append(&[("b", 60_000, 1)]);
    machine.append(&[("a", 2_000, 1)]);
    machine.catch_up();
    assert!(machine.rows("system.late_rows").is_empty());
    assert!(
        machine.rows("result").is_empty(),
        "shards without rows hold everything open until they are idle"
    );
}

#[test]
fn an_idle_shard_is_left_out_and_all_idle_lets_time_go_on() {
    let machine = Machine::new(3);
    machine.sql(
        "CREATE STREAM readings (device STRING NOT NULL, ts TIMESTAMP(3), value BIGINT, \
         WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) PARTITIONED BY (device) \
         WITH (shards = 4, 'scan.watermark.idle-timeout' = '5 s', 'clock.guard' = 'none')",
    );
    machine.sql(PER_10_SECONDS);
    machine.append(&[("a", 1_000, 1), ("a", 14_000, 1)]);
    machine.catch_up();
    assert!(machine.rows("result").is_empty(), "three shards have no rows yet");
    run_for(&machine, 6);
    assert_eq!(machine.rows("result"), ["1970-01-01T00:00:10 a 1"], "they are idle now");
    run_for(&machine, 30);
    assert_eq!(
        machine.rows("result"),
        ["1970-01-01T00:00:10 a 1", "1970-01-01T00:00:20 a 1"],
        "when all is quiet time goes on, and the last window closes"
    );
}

/// Somebody says that nothing comes any more: the windows close at once, and the job lives on; after a kill, too.
#[test]
fn time_that_is_moved_on_closes_windows_and_ends_nothing() {
    let mut machine = Machine::new(5);
    machine.create_readings(4);
    machine.sql(PER_10_SECONDS);
    machine.append(&[("a", 1_000, 1), ("b", 14_000, 1)]);
    machine.catch_up();
    assert!(machine.rows("result").is_empty(), "shards without rows hold everything open");
    let advance_of = |machine: &Machine, stream: &str, seconds: i64| {
        machine.engine().advance_stream(stream, EventTime(seconds * 1_000_000_000)).unwrap();
        machine.catch_up();
    };
    let advance = |machine: &Machine, seconds: i64| advance_of(machine, "readings", seconds);
    advance(&machine, 15);
    assert_eq!(machine.rows("result"), ["1970-01-01T00:00:10 a 1"]);
    // Time of a stream that the job does not read is none of its business.
    advance_of(&machine, "result", 100);
    assert_eq!(machine.rows("result"), ["1970-01-01T00:00:10 a 1"]);
    advance(&machine, 20);
    let both = ["1970-01-01T00:00:10 a 1", "1970-01-01T00:00:20 b 1"];
    assert_eq!(machine.rows("result"), both);
    machine.kill(2);
    machine.catch_up();
    assert_eq!(machine.rows("result"), both);
    // Back in time it does not go.
    advance(&machine, 3);
    machine.append(&[("a", 19_000, 1), ("a", 21_000, 1), ("a", 40_000, 1)]);
    machine.catch_up();
    assert_eq!(machine.rows("result")[2..], ["1970-01-01T00:00:30 a 1"]);
    assert_eq!(machine.rows("system.late_rows").len(), 1);
    assert_eq!(machine.engine().jobs()[0].state.as_str(), "running");
}

#[test]
fn one_clock_a_year_ahead_does_not_make_the_fleet_late() {
    let machine = Machine::new(4);
    machine.sql(
        "CREATE STREAM readings (device STRING NOT NULL, ts TIMESTAMP(3), value BIGINT, \
         WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) WITH ('clock.guard' = '1 hour')",
    );
    machine.sql(PER_10_SECONDS);
    let now = machine.sim.world().clock.now().millis();
    let line = |device: &str, ts: i64| format!("{{\"device\":\"{device}\",\"ts\":{ts},\"value\":1}}\n");
    let body = line("a", now) + &line("mad", now + 365 * 86_400_000) + &line("a", now + 1_000);
    let request = headwater_ingest::AppendRequest::new(
        "readings",
        "test",
        headwater_ingest::Payload::Bytes {
            body: body.into(),
            format: headwater_ingest::Format::JsonLines,
            options: Some(headwater_ingest::FormatOptions {
                timestamps: headwater_ingest::format::TimestampFormat::EpochMillis,
                ..Default::default()
            }),
        },
    );
    let report = machine.engine().ingest().append(request).unwrap().wait().unwrap();
    assert_eq!((report.accepted, report.dead_lettered), (2, 1));
    machine.catch_up();
    assert!(machine.rows("system.late_rows").is_empty());
    let dead = machine.rows("system.dead_letters");
    assert_eq!(dead.len(), 1);
    assert!(dead[0].contains("readings"), "{dead:?}");
}

fn run_for(machine: &Machine, seconds: u64) {
    let clock = machine.sim.world().clock;
    let until = clock.monotonic() + Duration::from_secs(seconds);
    for _ in 0..10_000 {
        if clock.monotonic() >= until {
            break;
        }
        machine.sim.clock().advance(Duration::from_millis(500));
        machine.turns(4);
    }
    machine.catch_up();
}
