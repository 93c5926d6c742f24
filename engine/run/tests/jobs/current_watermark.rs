//! `CURRENT_WATERMARK` in jobs: that of the row's own shard just before the row, whatever strikes and however many workers there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};

use headwater_simulation::seeds;

use crate::machine::{Machine, Reading, text_of};

const JOBS: &str = "
CREATE STREAM told (value BIGINT, told TIMESTAMP(3));
CREATE STREAM timely (value BIGINT);
CREATE STREAM tardy (value BIGINT, told TIMESTAMP(3));
CREATE STREAM counts (device STRING, n BIGINT);
CREATE VIEW kept AS SELECT * FROM readings WHERE CURRENT_WATERMARK(ts) IS NULL OR ts > CURRENT_WATERMARK(ts);
CREATE VIEW parted AS SELECT * FROM readings WHERE CURRENT_WATERMARK(ts) IS NOT NULL AND ts <= CURRENT_WATERMARK(ts);
CREATE JOB tells AS INSERT INTO told SELECT value, CURRENT_WATERMARK(ts) FROM readings;
CREATE JOB keeps AS INSERT INTO timely SELECT value FROM kept;
CREATE JOB parts AS INSERT INTO tardy SELECT value, CURRENT_WATERMARK(ts) FROM parted;
CREATE JOB counts_kept AS INSERT INTO counts
    SELECT device, COUNT(*) FROM TUMBLE(TABLE kept, DESCRIPTOR(ts), INTERVAL '3' SECOND) GROUP BY device, window_start, window_end;
";

/// Values and the watermark before each, as rows.
fn lines(rows: &[(i64, Option<i64>)]) -> Vec<String> {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let told: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter(rows.iter().map(|row| row.1)));
    let mut lines = text_of(&RecordBatch::try_from_iter([("value", values), ("told", told)]).unwrap());
    lines.sort();
    lines
}

fn life(seed: u64) {
    let (mut machine, random) = Machine::any(seed, 40);
    machine.create_readings(1 + random.index(3) as u32);
    machine.sql(JOBS);
    let mut sent: Vec<Reading> = Vec::new();
    for round in 0..30 {
        let reading = |nth| {
            let ms = round * 700 + random.below(9_000) as i64;
            (["a", "b", "c", "d", "e"][random.index(5)], ms, sent.len() as i64 + nth)
        };
        let rows: Vec<Reading> = (0..random.below(9) as i64).map(reading).collect();
        machine.append(&rows);
        sent.extend(rows);
        machine.turns(random.index(30));
        machine.strike(&random);
    }
    machine.catch_up();

    let shards = machine.query("SELECT DISTINCT device, _shard FROM readings");
    let shards: BTreeMap<&str, &str> = shards.iter().filter_map(|line| line.split_once(' ')).collect();
    let mut clocks: BTreeMap<&str, i64> = BTreeMap::new();
    let (mut told, mut timely, mut tardy) = (Vec::new(), Vec::new(), Vec::new());
    for (device, ms, value) in &sent {
        let clock = clocks.get(shards[device]).copied();
        told.push((*value, clock));
        if clock.is_none_or(|clock| *ms > clock) {
            timely.push(value.to_string());
        } else {
            tardy.push((*value, clock));
        }
        let after = clock.unwrap_or(i64::MIN).max(ms - 2_000);
        clocks.insert(shards[device], after);
    }
    timely.sort();
    assert!(!tardy.is_empty() && tardy.len() < sent.len());
    assert_eq!(machine.query("SELECT * FROM told"), lines(&told));
    assert_eq!(machine.query("SELECT * FROM timely"), timely);
    assert_eq!(machine.query("SELECT * FROM tardy"), lines(&tardy));
    machine.finish();
    assert_eq!(
        machine.query("SELECT SUM(n) FROM counts"),
        [timely.len().to_string()],
        "none is late for a window"
    );
    machine.engine().close_here().unwrap();
}

#[test]
fn each_row_is_told_the_watermark_of_its_shard_whatever_strikes() {
    seeds::each(
        "-p headwater-run each_row_is_told_the_watermark_of_its_shard_whatever_strikes",
        0..30,
        |seed, _story| life(seed),
    );
}
