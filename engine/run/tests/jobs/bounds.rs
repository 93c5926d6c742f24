//! What one step holds in memory, after a long time in which nobody took any.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMillisecondArray};
use headwater_core::ShardId;
use headwater_log::ReadSpec;

use crate::machine::{Machine, Reading};

#[test]
fn a_step_says_little_more_than_it_may_take_however_many_windows_a_row_is_in() {
    const ROWS: i64 = 3_000;
    const WINDOWS: i64 = 60;
    let machine = Machine::new(11);
    machine.create_readings(1);
    machine.sql(
        "CREATE STREAM moving (window_end TIMESTAMP(3), device STRING, n BIGINT);
         CREATE JOB counting AS INSERT INTO moving SELECT window_end, device, COUNT(*) \
         FROM TABLE(HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '60' SECOND)) \
         GROUP BY window_start, window_end, device;
         PAUSE JOB counting",
    );
    let readings: Vec<Reading> = (0..ROWS).map(|nth| ("a", nth * WINDOWS * 1_000, nth)).collect();
    readings.chunks(100).for_each(|chunk| machine.append(chunk));
    machine.sql("RESUME JOB counting");
    machine.finish();

    let info = machine.log().stream_named("moving").unwrap();
    let until = Some(machine.log().bounds(info.id).unwrap()[0].next);
    let mut reader = machine.log().read(ReadSpec { until, ..ReadSpec::all(info.id, ShardId(0)) }).unwrap();
    let mut steps = Vec::new();
    while let Some(read) = reader.next().unwrap() {
        steps.push(read.rows.num_rows());
    }
    assert_eq!(steps.iter().sum::<usize>() as i64, ROWS * WINDOWS);
    let most = steps.iter().max().copied().unwrap_or(0);
    assert!(
        most <= 2 * machine.step_rows_max,
        "a step of at most {} rows said {most}",
        machine.step_rows_max
    );
}

/// Columns of a batch of the log share the buffer that it was read into. A step of a MiB takes rows of a MiB, however many columns they
/// have.
#[test]
fn a_step_takes_as_many_bytes_as_its_rows_have() {
    const COLUMNS: usize = 30;
    const ROWS: usize = 100;
    const BATCHES: i64 = 32;
    let mut machine = Machine::new(12);
    // The first step may take a small part of this.
    machine.step_rows_max = 1 << 20;
    machine.restart(1);
    let columns: Vec<String> = (0..COLUMNS).map(|nth| format!("c{nth} BIGINT")).collect();
    machine.sql(&format!(
        "CREATE STREAM wide (k STRING, {columns}) WITH (shards = 1); CREATE STREAM copy (k STRING, {columns});
         CREATE JOB copying AS INSERT INTO copy SELECT * FROM wide; PAUSE JOB copying",
        columns = columns.join(", ")
    ));
    machine.turns(20);
    let before = machine.engine().jobs()[0].steps;
    for batch in 0..BATCHES {
        let key: ArrayRef = Arc::new(StringArray::from(vec!["a"; ROWS]));
        let numbers = |nth: usize| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(
                (0..ROWS as i64).map(|row| (row * 0x9e37_79b9 + batch) << (nth % 30)),
            ))
        };
        machine.append_to("wide", std::iter::once(key).chain((0..COLUMNS).map(numbers)).collect());
    }
    // 240 bytes of numbers a row: three quarters of a MiB in all.
    machine.sql("RESUME JOB copying");
    machine.catch_up();
    let job = &machine.engine().jobs()[0];
    assert_eq!((job.rows_in, job.rows_out), (ROWS as u64 * BATCHES as u64, ROWS as u64 * BATCHES as u64));
    assert_eq!(job.steps - before, 1, "one step takes them all");
}

/// What a step makes of its rows is in memory with them. So one that would say no less if it were larger does not take all that it may.
#[test]
fn a_step_is_large_where_that_saves_something() {
    const BATCH: i64 = 1 << 15;
    const ROWS: i64 = 3 << 18;
    let mut machine = Machine::new(12);
    // The first step may take the 64th part of this.
    machine.step_rows_max = 1 << 24;
    machine.step_bytes_max = 1 << 30;
    machine.restart(1);
    machine.sql(
        "CREATE STREAM numbers (n BIGINT) WITH (shards = 1); CREATE STREAM doubled (n BIGINT);
         CREATE JOB doubling AS INSERT INTO doubled SELECT n * 2 FROM numbers; PAUSE JOB doubling;
         CREATE MATERIALIZED VIEW counts AS SELECT n % 7 AS k, COUNT(*) AS n FROM numbers GROUP BY n % 7; PAUSE JOB counts",
    );
    machine.turns(20);
    let steps = |machine: &Machine, name: &str| {
        let job = machine.engine().jobs().into_iter().find(|job| job.name == name).unwrap();
        (job.steps, job.rows_in)
    };
    let before = ["doubling", "counts"].map(|name| steps(&machine, name).0);
    for first in (0..ROWS).step_by(BATCH as usize) {
        machine.append_to("numbers", vec![Arc::new(Int64Array::from_iter_values(first..first + BATCH))]);
    }
    machine.sql("RESUME JOB doubling; RESUME JOB counts");
    machine.catch_up();
    let after = ["doubling", "counts"].map(|name| steps(&machine, name));
    assert_eq!(after.map(|(_, rows)| rows), [ROWS as u64; 2]);
    assert_eq!([after[0].0 - before[0], after[1].0 - before[1]], [6, 2]);
}

/// What a source has that is ahead of others in event time would wait as state for them, and waits in the log instead.
#[test]
fn what_is_ahead_of_another_source_is_taken_later() {
    const SECONDS: i64 = 500;
    let mut machine = Machine::new(15);
    machine.step_rows_max = 100;
    machine.restart(1);
    let stream = |name: &str| {
        format!(
            "CREATE STREAM {name} (k STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH (shards = 1, 'clock.guard' = 'none');"
        )
    };
    machine.sql(&format!(
        "{} {} CREATE MATERIALIZED VIEW pairs AS SELECT a.k, a.ts, b.ts AS other FROM a JOIN b \
         ON a.k = b.k AND b.ts BETWEEN a.ts - INTERVAL '1' SECOND AND a.ts + INTERVAL '1' SECOND; PAUSE JOB pairs",
        stream("a"),
        stream("b")
    ));
    machine.turns(20);
    // The same time takes ten times as many rows of one of them.
    let mut rows_in = 0;
    for (name, millis) in [("a", 100), ("b", 1_000)] {
        let rows = SECONDS * 1_000 / millis;
        rows_in += rows as u64;
        let times = (1..=rows).map(|nth| nth * millis);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values((0..rows).map(|nth| ["x", "y", "z"][nth as usize % 3]))),
            Arc::new(TimestampMillisecondArray::from_iter_values(times)),
        ];
        machine.append_to(name, columns);
    }
    machine.sql("RESUME JOB pairs");
    let job = || machine.engine().jobs().remove(0);
    let (mut most, mut seen) = (0, 0);
    for _ in 0..10_000 {
        if job().lag == 0 {
            break;
        }
        // State is measured now and then only.
        machine.sim.clock().advance(Duration::from_millis(250));
        machine.turns(1);
        most = most.max(job().state_entries);
        seen = seen.max(job().steps);
    }
    assert_eq!((job().lag, job().rows_in), (0, rows_in));
    assert!(seen > 20, "it took {seen} steps");
    // All of b would be read while a has come to the 50th second.
    assert!((1..150).contains(&most), "{most} entries");
    machine.finish_streams(&["a", "b"]);
    let query = "SELECT a.k, a.ts, b.ts AS other FROM a JOIN b \
         ON a.k = b.k AND b.ts BETWEEN a.ts - INTERVAL '1' SECOND AND a.ts + INTERVAL '1' SECOND";
    assert_eq!(machine.query("SELECT * FROM pairs"), machine.query(query));
    assert_eq!(job().state_entries, 0);
}
