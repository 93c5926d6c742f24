//! Jobs over streams that are kept in memory alone: after a restart of the process their rows are gone. What is lost is said; nothing that
//! comes afterwards is passed over, and nothing is said twice.

use crate::machine::Machine;

const PER_10_SECONDS: &str = "CREATE MATERIALIZED VIEW result AS SELECT window_end, COUNT(*) AS n \
    FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end";

fn machine(seed: u64) -> Machine {
    let machine = Machine::new(seed);
    machine.sql(
        "CREATE STREAM readings (device STRING NOT NULL, ts TIMESTAMP(3), value BIGINT, \
         WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) PARTITIONED BY (device) \
         WITH (durability = 'memory', 'clock.guard' = 'none')",
    );
    machine
}

/// One reading a second.
fn append(machine: &Machine, seconds: std::ops::Range<i64>) {
    machine.append(&seconds.map(|second| ("a", second * 1_000, second)).collect::<Vec<_>>());
    machine.catch_up();
}

fn lost(machine: &Machine) -> String {
    machine.turns(5);
    let job = machine.engine().jobs().remove(0);
    assert_eq!(job.state.as_str(), "running", "{job:?}");
    job.error.unwrap_or_default()
}

#[test]
fn a_job_goes_on_with_what_comes_after_a_restart() {
    for (seed, orderly) in [(1, true), (2, false), (3, true), (4, false)] {
        let mut machine = machine(seed);
        machine.sql("CREATE MATERIALIZED VIEW result AS SELECT value FROM readings");
        append(&machine, 0..100);
        for life in 1..4 {
            if orderly {
                machine.restart(2)
            } else {
                machine.kill(2)
            }
            assert_eq!(machine.engine().jobs()[0].lag, 0, "nothing is there to be taken");
            // Fewer than the job had taken before.
            append(&machine, life * 1_000..life * 1_000 + 10);
            let expected = (0..100).chain((1..=life).flat_map(|life| life * 1_000..life * 1_000 + 10));
            let expected: Vec<String> = expected.map(|value| value.to_string()).collect();
            assert_eq!(machine.rows("result"), expected, "seed {seed}, life {life}");
        }
        assert_eq!(machine.query("SELECT COUNT(*) FROM readings"), ["10"]);
    }
}

/// Killed without a checkpoint, and with one that is behind the journal.
#[test]
fn windows_that_were_said_are_not_said_again_and_what_is_lost_is_told() {
    for checkpoint_interval in [std::time::Duration::from_millis(1), std::time::Duration::from_secs(3_600)] {
        let mut machine = machine(5);
        machine.checkpoint_interval = checkpoint_interval;
        machine.restart(1);
        machine.sql(PER_10_SECONDS);
        append(&machine, 0..35);
        let said = machine.rows("result");
        assert_eq!(said.len(), 3, "{said:?}");
        machine.kill(1);
        machine.catch_up();
        assert_eq!(machine.rows("result"), said);
        append(&machine, 35..60);
        let rows = machine.rows("result");
        assert_eq!(rows[..3], said[..]);
        // The readings from 30 to 34 are lost as far as no checkpoint had them.
        let fourth: i64 = rows[3].strip_prefix("1970-01-01T00:00:40 ").unwrap().parse().unwrap();
        assert!((5..=10).contains(&fourth), "{rows:?}");
        assert_eq!(rows[4..], ["1970-01-01T00:00:50 10"]);
        assert!(machine.rows("system.late_rows").is_empty());
        if checkpoint_interval > std::time::Duration::from_secs(1) {
            let lost = lost(&machine);
            assert!(
                lost.contains("HW1010 rows") && lost.contains("of stream readings shard 0 are gone"),
                "{lost}"
            );
        }
        // It can be resumed and restarted like any other.
        machine.restart(2);
        append(&machine, 60..75);
        assert_eq!(machine.rows("result")[5..], ["1970-01-01T00:01:00 10", "1970-01-01T00:01:10 10"]);
    }
}
