//! What one step holds in memory, after a long time in which nobody took any.

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
