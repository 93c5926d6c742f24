//! Windows over rows that change: what has been taken back by their end counts nowhere, and what comes after it is late.

use headwater_core::world::sim::SimRandom;
use headwater_ingest::Format;
use headwater_simulation::seeds;

use crate::changes::send;
use crate::machine::Machine;

const STREAMS: &str = "
    CREATE STREAM facts (id STRING, device STRING, value BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) \
      PARTITIONED BY (id) WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');
    CREATE STREAM items (id STRING, device STRING, value BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND, \
      PRIMARY KEY (id) NOT ENFORCED) \
      WITH ('changelog.mode' = 'upsert', shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none');
    CREATE VIEW newest AS SELECT id, device, value, ts FROM \
      (SELECT *, ROW_NUMBER() OVER (PARTITION BY id ORDER BY ts DESC, value, device) AS n FROM facts) AS r WHERE n = 1;
    CREATE VIEW sums AS SELECT MIN(id) AS id, device, SUM(value) AS value, ts FROM facts GROUP BY device, ts HAVING COUNT(*) > 0;
    CREATE VIEW both AS SELECT id, device, value, ts FROM items UNION ALL SELECT id, device, value, ts FROM newest WHERE value > 1";

fn line(id: &str, device: &str, value: i64, millis: i64, weight: i64) -> String {
    let (second, milli) = (millis / 1_000, millis % 1_000);
    let ts = format!("1970-01-01T00:{:02}:{:02}.{milli:03}Z", second / 60, second % 60);
    let weight = if weight < 0 { r#","_weight":-1"# } else { "" };
    format!(r#"{{"id":"{id}","device":"{device}","value":{value},"ts":"{ts}"{weight}}}"#) + "\n"
}

/// That a row is gone, and when it went.
fn deletion(id: &str, millis: i64) -> String {
    line(id, "gone", 0, millis, -1)
}

fn put(machine: &Machine, stream: &str, lines: &str) {
    assert_eq!(send(machine, stream, Format::JsonLines, lines), 0, "{lines}");
}

/// Moves the watermark of both shards of a stream to two seconds before a time.
fn pass(machine: &Machine, stream: &str, millis: i64) {
    let lines: String = (0..8).map(|nth| line(&format!("end{nth}"), "z", 0, millis, 1)).collect();
    put(machine, stream, &lines);
    machine.catch_up();
}

const PER_10_SECONDS: &str = "SELECT window_end, device, COUNT(*) AS n, SUM(value) AS total, MAX(value) AS most \
    FROM TUMBLE(TABLE items, DESCRIPTOR(ts), INTERVAL '10' SECOND) WHERE device <> 'z' GROUP BY window_start, window_end, device";

#[test]
fn what_is_taken_back_in_time_leaves_no_trace_and_what_comes_later_is_late() {
    let life = |between: &dyn Fn(&mut Machine)| {
        let mut machine = Machine::new(1);
        machine.sql(STREAMS);
        machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {PER_10_SECONDS}"));
        let step = |machine: &mut Machine, lines: String| {
            put(machine, "items", &lines);
            machine.catch_up();
            between(machine);
        };
        // Of device b nothing is left, of a one row of three, and one has moved into the next window.
        step(
            &mut machine,
            line("1", "a", 5, 1_000, 1) + &line("2", "b", 7, 2_000, 1) + &line("3", "a", 9, 3_000, 1),
        );
        step(
            &mut machine,
            deletion("2", 4_000) + &line("1", "a", 4, 4_000, 1) + &line("4", "a", 6, 5_000, 1),
        );
        step(&mut machine, line("3", "c", 8, 11_000, 1) + &deletion("4", 11_000));
        assert!(machine.rows("result").is_empty(), "nothing comes out before the end");
        pass(&machine, "items", 12_500);
        between(&mut machine);
        let first = "1970-01-01T00:00:10 a 1 4 4";
        assert_eq!(machine.rows("result"), [first]);
        // The window has closed: that the row is gone is late, what comes instead is not.
        step(&mut machine, line("1", "a", 3, 13_000, 1));
        pass(&machine, "items", 30_000);
        machine.catch_up();
        let second = "1970-01-01T00:00:20";
        assert_eq!(
            machine.rows("result"),
            [first.to_owned(), format!("{second} a 1 3 3"), format!("{second} c 1 8 8")]
        );
        let late = machine.rows("system.late_rows");
        assert_eq!(late.len(), 1, "{late:?}");
        assert!(late[0].contains(r#""value":4"#) && late[0].contains(r#""_weight":-1"#), "{late:?}");
        machine.engine().close_here().unwrap();
    };
    life(&|_| {});
    for workers in [1, 3] {
        life(&|machine| machine.kill(workers));
        life(&|machine| machine.restart(workers));
    }
}

/// A window that is changed after its end comes out with it and not before.
#[test]
fn a_window_of_changes_takes_late_ones_for_as_long_as_it_may() {
    let mut machine = Machine::new(2);
    machine.sql(STREAMS);
    machine.sql(&format!(
        "CREATE MATERIALIZED VIEW result AS {PER_10_SECONDS} ALLOW LATENESS INTERVAL '5' SECOND"
    ));
    put(&machine, "items", &(line("1", "a", 5, 1_000, 1) + &line("2", "b", 7, 2_000, 1)));
    machine.catch_up();
    put(&machine, "items", &line("1", "a", 6, 1_000, 1));
    machine.catch_up();
    assert!(machine.rows("result").is_empty());
    pass(&machine, "items", 12_500);
    let of = |rest: &str| format!("1970-01-01T00:00:10 {rest}");
    assert_eq!(machine.rows("result"), [of("a 1 6 6 1"), of("b 1 7 7 1")]);
    machine.kill(3);
    put(&machine, "items", &(line("1", "a", 9, 1_500, 1) + &deletion("2", 12_000)));
    machine.catch_up();
    machine.kill(2);
    assert_eq!(machine.query("SELECT * FROM result"), [of("a 1 9 9")]);
    pass(&machine, "items", 17_500);
    put(&machine, "items", &line("1", "a", 1, 1_500, 1));
    machine.catch_up();
    assert_eq!(machine.query("SELECT * FROM result"), [of("a 1 9 9")]);
    let late = machine.rows("system.late_rows");
    assert_eq!(late.iter().filter(|row| row.contains(r#""_weight":-1"#)).count(), 1, "{late:?}");
    assert_eq!(late.iter().filter(|row| row.contains(r#""_weight":1"#)).count(), 1, "{late:?}");
    machine.engine().close_here().unwrap();
}

/// Ids of one block of four seconds change while no window of theirs has ended: those end at multiples of four seconds.
fn append(machine: &Machine, random: &SimRandom, second: i64) {
    for stream in ["facts", "items"] {
        let lines = (0..random.below(7)).map(|_| {
            let id = format!("{}{}", ["p", "q", "r", "s"][random.index(4)], second / 4);
            let millis = second * 1_000 + random.below(8) as i64 * 250;
            if stream == "items" && random.chance(1, 5) {
                return deletion(&id, millis);
            }
            line(&id, ["a", "b", "c"][random.index(3)], random.below(5) as i64, millis, 1)
        });
        put(machine, stream, &lines.collect::<String>());
    }
}

fn windows_of(random: &SimRandom, table: &str) -> String {
    let of = |function: &str, lengths: &str| format!("{function}(TABLE {table}, DESCRIPTOR(ts), {lengths})");
    match random.below(4) {
        0 | 1 => of("TUMBLE", "INTERVAL '4' SECOND"),
        2 => of("HOP", "INTERVAL '4' SECOND, INTERVAL '8' SECOND"),
        _ => of("CUMULATE", "INTERVAL '4' SECOND, INTERVAL '12' SECOND"),
    }
}

/// Each is one of windows `#`, and ends with them.
const QUERIES: [&str; 12] = [
    "SELECT window_start, window_end, device, COUNT(*) AS n, SUM(value) AS total, MIN(value) AS least, MAX(value) AS most FROM # \
     GROUP BY window_start, window_end, device",
    "SELECT window_end, COUNT(DISTINCT device) AS devices, COUNT(*) FILTER (WHERE value > 2) AS some, MAX(ts) AS last FROM # \
     WHERE value > 0 AND window_start >= TIMESTAMP '1970-01-01 00:00:12' GROUP BY window_end",
    "SELECT window_end, device, COUNT(*) AS n FROM # GROUP BY window_end, device HAVING SUM(value) > 3",
    "SELECT DISTINCT window_end, device FROM #",
    "SELECT window_end, device, GROUPING(device) AS g, SUM(value) AS total FROM # GROUP BY window_start, window_end, ROLLUP (device)",
    "SELECT window_end, SUM(n) AS n, COUNT(*) AS parts FROM TUMBLE(TABLE (SELECT window_time AS t, device, COUNT(*) AS n FROM # \
     GROUP BY window_start, window_end, window_time, device), DESCRIPTOR(t), INTERVAL '12' SECOND) GROUP BY window_end",
    "SELECT window_end, device, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_end ORDER BY n DESC, device) AS place FROM \
     (SELECT window_end, device, COUNT(*) AS n FROM # GROUP BY window_end, device) AS c) AS r WHERE place <= 2",
    "SELECT window_end, id, value FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, device \
     ORDER BY value DESC, id, ts) AS place FROM #) AS r WHERE place = 1",
    "SELECT l.window_end, l.device, l.n, r.most FROM (SELECT window_end, device, COUNT(*) AS n FROM # GROUP BY window_end, device) AS l \
     LEFT JOIN (SELECT window_end, device, MAX(value) AS most FROM # WHERE value < 3 GROUP BY window_end, device) AS r \
     ON l.window_end = r.window_end AND l.device = r.device",
    "SELECT l.window_end, l.id, r.value FROM (SELECT * FROM # WHERE value < 2) AS l LEFT JOIN (SELECT * FROM # WHERE value = 3) AS r \
     ON l.window_end = r.window_end AND l.device = r.device",
    "SELECT window_end, MAX(n) AS most FROM (SELECT window_end, device, COUNT(*) AS n FROM # GROUP BY window_end, device) AS c \
     GROUP BY window_end",
    "SELECT window_end, FLOOR(AVG(value) * 4) AS mean, BIT_XOR(value) AS bits FROM # GROUP BY window_end",
];

fn life(seed: u64) {
    let (mut machine, random) = Machine::any(seed, 20);
    machine.sql(STREAMS);
    let table = ["items", "newest", "sums", "both"][random.index(4)];
    let query = QUERIES[seed as usize % QUERIES.len()].replace('#', &windows_of(&random, table));
    // Windows over what changes after it came out have no time.
    let choices = if query.contains("window_time") { 1 } else { 4 };
    let emit = ["", " EMIT CHANGES", " ALLOW LATENESS INTERVAL '4' SECOND", ""][random.index(choices)];
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {query}{emit}"));
    let mut second = 10;
    for round in 0..24 {
        append(&machine, &random, second);
        machine.turns(random.index(40));
        machine.strike(&random);
        second += random.below(3) as i64;
        if round % 5 == 0 && emit == " EMIT CHANGES" {
            machine.catch_up();
            assert_eq!(machine.query("SELECT * FROM result"), machine.query(&query), "{query}{emit}");
        }
    }
    machine.finish_streams(&["facts", "items"]);
    let expected = machine.query(&query);
    assert_eq!(machine.query("SELECT * FROM result"), expected, "{query}{emit}");
    assert!(machine.rows("system.late_rows").is_empty(), "{query}{emit}");
    // What is said at a window's end is said once; joins of the rows themselves follow their changes.
    if emit.is_empty() && !query.contains("LEFT JOIN (SELECT * FROM") {
        let mut said = machine.rows("result");
        said.sort();
        assert_eq!(said, expected, "{query}");
    }
    machine.engine().close_here().unwrap();
}

#[test]
fn windows_over_rows_that_change_hold_what_the_batch_gives_whatever_strikes() {
    seeds::each(
        "-p headwater-run windows_over_rows_that_change_hold_what_the_batch_gives_whatever_strikes",
        0..60,
        |seed, _story| life(seed),
    );
}

/// State of windows ends with them, also of those that have lost all their rows.
#[test]
fn windows_that_are_emptied_are_forgotten_with_the_others() {
    let machine = Machine::new(3);
    machine.sql(STREAMS);
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {PER_10_SECONDS}"));
    let mut kept = Vec::new();
    for window in 1..60 {
        let at = |millis: i64| window * 10_000 + millis;
        put(&machine, "items", &(line("1", "a", 1, at(1_000), 1) + &line("2", "b", 2, at(2_000), 1)));
        machine.catch_up();
        put(&machine, "items", &(deletion("2", at(3_000)) + &deletion("1", at(3_000))));
        pass(&machine, "items", at(12_000));
        kept.push(machine.engine().jobs()[0].state_entries);
    }
    assert!(machine.rows("result").is_empty());
    assert_eq!(kept[9], kept[58], "{kept:?}");
    machine.engine().close_here().unwrap();
}
