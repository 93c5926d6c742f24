//! The system tables say what is there.

use headwater_run::Keep;

use crate::journal_trim::{live, machine};

#[test]
fn system_tables_say_what_streams_hold_and_how_far_jobs_are() {
    let mut machine = machine(Keep::default(), ", retention = '1 hour'");
    machine.sql(
        "CREATE MATERIALIZED VIEW result AS SELECT window_end, COUNT(*) AS n \
         FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end",
    );
    live(&machine, 0..150);
    machine.run_for(5);
    let stream = "SELECT shards, rows, durability, partition_by, event_time, retention_seconds, retention_bytes \
                  FROM system.streams WHERE name = 'readings'";
    assert_eq!(machine.query(stream), ["2 900 disk device ts 3600 null"]);
    let shards = "SELECT COUNT(*), MIN(first_sequence), SUM(next_sequence) FROM system.shards WHERE stream = 'readings'";
    assert_eq!(machine.query(shards), ["2 0 900"]);
    let segments = "SELECT SUM(next_sequence - first_sequence), MIN(event_time_min), MAX(event_time_max), BOOL_OR(sealed), \
                    MIN(arrival_max - arrival_min) >= INTERVAL '0' SECOND FROM system.segments WHERE stream = 'readings'";
    assert_eq!(machine.query(segments), ["900 1970-01-01T00:00:00Z 1970-01-01T00:02:29Z true true"]);
    let jobs = "SELECT name, state, target, rows_in, rows_out, rows_late, lag, error FROM system.jobs";
    assert_eq!(machine.query(jobs), ["result running result 900 14 0 0 null"]);
    let watermarks = "SELECT job, source, stream, shard, watermark, idle, ended FROM system.watermarks";
    let of_shards = |ended: bool| {
        [0, 1].map(|shard| format!("result 0 readings {shard} 1970-01-01T00:02:27Z false {ended}")).to_vec()
    };
    let with_job = |job: &str, ended: bool| [of_shards(ended), vec![job.to_owned()]].concat();
    let expected = with_job("result null null null 1970-01-01T00:02:27Z null false", false);
    assert_eq!(machine.query(watermarks), expected);
    let tables = machine.query("SHOW SYSTEM TABLES");
    for name in ["system.jobs", "system.dead_letters", "system.late_rows"] {
        assert!(tables.iter().any(|table| table == name), "{name} of {tables:?}");
    }
    for name in &tables {
        assert_eq!(machine.query(&format!("SELECT COUNT(*) FROM {name}")).len(), 1, "{name}");
    }
    let checkpoints = "SELECT c.job, c.newest_step = j.steps, c.steps_since, c.taken > 10 \
                       FROM system.checkpoints AS c JOIN system.jobs AS j ON j.name = c.job";
    assert_eq!(machine.query(checkpoints), ["result true 0 true"]);
    machine.kill(1);
    machine.catch_up();
    assert_eq!(machine.query(watermarks), expected);
    machine.finish();
    assert_eq!(machine.query(watermarks), with_job("result null null null null null true", true));
    assert_eq!(machine.query("SELECT state, rows_out FROM system.jobs"), ["completed 15"]);
}
