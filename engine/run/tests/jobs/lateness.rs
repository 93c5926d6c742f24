//! Time: what is late, what idle shards do, what a wrong clock does.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Int32Array, Int64Array, StringArray, TimestampMillisecondArray,
    TimestampNanosecondArray,
};
use headwater_core::{EventTime, ShardId};
use headwater_log::Append;
use headwater_run::JobState;

use crate::machine::{Machine, Reading};

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
    assert!(
        late[0].ends_with("1970-01-01T00:00:09.999Z 1970-01-01T00:00:11Z"),
        "its time, and the watermark: {late:?}"
    );
    assert_eq!(machine.engine().jobs()[0].rows_late, 1);
}

/// Late rows with all their columns, also those that the query does not use, after kills and with other workers.
#[test]
fn late_rows_go_where_they_are_wanted_with_their_own_columns() {
    let life = |seed: u64, shards: u32, between: &dyn Fn(&mut Machine)| {
        let mut machine = Machine::new(seed);
        machine.create_readings(shards);
        machine.sql(
            "CREATE STREAM stragglers (device STRING, value BIGINT, ts TIMESTAMP(3), lateness BIGINT) \
                     PARTITIONED BY (device) WITH (shards = 2)",
        );
        machine.sql(
            "CREATE MATERIALIZED VIEW result AS SELECT window_end, COUNT(*) AS n FROM \
             TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY window_start, window_end \
             ALLOW LATENESS INTERVAL '5' SECOND LATE DATA TO stragglers",
        );
        for second in 1..30 {
            machine.append(&[("a", second * 1_000, second), ("b", second * 1_000, second)]);
            between(&mut machine);
        }
        // The watermark is at 27: the first window is forgotten at 15, the second stays until 25, the third is open.
        machine.append(&[("a", 3_000, 103), ("b", 21_000, 121), ("b", 9_999, 109), ("a", 28_000, 128)]);
        between(&mut machine);
        machine.append(&[("a", 60_000, 60), ("b", 60_000, 60)]);
        machine.catch_up();
        let counts = machine.query("SELECT * FROM result");
        let late = machine.query("SELECT device, value, ts, lateness FROM stragglers");
        assert!(machine.rows("system.late_rows").is_empty());
        machine.engine().close_here().unwrap();
        (counts, late)
    };
    let straight = life(3, 1, &|machine| machine.catch_up());
    assert_eq!(straight.1, ["a 103 1970-01-01T00:00:03 24000", "b 109 1970-01-01T00:00:09.999 17001"]);
    assert_eq!(straight.0[..2], ["1970-01-01T00:00:10 18", "1970-01-01T00:00:20 20"]);
    for workers in [1, 3] {
        assert_eq!(life(3, 1, &|machine| machine.kill(workers)), straight, "{workers} workers");
        assert_eq!(life(4, 1, &|machine| machine.restart(workers)), straight, "{workers} workers");
    }
}

#[test]
fn a_stream_for_late_rows_is_in_use() {
    let machine = Machine::new(5);
    machine.create_readings(1);
    machine.sql("CREATE STREAM stragglers (device STRING, ts TIMESTAMP(3))");
    machine.sql(&format!("{PER_10_SECONDS} LATE DATA TO stragglers"));
    let error = machine.engine().define_here("DROP STREAM stragglers").unwrap_err().to_string();
    assert!(error.contains("is used by materialized view result"), "{error}");
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
    machine.run_for(6);
    assert_eq!(machine.rows("result"), ["1970-01-01T00:00:10 a 1"], "they are idle now");
    machine.run_for(30);
    assert_eq!(
        machine.rows("result"),
        ["1970-01-01T00:00:10 a 1", "1970-01-01T00:00:20 a 1"],
        "when all is quiet time goes on, and the last window closes"
    );
}

/// The shard that is ahead of the others when all have fallen idle and the stream ends.
#[test]
fn a_stream_that_has_fallen_idle_ends() {
    let machine = Machine::new(3);
    machine.sql(
        "CREATE STREAM readings (device STRING NOT NULL, ts TIMESTAMP(3), value BIGINT, WATERMARK FOR ts AS ts) \
         PARTITIONED BY (device) WITH (shards = 4, 'scan.watermark.idle-timeout' = '5 s', 'clock.guard' = 'none')",
    );
    machine.sql("CREATE MATERIALIZED VIEW result AS SELECT device, value FROM readings");
    machine.append(&[("a", 1_000, 1), ("b", 20_000, 1), ("c", 40_000, 1), ("d", 60_000, 1)]);
    machine.run_for(20);
    machine.finish();
    let steps = machine.engine().job("result").unwrap().steps;
    assert!(steps < 20, "{steps} steps");
}

/// A view over a stream that has ended and one that has fallen idle.
fn beside_one_that_has_ended() -> Machine {
    let mut machine = Machine::new(2);
    machine.checkpoint_interval = Duration::from_secs(3_600);
    machine.restart(1);
    machine.create_readings(1);
    machine.sql(
        "CREATE STREAM others (device STRING NOT NULL, ts TIMESTAMP(3), value BIGINT, WATERMARK FOR ts AS ts) \
         WITH ('scan.watermark.idle-timeout' = '5 s', 'clock.guard' = 'none')",
    );
    let windows = |stream| {
        format!(
            "SELECT window_end, device, COUNT(*) AS n FROM TUMBLE(TABLE {stream}, DESCRIPTOR(ts), INTERVAL '1' HOUR) \
             GROUP BY window_start, window_end, device"
        )
    };
    let (one, other) = (windows("readings"), windows("others"));
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {one} UNION ALL {other}"));
    machine.append(&[("a", 1_000, 1)]);
    append_to_others(&machine, 20_000);
    machine.engine().end_stream_here("readings").unwrap();
    machine.run_for(8);
    machine
}

fn append_to_others(machine: &Machine, time: i64) {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["b"])),
        Arc::new(TimestampMillisecondArray::from(vec![time])),
        Arc::new(Int64Array::from(vec![1])),
    ];
    machine.append_to("others", columns);
}

#[test]
fn a_stream_that_is_idle_beside_one_that_has_ended_may_wake_up() {
    let machine = beside_one_that_has_ended();
    append_to_others(&machine, 30_000);
    machine.catch_up();
    assert!(machine.rows("system.late_rows").is_empty());
    machine.finish_streams(&["others"]);
    assert_eq!(machine.rows("result"), ["1970-01-01T01:00:00 a 1", "1970-01-01T01:00:00 b 2"]);
}

/// Earlier versions ended time there. A journal that says so is obeyed.
#[test]
fn a_journal_in_which_time_ended_while_a_stream_was_idle_is_done_again() {
    let mut machine = beside_one_that_has_ended();
    let journal = machine.log().stream_named("system.journal.result").unwrap();
    let step = machine.engine().job("result").unwrap().steps as i64 + 1;
    let nobody = || Arc::new(Int32Array::from(vec![-1]));
    let time = |time| Arc::new(TimestampNanosecondArray::from(vec![time]).with_timezone("UTC"));
    let no = || Arc::new(BooleanArray::from(vec![false]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![step])),
        nobody(),
        nobody(),
        Arc::new(Int64Array::from(vec![0])),
        no(),
        no(),
        time(None),
        time(Some(i64::MAX)),
        Arc::new(BinaryArray::from_opt_vec(vec![None])),
        Arc::new(Int64Array::from(vec![None])),
    ];
    let line = headwater_run::fit_columns(&journal.spec.schema, columns).unwrap();
    machine.log().append(vec![Append::new(journal.id, ShardId(0), line)]).unwrap();
    machine.kill(1);
    machine.catch_up();
    let job = machine.engine().job("result").unwrap();
    assert_eq!((job.state, job.watermark), (JobState::Running, EventTime::MAX), "{:?}", job.error);
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

const WINDOWS: &str = "TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)";

/// What a view holds after each step, and how many rows were late.
fn late_steps(seed: u64, query: &str, between: &dyn Fn(&mut Machine)) -> (Vec<Vec<String>>, usize) {
    let mut machine = Machine::new(seed);
    machine.create_readings(1);
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {query} ALLOW LATENESS INTERVAL '5' SECOND"));
    // The watermark is two seconds behind the rows: at 12 the first window has ended, and at 17 it takes no row any more.
    let steps: [&[Reading]; 5] = [
        &[("a", 1_000, 1), ("b", 2_000, 5)],
        &[("a", 14_000, 2)],
        &[("a", 3_000, 11)],
        &[("a", 19_000, 3)],
        &[("a", 4_000, 4), ("a", 60_000, 7)],
    ];
    let mut seen = Vec::new();
    for step in steps {
        machine.append(step);
        machine.catch_up();
        between(&mut machine);
        machine.catch_up();
        seen.push(machine.query("SELECT * FROM result"));
    }
    let late = machine.rows("system.late_rows").len();
    machine.engine().close_here().unwrap();
    (seen, late)
}

/// Rows that are said once come when no late row can change them any more; pairs come as they are found.
#[test]
fn windows_that_are_joined_or_ranked_take_late_rows_too() {
    let (first, second) = ("1970-01-01T00:00:10", "1970-01-01T00:00:20");
    let ranked = format!(
        "SELECT device, window_end, value FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY device, window_start, window_end \
         ORDER BY value DESC) AS n FROM {WINDOWS}) WHERE n = 1"
    );
    let of_first = vec![format!("a {first} 11"), format!("b {first} 5")];
    let mut all = of_first.clone();
    all.insert(1, format!("a {second} 3"));
    check_late(&ranked, &[vec![], vec![], vec![], of_first, all], 1);
    // Their rows are in time for what is above.
    let above =
        format!("SELECT window_end, COUNT(*) AS n, SUM(value) AS total FROM ({ranked}) GROUP BY window_end");
    let (seen, late) = late_steps(5, &above, &|_| {});
    assert_eq!((seen.last().unwrap(), late), (&vec![format!("{first} 2 16"), format!("{second} 1 3")], 1));
    let side = |of: &str| {
        WINDOWS.replace("TABLE readings", &format!("TABLE (SELECT * FROM readings WHERE value {of} 10)"))
    };
    let joined = format!(
        "SELECT l.device, l.window_end, l.value, r.value AS other FROM (SELECT * FROM {}) AS l \
         LEFT JOIN (SELECT * FROM {}) AS r ON l.device = r.device AND l.window_end = r.window_end",
        side("<"),
        side(">")
    );
    let pair = vec![format!("a {first} 1 11")];
    let with_lonely = vec![pair[0].clone(), format!("b {first} 5 null")];
    let mut all = with_lonely.clone();
    all.splice(1..1, [format!("a {second} 2 null"), format!("a {second} 3 null")]);
    check_late(&joined, &[vec![], vec![], pair, with_lonely, all], 1);
}

fn check_late(query: &str, expected: &[Vec<String>], late: usize) {
    let expected = (expected.to_vec(), late);
    assert_eq!(late_steps(5, query, &|_| {}), expected, "{query}");
    for workers in [1, 3] {
        assert_eq!(late_steps(5, query, &|machine| machine.kill(workers)), expected, "{workers}: {query}");
        assert_eq!(late_steps(6, query, &|machine| machine.restart(workers)), expected, "{workers}: {query}");
    }
}
