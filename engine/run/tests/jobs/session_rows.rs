//! The rows of sessions, which come out with the bounds of theirs when those have ended.

use headwater_core::world::sim::SimRandom;
use headwater_simulation::seeds;

use crate::machine::Machine;

/// Times are of even milliseconds, so that no row is exactly a gap behind another.
const SESSIONS: &str = "SESSION(TABLE readings PARTITION BY device, DESCRIPTOR(ts), INTERVAL '3.001' SECOND)";

#[test]
fn rows_come_out_with_their_session_when_it_ends() {
    let life = |between: &dyn Fn(&mut Machine)| {
        let mut machine = Machine::new(1);
        machine.create_readings(1);
        machine.sql(
            "CREATE MATERIALIZED VIEW result AS SELECT * FROM \
             SESSION(TABLE readings PARTITION BY device, DESCRIPTOR(ts), INTERVAL '3' SECOND)",
        );
        let step = |machine: &mut Machine, readings: &[(&'static str, i64, i64)]| {
            machine.append(readings);
            machine.catch_up();
            between(machine);
        };
        step(&mut machine, &[("a", 1_500, 1), ("a", 6_000, 2), ("b", 2_000, 3)]);
        // The watermark is at 4: b's session goes on to 5, and then to 7.5; the two of a become one.
        step(&mut machine, &[("b", 4_500, 4), ("a", 3_500, 5)]);
        assert!(machine.rows("result").is_empty());
        step(&mut machine, &[("c", 9_600, 6)]);
        let at = |second: &str| format!("1970-01-01T00:00:{second}");
        let row = |device: &str, ts: &str, value: i64, bounds: [&str; 3]| {
            let bounds = bounds.map(at).join(" ");
            format!("{device} {} {value} {bounds}", at(ts))
        };
        let b = ["02", "07.500", "07.499"];
        let of_b = [row("b", "02", 3, b), row("b", "04.500", 4, b)];
        assert_eq!(machine.rows("result"), of_b);
        step(&mut machine, &[("c", 30_000, 7)]);
        let (a, c) = (["01.500", "09", "08.999"], ["09.600", "12.600", "12.599"]);
        let of_a = [row("a", "01.500", 1, a), row("a", "06", 2, a), row("a", "03.500", 5, a)];
        let mut expected = [of_b.to_vec(), of_a.to_vec(), vec![row("c", "09.600", 6, c)]].concat();
        let mut found = machine.rows("result");
        assert_eq!(found[..2], expected[..2]);
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
        machine.engine().close_here().unwrap();
    };
    life(&|_| {});
    for workers in [1, 3] {
        life(&|machine| machine.kill(workers));
        life(&|machine| machine.restart(workers));
    }
}

fn queries() -> Vec<String> {
    let first = |partition: &str, order: &str, which: &str| {
        format!(
            "SELECT window_start, device, ts, value FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY {partition} ORDER BY {order}) AS place \
             FROM {SESSIONS}) AS r WHERE {which}"
        )
    };
    vec![
        format!("SELECT * FROM {SESSIONS}"),
        format!(
            "SELECT device, window_end, value + 1 AS next FROM {SESSIONS} WHERE value > 1 AND window_start > TIMESTAMP '1970-01-01 00:00:15'"
        ),
        "SELECT * FROM SESSION(TABLE readings, DESCRIPTOR(ts), INTERVAL '1.001' SECOND)".to_owned(),
        first("window_start, window_end, device", "value DESC, ts", "place <= 2"),
        first("window_end, device", "ts, value", "place = 1"),
        format!(
            "SELECT l.device, l.window_end, l.value, r.value AS other FROM {SESSIONS} AS l JOIN {SESSIONS} AS r \
             ON l.device = r.device AND l.window_end = r.window_end AND l.value < r.value"
        ),
        // By other keys than those that have sessions, some of the rows, and sets of keys.
        format!(
            "SELECT window_end, value % 2 AS odd, COUNT(*) AS n, MAX(value) AS most FROM {SESSIONS} WHERE value > 0 GROUP BY window_end, value % 2"
        ),
        format!(
            "SELECT window_start, window_end, device, COUNT(*) AS n FROM {SESSIONS} GROUP BY window_start, window_end, ROLLUP (device)"
        ),
        // Once more by other windows, at the time of the session.
        format!(
            "SELECT window_end, COUNT(*) AS n, SUM(value) AS total FROM TUMBLE(TABLE (SELECT window_time AS t, value FROM {SESSIONS}), \
             DESCRIPTOR(t), INTERVAL '4' SECOND) GROUP BY window_start, window_end"
        ),
    ]
}

fn append(machine: &Machine, random: &SimRandom, second: i64) {
    let any = |_| {
        let millis = second * 1_000 + random.below(950) as i64 * 2;
        (["a", "b", "c"][random.index(3)], millis, random.below(5) as i64)
    };
    machine.append(&(0..random.below(5)).map(any).collect::<Vec<_>>());
}

fn life(seed: u64, query: &str) {
    let (mut machine, random) = Machine::any(seed, 20);
    machine.create_readings(1 + random.index(3) as u32);
    // Windows over what changes after it came out have no time.
    let may_be_early = !query.contains("TUMBLE");
    let emit = [" EMIT CHANGES", ""][usize::from(!may_be_early || random.chance(2, 3))];
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {query}{emit}"));
    let mut second = 10;
    for round in 0..24 {
        append(&machine, &random, second);
        machine.turns(random.index(40));
        machine.strike(&random);
        second += random.below(4) as i64;
        if round % 5 == 0 && !emit.is_empty() {
            machine.catch_up();
            assert_eq!(machine.query("SELECT * FROM result"), machine.query(query), "{query}{emit}");
        }
    }
    machine.finish();
    let expected = machine.query(query);
    assert_eq!(machine.query("SELECT * FROM result"), expected, "{query}{emit}");
    assert!(machine.rows("system.late_rows").is_empty(), "{query}{emit}");
    if emit.is_empty() {
        let mut said = machine.rows("result");
        said.sort();
        assert_eq!(said, expected, "{query}: each row is said once");
    }
    machine.engine().close_here().unwrap();
}

#[test]
fn rows_of_sessions_hold_what_the_batch_gives_whatever_strikes() {
    let queries = queries();
    seeds::each(
        "-p headwater-run rows_of_sessions_hold_what_the_batch_gives_whatever_strikes",
        0..54,
        |seed, _story| life(seed, &queries[seed as usize % queries.len()]),
    );
}

/// The same rows whatever the number of workers, in the same order; and a key's own timeline ends its sessions.
#[test]
fn rows_of_sessions_are_in_one_order_and_follow_the_timeline_of_their_key() {
    let life = |workers: usize| {
        let mut machine = Machine::new(5);
        machine.restart(workers);
        machine.sql(
            "CREATE STREAM fleet (device STRING, ts TIMESTAMP(3), value BIGINT, WATERMARK FOR ts AS ts PER device) \
             PARTITIONED BY (device) WITH ('clock.guard' = 'none');
             CREATE MATERIALIZED VIEW result AS SELECT * FROM \
               SESSION(TABLE fleet PARTITION BY device, DESCRIPTOR(ts), INTERVAL '3' SECOND) WHERE value > 0",
        );
        machine.create_readings(1);
        machine.sql(&format!("CREATE MATERIALIZED VIEW others AS SELECT * FROM {SESSIONS}"));
        machine.insert("fleet", "VALUES ('a', '1970-01-01 00:00:01', 1), ('a', '1970-01-01 00:00:02', 0), ('b', '1970-01-01 00:01:00', 2)");
        machine.catch_up();
        assert!(machine.rows("result").is_empty());
        machine.insert("fleet", "VALUES ('a', '1970-01-01 00:00:09', 3)");
        machine.catch_up();
        let bounds = "1970-01-01T00:00:01 1970-01-01T00:00:05 1970-01-01T00:00:04.999";
        assert_eq!(machine.rows("result"), [format!("a 1970-01-01T00:00:01 1 {bounds}")]);
        let devices = ["a", "b", "c", "d", "e", "f", "g", "h"];
        machine.append(&devices.map(|device| (device, 1_000, 1)));
        machine.append(&devices.map(|device| (device, 2_000, 2)));
        machine.append(&devices.map(|device| (device, 90_000, 3)));
        machine.catch_up();
        let rows = machine.rows("others");
        assert_eq!(rows.len(), 16);
        machine.engine().close_here().unwrap();
        rows
    };
    let straight = life(1);
    assert_eq!((life(2), life(4)), (straight.clone(), straight));
}
