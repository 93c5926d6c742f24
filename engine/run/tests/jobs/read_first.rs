//! Joins with tables of files, which are read to their end before the other side's rows are taken: these are not kept, and whatever
//! strikes, what is said is what the same query gives as a batch.

use std::sync::Arc;

use headwater_simulation::seeds;

use crate::machine::Machine;
use crate::scripts::Sources;

const TABLES: &str = "CREATE STREAM readings (device STRING, temp BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
         PARTITIONED BY (device) WITH (shards = 2);
     CREATE TABLE owners (id STRING, site STRING) WITH (connector = 'filesystem', path = '/owners.csv', ends = 'yes');";

/// Queries whose rows of readings are done with in the step in which they come, and two that keep them.
fn queries() -> Vec<String> {
    let mut queries = vec![
        "SELECT device, temp FROM readings WHERE device IN (SELECT id FROM owners WHERE site <> 's1')".to_owned(),
        "SELECT device, temp FROM readings WHERE device NOT IN (SELECT id FROM owners)".to_owned(),
        "SELECT device, temp FROM readings WHERE temp > 4 OR device IN (SELECT id FROM owners WHERE site = 's1')".to_owned(),
        "SELECT r.device, o.site FROM owners o RIGHT JOIN readings r ON o.id = r.device AND r.temp > 3".to_owned(),
        "SELECT o.site, r.temp, p.site AS other FROM readings r JOIN owners o ON r.device = o.id \
         LEFT JOIN owners p ON r.device = p.id AND p.site < o.site"
            .to_owned(),
        "SELECT g.device, g.n, o.site FROM (SELECT device, COUNT(*) AS n FROM readings GROUP BY device) g \
         LEFT JOIN owners o ON g.device = o.id"
            .to_owned(),
    ];
    for kind in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"] {
        queries.push(format!(
            "SELECT r.device, r.temp, o.id, o.site FROM readings r {kind} owners o ON r.device = o.id"
        ));
    }
    queries
}

fn life(seed: u64, query: &str) {
    let (mut machine, random) = Machine::any_with_connectors(seed, 12, Arc::new(Sources));
    machine.sql(TABLES);
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {query}"));
    let end = random.below(5);
    for round in 0..8 {
        for _ in 0..random.below(6) {
            let (device, temp) = (random.below(6), random.below(9));
            let ts = round * 1_000 + random.below(500);
            machine.insert("readings", &format!("VALUES ('d{device}', {temp}, TO_TIMESTAMP_MILLIS({ts}))"));
            if round < end {
                machine.insert("owners", &format!("VALUES ('d{}', 's{}')", random.below(6), random.below(3)));
            }
        }
        machine.turns(random.index(40));
        machine.strike(&random);
        if round == end {
            machine.engine().end_stream_here("owners").unwrap();
        }
        if round >= end {
            machine.catch_up();
            assert_eq!(machine.query("SELECT * FROM result"), machine.query(query), "round {round}: {query}");
        }
    }
    machine.engine().close_here().unwrap();
}

#[test]
fn a_view_over_a_table_read_first_holds_what_the_batch_gives() {
    let queries = queries();
    seeds::each(
        "-p headwater-run a_view_over_a_table_read_first_holds_what_the_batch_gives",
        0..queries.len() as u64 * 3,
        |seed, _story| life(seed, &queries[seed as usize % queries.len()]),
    );
}

/// Rows wait in the log until the table has been read, and not in the state; what comes out is only ever added, and in time.
#[test]
fn rows_wait_for_the_table_and_are_not_kept() {
    let mut machine = Machine::with_connectors(5, Arc::new(Sources));
    machine.sql(TABLES);
    machine.sql(
        "CREATE STREAM named (device STRING, site STRING, temp BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts);
         CREATE JOB naming AS INSERT INTO named SELECT r.device, o.site, r.temp, r.ts FROM readings r LEFT JOIN owners o ON r.device = o.id;
         CREATE MATERIALIZED VIEW sums AS SELECT window_end, site, SUM(temp) AS total FROM TUMBLE(TABLE
           (SELECT r.ts, r.temp, o.site FROM readings r JOIN owners o ON r.device = o.id), DESCRIPTOR(ts), INTERVAL '10' SECOND)
           GROUP BY window_start, window_end, site",
    );
    let reading = |machine: &Machine, device: &str, second: u64| {
        machine
            .insert("readings", &format!("VALUES ('{device}', 1, TO_TIMESTAMP_MILLIS({}))", second * 1_000));
    };
    reading(&machine, "a", 1);
    machine.insert("owners", "VALUES ('a', 'north')");
    machine.turns(200);
    machine.insert("owners", "VALUES ('b', 'south')");
    machine.turns(200);
    assert!(machine.query("SELECT * FROM named").is_empty(), "the table may go on");
    machine.kill(3);
    machine.engine().end_stream_here("owners").unwrap();
    for second in 2..400 {
        reading(&machine, ["a", "b", "c"][second as usize % 3], second);
        if second == 100 {
            machine.catch_up();
            machine.kill(1);
        }
    }
    machine.catch_up();
    let named = machine.query("SELECT site, COUNT(*) FROM named GROUP BY site");
    assert_eq!(named, ["north 134", "null 133", "south 132"].map(str::to_owned));
    assert_eq!(machine.query("SELECT COUNT(*) FROM sums"), ["78"]);
    let entries: Vec<u64> = machine.engine().jobs().into_iter().map(|job| job.state_entries).collect();
    assert!(entries.iter().all(|entries| *entries < 8), "{entries:?}");
    let batch = "SELECT r.device, o.site, r.temp, r.ts FROM readings r LEFT JOIN owners o ON r.device = o.id";
    assert_eq!(machine.query("SELECT device, site, temp, ts FROM named"), machine.query(batch));
}

/// What jobs write into is not read from files, and has no end.
#[test]
fn a_table_that_is_written_is_not_waited_for() {
    let machine = Machine::with_connectors(6, Arc::new(Sources));
    machine.sql(TABLES);
    machine.sql("CREATE JOB fill AS INSERT INTO owners SELECT device, 'north' FROM readings WHERE temp > 5");
    let query = "SELECT r.device, r.temp, o.site FROM readings r LEFT JOIN owners o ON r.device = o.id";
    machine.sql("CREATE STREAM named (device STRING, temp BIGINT, site STRING)");
    let error =
        machine.execute(&format!("CREATE JOB naming AS INSERT INTO named {query}")).unwrap_err().to_string();
    assert!(error.contains("only takes") || error.contains("append"), "{error}");
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {query}"));
    machine.insert("readings", "VALUES ('a', 1, TO_TIMESTAMP_MILLIS(1)), ('a', 7, TO_TIMESTAMP_MILLIS(2))");
    machine.catch_up();
    assert_eq!(machine.query("SELECT * FROM result"), ["a 1 north", "a 7 north"]);
}

/// A definition that wants the table read first cannot go on where rows were taken before it.
#[test]
fn a_job_that_took_rows_before_the_table_cannot_want_it_first() {
    let machine = Machine::with_connectors(7, Arc::new(Sources));
    machine.sql(TABLES);
    let view = |kind: &str| {
        format!(
            "MATERIALIZED VIEW result AS SELECT o.site, COUNT(*) AS n FROM readings r {kind} owners o ON r.device = o.id GROUP BY o.site"
        )
    };
    machine.sql(&format!("CREATE {}", view("FULL JOIN")));
    machine.insert("readings", "VALUES ('a', 1, TO_TIMESTAMP_MILLIS(1))");
    machine.turns(100);
    let error = machine.execute(&format!("CREATE OR REPLACE {}", view("LEFT JOIN"))).unwrap_err().to_string();
    assert!(error.contains("owners") && error.contains("first"), "{error}");
}
