//! JSON of the rows of groups, in windows and without, over rows that are added and over those that are taken back: after kills and
//! restarts with other workers, what the same query gives as a batch.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMillisecondArray};
use headwater_core::world::sim::SimRandom;
use headwater_simulation::seeds;

use crate::machine::Machine;
use crate::views_and_batches;

const CALLS: &str = "JSON_ARRAYAGG(value) AS a, JSON_ARRAYAGG(value ORDER BY ts DESC NULL ON NULL) AS b, \
    JSON_ARRAYAGG(DISTINCT value) FILTER (WHERE value < 15) AS c, JSON_OBJECTAGG(KEY CONCAT('v', value % 4) VALUE ts ORDER BY value) \
    FILTER (WHERE value IS NOT NULL) AS d, JSON_OBJECTAGG(device VALUE JSON_OBJECT('at' VALUE ts, 'value' VALUE value)) AS e, \
    JSON_OBJECTAGG('x' VALUE value ORDER BY ts ABSENT ON NULL) AS f";

/// Rows from a time on, none of them late.
pub fn append(machine: &Machine, random: &SimRandom, from: i64) {
    let (mut devices, mut times, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..30 {
        devices.push(format!("d{}", random.below(5)));
        times.push(from + (row - random.below(8) as i64) * 250);
        values.push(random.chance(5, 6).then(|| random.below(20) as i64));
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(devices)),
        Arc::new(TimestampMillisecondArray::from(times)),
        Arc::new(Int64Array::from(values)),
    ];
    machine.append_to("readings", columns);
}

fn life(seed: u64) {
    let mut machine = Machine::new(seed);
    let random = machine.sim.random("life");
    machine.step_rows_max = 1 + random.index(25);
    machine.create_readings(3);
    machine.restart(1 + random.index(3));
    let windowed = |table: &str| {
        format!("SELECT device, window_start, {CALLS} FROM {table} GROUP BY device, window_start, window_end")
    };
    let counts = "(SELECT device, COUNT(*) AS value, MAX(ts) AS ts FROM readings GROUP BY device) AS t";
    let queries = [
        ("tumbling", windowed("TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '6' SECOND)")),
        (
            "hopping",
            windowed("HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '3' SECOND, INTERVAL '9' SECOND)"),
        ),
        (
            "sessions",
            windowed("SESSION(TABLE readings PARTITION BY device, DESCRIPTOR(ts), INTERVAL '1' SECOND)"),
        ),
        ("plain", format!("SELECT device, {CALLS} FROM readings GROUP BY device")),
        ("taken_back", format!("SELECT value % 3 AS k, {CALLS} FROM {counts} GROUP BY value % 3")),
        ("of_all", format!("SELECT {CALLS} FROM {counts}")),
    ];
    views_and_batches::live(&mut machine, &random, &queries, append);
}

#[test]
fn json_of_groups_is_in_a_stream_what_it_is_in_a_batch() {
    seeds::each(
        "-p headwater-run json_of_groups_is_in_a_stream_what_it_is_in_a_batch",
        0..8,
        |seed, _story| {
            life(seed);
        },
    );
}
