//! A column of a stream gets a wider type while rows of it are there.

use std::time::Duration;

use headwater_run::JobState;

use crate::machine::{Machine, Reading};

const METERS: &str = "CREATE STREAM meters (device STRING, ts TIMESTAMP(3), n INT, note STRING, \
    WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) WITH (shards = 1, 'clock.guard' = 'none')";

fn seconds(from: i64, to: i64) -> Vec<Reading> {
    (from..to).map(|second| ("a", second * 1_000, second)).collect()
}

fn refused(machine: &Machine, sql: &str) -> String {
    machine.engine().define_here(sql).err().unwrap_or_else(|| panic!("done: {sql}")).to_string()
}

fn insert(machine: &Machine, second: i64, n: i64) {
    let row = format!("('a', '1970-01-01T00:00:{second:02}', {n}, 'note {n}')");
    machine.execute(&format!("INSERT INTO meters VALUES {row}")).unwrap();
}

#[test]
fn jobs_that_write_there_go_on_and_rows_of_both_ages_are_read() {
    let mut machine = Machine::new(1);
    machine.checkpoint_interval = Duration::from_secs(1);
    machine.restart(1);
    machine.create_readings(1);
    machine.sql(
        "CREATE STREAM sums (window_end TIMESTAMP(3), total INT NOT NULL, mean FLOAT);
         CREATE JOB summing AS INSERT INTO sums SELECT window_end, CAST(SUM(value) AS INT), CAST(AVG(value) AS FLOAT)
         FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
         CREATE STREAM highs (device STRING, level FLOAT);
         CREATE TRIGGER high ON readings WHEN gt(value, 12)
         EXECUTE INSERT INTO highs (device, level) VALUES (device, CAST(value AS FLOAT))",
    );
    machine.append(&seconds(0, 15));
    machine.run_for(3);
    machine.sql("ALTER TABLE sums MODIFY (total BIGINT NOT NULL, mean DOUBLE)");
    machine.sql("ALTER STREAM highs MODIFY level DOUBLE");
    let described = machine.query("DESCRIBE sums").join(", ");
    assert!(described.contains("total BIGINT") && described.contains("mean DOUBLE"), "{described}");
    machine.append(&seconds(15, 35));
    machine.run_for(3);
    machine.kill(2);
    machine.append(&seconds(35, 55));
    machine.finish();
    machine.execute("INSERT INTO sums (total, mean) VALUES (3000000000, 0.1)").unwrap();
    let rows = machine.query("SELECT total, mean FROM sums ORDER BY total");
    assert_eq!(
        rows,
        ["145 14.5", "245 24.5", "260 52.0", "3000000000 0.1", "345 34.5", "445 44.5", "45 4.5"]
    );
    assert_eq!(machine.query("SELECT SUM(total) FROM sums"), ["3000001485"]);
    assert_eq!(machine.query("SELECT level FROM highs"), ["13.0"]);
    let jobs = machine.engine().jobs();
    assert!(jobs.iter().all(|job| job.state == JobState::Finished), "{jobs:?}");
}

/// A job that reads another column does not notice; one that reads this one is named, also where it is read through a view.
#[test]
fn while_jobs_read_a_column_it_stays_as_it_is() {
    let mut machine = Machine::new(2);
    machine.sql(METERS);
    machine.sql(
        "CREATE VIEW noted AS SELECT device, note FROM meters;
         CREATE MATERIALIZED VIEW notes AS SELECT device, COUNT(note) AS c FROM noted GROUP BY device;
         CREATE STREAM copies (n INT);
         CREATE VIEW big AS SELECT device, n FROM meters WHERE n > 1;
         CREATE JOB copy AS INSERT INTO copies SELECT n FROM big;
         CREATE MATERIALIZED VIEW highest AS SELECT device, MAX(n) AS n FROM meters GROUP BY device;
         CREATE TRIGGER high ON meters WHEN gt(n, 20)",
    );
    insert(&machine, 1, 5);
    machine.catch_up();
    let change = "ALTER STREAM meters ALTER COLUMN n TYPE BIGINT";
    let error = refused(&machine, change);
    let told =
        "'n' of 'meters' is read by job copy, trigger high, materialized view highest at line 1, column 14";
    assert!(error.contains(told), "{error}");
    machine.sql("DROP JOB copy; DROP TRIGGER high; PAUSE JOB highest");
    machine.turns(200);
    let error = refused(&machine, change);
    assert!(error.contains("'n' of 'meters' is read by materialized view highest at"), "{error}");
    assert_eq!(machine.query("SELECT arrow_typeof(n) FROM meters"), ["Int32"]);
    assert!(refused(&machine, "ALTER STREAM meters ALTER COLUMN ts TYPE TIMESTAMP(6)").contains("'ts' of"));

    machine.sql("DROP MATERIALIZED VIEW highest");
    machine.sql(change);
    insert(&machine, 2, 3_000_000_000);
    machine.catch_up();
    assert_eq!(machine.query("SELECT c FROM notes"), ["2"]);
    machine.kill(2);
    insert(&machine, 3, 7);
    machine.catch_up();
    assert_eq!(machine.query("SELECT c FROM notes"), ["3"]);
    assert_eq!(
        machine.query("SELECT n, arrow_typeof(n) FROM big"),
        ["3000000000 Int64", "5 Int64", "7 Int64"]
    );
    machine.sql("CREATE MATERIALIZED VIEW highest AS SELECT device, MAX(n) AS n FROM meters GROUP BY device");
    machine.catch_up();
    assert_eq!(machine.query("SELECT n FROM highest"), ["3000000000"]);
    // It has come to the widest that there is.
    assert!(
        refused(&machine, "ALTER STREAM meters MODIFY n DOUBLE")
            .contains("'n' is BIGINT and cannot become DOUBLE")
    );
}

/// A stream that takes late rows is written to by the jobs whose rows are late, as by any other.
#[test]
fn late_rows_go_into_a_stream_that_was_changed() {
    let machine = Machine::new(4);
    machine.create_readings(1);
    machine.sql(
        "CREATE STREAM stragglers (device STRING, lateness BIGINT, value FLOAT);
         CREATE MATERIALIZED VIEW result AS SELECT window_end, COUNT(*) AS n FROM
         TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY window_start, window_end
         LATE DATA TO stragglers",
    );
    machine.append(&seconds(0, 30));
    machine.append(&[("a", 3_000, 103)]);
    machine.catch_up();
    let error = refused(&machine, "ALTER STREAM stragglers ADD COLUMN note STRING");
    assert!(error.contains("late rows have no column 'note' for 'stragglers'"), "{error}");
    machine.sql("ALTER STREAM stragglers ADD COLUMN ts TIMESTAMP(3)");
    machine.append(&[("a", 4_000, 104)]);
    machine.catch_up();
    machine.sql("ALTER STREAM stragglers MODIFY (value DOUBLE, ts TIMESTAMP(6))");
    machine.append(&[("a", 5_000, 105)]);
    machine.catch_up();
    assert_eq!(
        machine.query("SELECT value, ts FROM stragglers"),
        ["103.0 null", "104.0 1970-01-01T00:00:04", "105.0 1970-01-01T00:00:05"]
    );
    assert_eq!(machine.engine().jobs()[0].state, JobState::Running);
}
