//! A timeline for each key: `WATERMARK FOR ts AS ... PER device`.

use crate::machine::{Machine, Reading};

const DAY: i64 = 86_400_000;

const PER_10_SECONDS: &str = "CREATE MATERIALIZED VIEW result AS SELECT device, window_end, COUNT(*) AS n, SUM(value) AS total \
    FROM TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY device, window_start, window_end";

fn create_fleet(machine: &Machine, shards: u32) {
    machine.sql(&format!(
        "CREATE STREAM readings (device STRING NOT NULL, ts TIMESTAMP(3), value BIGINT, \
         WATERMARK FOR ts AS ts - INTERVAL '2' SECOND PER device) PARTITIONED BY (device) \
         WITH (shards = {shards}, 'clock.guard' = 'none')"
    ));
}

/// What there is after each step, and how many rows were late by then.
fn life(seed: u64, shards: u32, between: &dyn Fn(&mut Machine)) -> Vec<(Vec<String>, usize)> {
    let mut machine = Machine::new(seed);
    create_fleet(&machine, shards);
    machine.sql(PER_10_SECONDS);
    // The clock of b is a day behind that of a.
    let steps: [&[Reading]; 5] = [
        &[("a", DAY + 1_000, 1), ("b", 1_000, 10), ("a", DAY + 5_000, 2)],
        &[("a", DAY + 13_000, 3)],
        &[("b", 2_000, 20), ("b", 13_000, 30), ("a", DAY + 11_500, 4)],
        // Late by their own devices' time, and only by that.
        &[("a", DAY + 9_000, 5), ("b", 9_000, 40), ("b", 12_500, 50)],
        &[("b", 30_000, 60)],
    ];
    let mut seen = Vec::new();
    for step in steps {
        machine.append(step);
        machine.catch_up();
        between(&mut machine);
        machine.catch_up();
        seen.push((machine.query("SELECT * FROM result"), machine.rows("system.late_rows").len()));
    }
    machine.engine().close_here().unwrap();
    seen
}

#[test]
fn a_device_a_day_behind_closes_its_own_windows_in_its_own_time() {
    let a = "a 1970-01-02T00:00:10 2 3".to_owned();
    let b = |end: &str, rest: &str| format!("b 1970-01-01T00:00:{end} {rest}");
    let expected = [
        (vec![], 0),
        (vec![a.clone()], 0),
        (vec![a.clone(), b("10", "2 30")], 0),
        (vec![a.clone(), b("10", "2 30")], 2),
        (vec![a, b("10", "2 30"), b("20", "2 80")], 2),
    ];
    for shards in [1, 3] {
        assert_eq!(life(1, shards, &|_| {}), expected, "{shards} shards");
        for workers in [1, 3] {
            assert_eq!(life(2, shards, &|machine| machine.kill(workers)), expected, "{shards}, {workers}");
            assert_eq!(life(3, shards, &|machine| machine.restart(workers)), expected, "{shards}, {workers}");
        }
    }
}

/// Anything else would be told by the one watermark that such a stream does not have.
#[test]
fn what_goes_by_one_watermark_for_all_is_refused() {
    let machine = Machine::new(4);
    create_fleet(&machine, 1);
    machine
        .sql("CREATE MATERIALIZED VIEW so_far AS SELECT device, COUNT(*) AS n FROM readings GROUP BY device");
    let windows = "TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)";
    for query in [
        format!("SELECT device, window_end, value FROM {windows}"),
        format!(
            "SELECT device, window_end, COUNT(*) AS n FROM {windows} GROUP BY device, window_start, window_end EMIT CHANGES"
        ),
        "SELECT l.device, r.value FROM readings l JOIN readings r ON l.device = r.device \
         AND r.ts BETWEEN l.ts AND l.ts + INTERVAL '1' MINUTE"
            .to_owned(),
    ] {
        let error = machine.engine().define_here(&format!("CREATE MATERIALIZED VIEW result AS {query}"));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("'readings', whose keys have timelines of their own"), "{error}");
    }
}
