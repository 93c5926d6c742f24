//! When rows come out that change.

use headwater_simulation::seeds;

use crate::machine::Machine;

const EVERY_10_SECONDS: &str = "CREATE MATERIALIZED VIEW result AS SELECT window_end, device, COUNT(*) AS n, SUM(value) AS total \
    FROM TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '30' SECOND) GROUP BY window_start, window_end, device \
    EMIT EVERY INTERVAL '10' SECOND";

/// Appends in a step of its own.
fn step(machine: &Machine, readings: &[(&'static str, i64, i64)]) {
    machine.append(readings);
    machine.catch_up();
}

/// The watermark is two seconds behind the rows: it comes to a multiple of ten with the row of second 12, 22, and so on.
fn life(seed: u64, between: impl Fn(&mut Machine)) -> Vec<String> {
    let mut machine = Machine::new(seed);
    machine.create_readings(1);
    machine.sql(EVERY_10_SECONDS);
    let readings: [&[(&'static str, i64, i64)]; 8] = [
        &[("a", 1_000, 1)],
        &[("a", 5_000, 2), ("b", 11_000, 1)],
        &[("b", 12_500, 5)],
        &[("a", 15_000, 3)],
        &[("a", 23_000, 4)],
        &[("c", 24_000, 1)],
        // Nothing of the first window has changed since second 20 but that of c.
        &[("a", 33_000, 1)],
        &[("a", 65_000, 1)],
    ];
    for readings in readings {
        step(&machine, readings);
        between(&mut machine);
    }
    machine.catch_up();
    let rows = machine.rows("result");
    machine.engine().close_here().unwrap();
    rows
}

#[test]
fn windows_come_out_at_the_interval_until_they_close() {
    let expected = [
        // The first watermark is one that time comes to.
        "1970-01-01T00:00:30 a 1 1 1",
        // At 0.
        "1970-01-01T00:00:30 a 1 1 -1",
        "1970-01-01T00:00:30 a 2 3 1",
        "1970-01-01T00:00:30 b 1 1 1",
        // At 10.
        "1970-01-01T00:00:30 b 1 1 -1",
        "1970-01-01T00:00:30 b 2 6 1",
        // At 20.
        "1970-01-01T00:00:30 a 2 3 -1",
        "1970-01-01T00:00:30 a 4 10 1",
        // At 30, with the first row of the next window.
        "1970-01-01T00:00:30 c 1 1 1",
        "1970-01-01T00:01:00 a 1 1 1",
        // At 60.
        "1970-01-01T00:01:30 a 1 1 1",
    ];
    let sorted = |mut rows: Vec<String>| {
        rows.sort();
        rows
    };
    let straight = life(1, |_| {});
    assert_eq!(sorted(straight.clone()), sorted(expected.map(str::to_owned).to_vec()));
    for workers in [1, 3] {
        assert_eq!(life(1, |machine| machine.kill(workers)), straight, "{workers} workers");
        assert_eq!(life(2, |machine| machine.restart(workers)), straight, "{workers} workers");
    }
}

#[test]
fn groups_without_windows_and_joins_come_out_at_the_interval_too() {
    let machine = Machine::new(3);
    machine.create_readings(2);
    machine.sql(
        "CREATE MATERIALIZED VIEW result AS SELECT l.device, l.n, r.total FROM \
         (SELECT device, COUNT(*) AS n FROM readings GROUP BY device) l JOIN \
         (SELECT device, SUM(value) AS total FROM readings GROUP BY device) r ON l.device = r.device \
         EMIT EVERY INTERVAL '1' MINUTE",
    );
    machine.append(&[("a", 1_000, 1), ("b", 1_000, 1)]);
    machine.append(&[("a", 63_000, 1), ("b", 63_000, 1)]);
    machine.catch_up();
    let before = machine.query("SELECT * FROM result");
    for second in 64..110 {
        step(&machine, &[("a", second * 1_000, 1), ("b", second * 1_000, 1)]);
    }
    assert_eq!(machine.query("SELECT * FROM result"), before, "nothing is said before the second minute");
    step(&machine, &[("a", 130_000, 1), ("b", 130_000, 1)]);
    assert_eq!(machine.query("SELECT * FROM result"), ["a 49 49", "b 49 49"]);
    assert!(machine.rows("result").len() <= 10, "what came and went is not said");
}

#[test]
fn sessions_come_out_early_and_are_taken_back_when_they_become_one() {
    let life = |between: &dyn Fn(&mut Machine)| {
        let mut machine = Machine::new(4);
        machine.create_readings(1);
        machine.sql(
            "CREATE MATERIALIZED VIEW result AS SELECT device, window_start, window_end, COUNT(*) AS n, SUM(value) AS total FROM \
             SESSION(TABLE readings PARTITION BY device, DESCRIPTOR(ts), INTERVAL '3' SECOND) GROUP BY device, window_start, window_end \
             EMIT CHANGES ALLOW LATENESS INTERVAL '10' SECOND",
        );
        let readings: [&[(&'static str, i64, i64)]; 5] = [
            &[("a", 1_000, 1), ("a", 5_000, 2)],
            // Between the two, and time has passed the first one's end.
            &[("b", 7_000, 9)],
            &[("a", 3_500, 4)],
            // What changes nothing is not said: both are late for good.
            &[("b", 40_000, 1)],
            &[("a", 2_000, 7)],
        ];
        for readings in readings {
            step(&machine, readings);
            between(&mut machine);
        }
        machine.catch_up();
        let rows = (machine.rows("result"), machine.rows("system.late_rows").len());
        machine.engine().close_here().unwrap();
        rows
    };
    let (a, b) = ("1970-01-01T00:00:0", "1970-01-01T00:00:");
    let expected = [
        format!("a {a}1 {a}4 1 1 1"),
        format!("a {a}5 {a}8 1 2 1"),
        format!("b {a}7 {b}10 1 9 1"),
        format!("a {a}1 {a}4 1 1 -1"),
        format!("a {a}1 {a}8 3 7 1"),
        format!("a {a}5 {a}8 1 2 -1"),
        format!("b {b}40 {b}43 1 1 1"),
    ];
    let straight = life(&|_| {});
    assert_eq!(straight, (expected.to_vec(), 1));
    for workers in [1, 3] {
        assert_eq!(life(&|machine| machine.kill(workers)), straight, "{workers} workers");
    }
}

/// What is made of windows that come out early follows them, and ends with them.
#[test]
fn what_is_over_windows_that_come_out_early_ends_with_them() {
    let windows = "TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '2' SECOND)";
    let counts = |more: &str| {
        format!(
            "SELECT window_end, device, COUNT(*) AS n FROM {windows}{more} GROUP BY window_start, window_end, device"
        )
    };
    let (all, some) = (counts(""), counts(" WHERE value > 1"));
    let first = |partition: &str, order: &str, of: &str| {
        format!(
            "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY {partition} ORDER BY {order}) AS place FROM {of}) AS x WHERE place <= 2"
        )
    };
    let joined = |kind: &str, more: &str| {
        format!(
            "SELECT l.window_end, l.device, l.n, r.n AS others FROM ({all}) AS l {kind} JOIN ({some}) AS r \
             ON l.window_end = r.window_end AND l.device = r.device{more}"
        )
    };
    let queries = [
        first("window_end", "n DESC, device", &format!("({all}) AS c")),
        first("window_start, device", "value DESC, ts", windows),
        joined("", ""),
        joined("LEFT", ""),
        joined("FULL", " AND l.n > r.n"),
        format!("SELECT * FROM ({}) AS j WHERE n > 1", joined("LEFT", " AND l.n > r.n")),
        first("window_end", "n DESC, device", &format!("({}) AS j", joined("LEFT", ""))),
        format!(
            "SELECT window_end, MAX(n) AS most, COUNT(*) AS devices FROM ({all}) AS c GROUP BY window_end"
        ),
        format!(
            "SELECT window_end, device FROM ({all}) AS c EXCEPT SELECT window_end, device FROM ({some}) AS d"
        ),
        format!(
            "SELECT l.window_end, l.device, l.value, r.value AS other FROM (SELECT * FROM {windows} WHERE value < 3) AS l \
             LEFT JOIN (SELECT * FROM {windows} WHERE value = 3) AS r ON l.window_end = r.window_end AND l.device = r.device"
        ),
    ];
    seeds::each(
        "-p headwater-run what_is_over_windows_that_come_out_early_ends_with_them",
        0..20,
        |seed, _story| {
            early_life(seed, &queries[seed as usize % queries.len()]);
        },
    );
}

fn early_life(seed: u64, query: &str) {
    let (mut machine, random) = Machine::any(seed, 20);
    machine.create_readings(1);
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {query} EMIT CHANGES"));
    let mut second = 10;
    for round in 0..30 {
        // Never further behind than the watermark is.
        let any = |_| {
            (
                ["a", "b", "c"][random.index(3)],
                second * 1_000 + random.below(1_900) as i64,
                random.below(5) as i64,
            )
        };
        machine.append(&(0..=random.below(5)).map(any).collect::<Vec<_>>());
        machine.strike(&random);
        second += random.below(3) as i64;
        if round % 4 == 0 {
            machine.catch_up();
            assert_eq!(machine.query("SELECT * FROM result"), machine.query(query), "seed {seed}: {query}");
        }
    }
    machine.append(&[("a", (second + 100) * 1_000, 1)]);
    machine.catch_up();
    assert_eq!(machine.query("SELECT * FROM result"), machine.query(query), "seed {seed}: {query}");
    assert!(machine.rows("system.late_rows").is_empty());
    let kept = machine.engine().jobs()[0].state_entries;
    assert!(kept <= 6, "seed {seed}: {kept} entries are kept of one window with one row: {query}");
}
