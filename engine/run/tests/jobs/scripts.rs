//! Scripts as Flink's users have them: statement sets, INSERT INTO that goes on, tables like others.

use std::sync::Arc;

use headwater_ingest::Ingest;
use headwater_run::{ConnectorHost, ConnectorTable, RunError, RunningConnector};

use crate::machine::Machine;
use crate::stub::Stub;

const STREAMS: &str = "
    CREATE STREAM readings (device STRING, ts TIMESTAMP(3), value BIGINT, WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) \
      WITH ('clock.guard' = 'none');
    CREATE STREAM high (device STRING, value BIGINT);
    CREATE STREAM minutes (ending TIMESTAMP(3), n BIGINT)";

const SET: &str = "EXECUTE STATEMENT SET BEGIN
    INSERT INTO high SELECT device, value FROM readings WHERE value > 5;
    INSERT INTO minutes SELECT window_end, COUNT(*) FROM TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)
      GROUP BY window_start, window_end;
  END;";

#[test]
fn the_inserts_of_a_set_are_jobs_from_the_first_row_on() {
    let mut machine = Machine::new(1);
    machine.sql(STREAMS);
    machine.append(&[("a", 1_000, 3), ("b", 2_000, 9)]);
    machine.execute(SET).unwrap();
    machine.append(&[("a", 61_000, 7), ("b", 200_000, 1)]);
    machine.catch_up();
    machine.kill(3);
    machine.append(&[("c", 200_500, 8)]);
    machine.finish();
    assert_eq!(machine.query("SELECT * FROM high"), ["a 7", "b 9", "c 8"]);
    let minutes = ["1970-01-01T00:01:00 2", "1970-01-01T00:02:00 1", "1970-01-01T00:04:00 2"];
    assert_eq!(machine.query("SELECT * FROM minutes"), minutes);
    let jobs: Vec<_> = machine.engine().jobs().into_iter().map(|job| (job.name, job.target)).collect();
    let expected = [("insert_into_high", "high"), ("insert_into_minutes", "minutes")];
    assert_eq!(jobs, expected.map(|(name, target)| (name.to_owned(), target.to_owned())));
}

#[test]
fn what_a_script_sets_is_for_the_inserts_behind_it() {
    let machine = Machine::new(2);
    machine.sql(STREAMS);
    machine
        .execute(
            "SET 'pipeline.name' = 'High and mighty'; SET 'table.exec.state.ttl' = '1 h'; SET 'execution.runtime-mode' = 'streaming';
             CREATE STREAM counts (device STRING, n BIGINT, PRIMARY KEY (device) NOT ENFORCED) WITH ('changelog.mode' = 'upsert');
             INSERT INTO high SELECT device, value FROM readings;
             INSERT INTO counts SELECT device, COUNT(*) FROM readings GROUP BY device;
             SET 'execution.runtime-mode' = 'batch';
             INSERT INTO high SELECT device, 0 FROM readings;
             INSERT INTO readings VALUES ('a', '1970-01-01 00:00:01', 3)",
        )
        .unwrap();
    let names: Vec<_> = machine.engine().jobs().into_iter().map(|job| job.name).collect();
    assert_eq!(names, ["high_and_mighty", "high_and_mighty_2"]);
    machine.catch_up();
    assert_eq!(machine.query("SELECT * FROM high"), ["a 3"], "the third ran once, when there were no rows");
    assert_eq!(machine.query("SELECT * FROM counts"), ["a 1"]);
    let text = machine.query("SELECT text FROM system.catalog WHERE name = 'high_and_mighty_2'").join("");
    assert!(
        text.starts_with("SET 'ttl' = '1 h'; CREATE JOB high_and_mighty_2 AS INSERT INTO counts"),
        "{text}"
    );
}

#[test]
fn a_set_is_made_as_a_whole_or_not_at_all() {
    let machine = Machine::new(3);
    machine.sql(STREAMS);
    for (second, told) in [
        ("INSERT INTO minutes SELECT ts, valu FROM readings", "there is no column 'valu'"),
        ("INSERT INTO hours SELECT ts, value FROM readings", "there is no stream or table 'hours'"),
        ("INSERT INTO minutes SELECT ts, value FROM readings ORDER BY ts", "ORDER BY has no end"),
    ] {
        let set = format!(
            "BEGIN STATEMENT SET; INSERT INTO high SELECT device, value FROM readings; {second}; END"
        );
        let error = machine.execute(&set).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
        assert!(machine.engine().jobs().is_empty(), "{second}");
    }
    // A place in the set is one in the script.
    let error = machine
        .execute("BEGIN STATEMENT SET;\nINSERT INTO high SELECT device, valu FROM readings;\nEND")
        .unwrap_err();
    assert!(error.to_string().contains("line 2, column 33"), "{error}");
    for (bad, told) in [
        ("EXECUTE STATEMENT SET BEGIN END", "there is no INSERT INTO in the statement set"),
        ("EXECUTE STATEMENT SET BEGIN SELECT 1; END", "expected INSERT INTO or END"),
        ("EXECUTE STATEMENT SET BEGIN INSERT INTO high SELECT 'a', 1", "expected ';' or END"),
    ] {
        let error = machine.execute(bad).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn the_plans_of_a_set_are_shown_one_behind_the_other_and_nothing_is_made() {
    let machine = Machine::new(3);
    machine.sql(STREAMS);
    let set = SET.trim_start_matches("EXECUTE ");
    for explain in [
        format!("EXPLAIN {set}"),
        format!("EXPLAIN PLAN FOR {SET}"),
        format!("EXPLAIN CHANGELOG_MODE, PLAN_ADVICE {SET}"),
    ] {
        let plan = machine.query(&explain);
        for line in ["INSERT INTO high", "INSERT INTO minutes", "streaming plan"] {
            assert!(plan.iter().any(|found| found == line), "{line}: {plan:#?}");
        }
        assert!(plan.iter().any(|line| line.contains("TumbleFinal")), "{plan:#?}");
    }
    let table = "EXPLAIN CREATE TABLE more WITH ('connector' = 'x') AS SELECT device, value * 2 AS twice FROM readings";
    assert!(machine.query(table).contains(&"INSERT INTO more".to_owned()));
    for (bad, told) in [
        (SET.replace("INTO high", "INTO hihg"), "did you mean 'high'?"),
        (SET.replace("device, value", "device, valu"), "there is no column 'valu'"),
        (format!("BATCH {SET}"), "is no batch"),
    ] {
        let error = machine.try_query(&format!("EXPLAIN {bad}")).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    assert!(machine.engine().jobs().is_empty() && machine.engine().catalog().get("more").is_none());
}

/// Windows as Flink had them before table functions, one over the times of the other.
#[test]
fn windows_in_group_by_run_as_table_functions_do() {
    let machine = Machine::new(3);
    machine.sql(STREAMS);
    machine.sql(
        "CREATE MATERIALIZED VIEW old AS SELECT TUMBLE_END(t, INTERVAL '1' MINUTE) AS ending, SUM(n) AS n FROM (
           SELECT device, TUMBLE_ROWTIME(ts, INTERVAL '10' SECOND) AS t, COUNT(*) AS n FROM readings WHERE value > 2
           GROUP BY device, TUMBLE(ts, INTERVAL '10' SECOND)
           HAVING TUMBLE_START(ts, INTERVAL '10' SECOND) >= TIMESTAMP '1970-01-01 00:00:10')
         GROUP BY TUMBLE(t, INTERVAL '1' MINUTE);
         CREATE MATERIALIZED VIEW hops AS SELECT device, HOP_START(ts, INTERVAL '30' SECOND, INTERVAL '1' MINUTE) AS s, COUNT(*) AS n
           FROM readings GROUP BY HOP(ts, INTERVAL '30' SECOND, INTERVAL '1' MINUTE), device;
         CREATE VIEW tens AS SELECT device, TUMBLE_START(ts, INTERVAL '10' SECOND) AS window_start,
           TUMBLE_ROWTIME(ts, INTERVAL '10' SECOND) AS window_end, COUNT(*) AS n
           FROM readings GROUP BY device, TUMBLE(ts, INTERVAL '10' SECOND);
         CREATE MATERIALIZED VIEW over_tens AS SELECT TUMBLE_START(window_end, INTERVAL '1' MINUTE) AS window_start,
           TUMBLE_ROWTIME(window_end, INTERVAL '1' MINUTE) AS window_end, SUM(n) AS n, MAX(window_start) AS latest
           FROM tens WHERE window_start >= TIMESTAMP '1970-01-01 00:00:10' GROUP BY TUMBLE(window_end, INTERVAL '1' MINUTE);
         CREATE MATERIALIZED VIEW pairs AS SELECT r.device, TUMBLE_END(r.ts, INTERVAL '1' MINUTE) AS e, COUNT(*) AS n, MAX(s.value) AS most
           FROM readings r JOIN readings s ON r.device = s.device AND s.ts BETWEEN r.ts - INTERVAL '20' SECOND AND r.ts
           GROUP BY r.device, TUMBLE(r.ts, INTERVAL '1' MINUTE)",
    );
    let seconds = [1, 12, 25, 31, 47, 59, 61, 75, 130];
    machine.append(&seconds.map(|second| ("a", second * 1_000, second % 9)));
    machine.finish();
    let new = "SELECT window_end, COUNT(*) FROM TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE) \
        WHERE value > 2 AND ts >= TIMESTAMP '1970-01-01 00:00:10' GROUP BY window_start, window_end";
    assert_eq!(machine.query("SELECT * FROM old"), machine.query(new));
    assert_eq!(machine.query("SELECT * FROM old").len(), 3);
    let new = "SELECT window_start, window_time, COUNT(*), MAX(date_bin(INTERVAL '10' SECOND, ts)) \
        FROM TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE) WHERE ts >= TIMESTAMP '1970-01-01 00:00:10' \
        GROUP BY window_start, window_end, window_time";
    assert_eq!(machine.query("SELECT * FROM over_tens"), machine.query(new));
    let new = "SELECT device, window_start, COUNT(*) FROM \
        HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '30' SECOND, INTERVAL '1' MINUTE) GROUP BY device, window_start, window_end";
    assert_eq!(machine.query("SELECT * FROM hops"), machine.query(new));
    let new = "SELECT device, window_end, COUNT(*), MAX(other) FROM TUMBLE(TABLE (SELECT r.device, r.ts, s.value AS other FROM readings r \
        JOIN readings s ON r.device = s.device AND s.ts BETWEEN r.ts - INTERVAL '20' SECOND AND r.ts), \
        DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY device, window_start, window_end";
    assert_eq!(machine.query("SELECT * FROM pairs"), machine.query(new));
    assert_eq!(machine.query("DESCRIBE pairs")[0], "device STRING true null");
}

#[test]
fn an_insert_that_was_done_once_says_so() {
    let machine = Machine::new(3);
    machine.sql(STREAMS);
    let once = machine.notes("INSERT INTO high SELECT device, value FROM readings");
    assert!(once.len() == 1 && once[0].contains("done once, over the rows of readings so far"), "{once:?}");
    assert!(once[0].contains("CREATE JOB name AS INSERT INTO high"), "{once:?}");
    assert!(machine.notes("INSERT INTO high VALUES ('a', 1)").is_empty());
    let asked = "SET 'execution.runtime-mode' = 'batch'; INSERT INTO high SELECT device, value FROM readings";
    assert!(machine.notes(asked).is_empty(), "whoever asks for it knows");
}

#[test]
fn columns_go_by_position_and_names_in_another_order_are_told() {
    let machine = Machine::new(5);
    machine.sql("CREATE STREAM given (a BIGINT, b BIGINT); CREATE STREAM taken (b BIGINT, a BIGINT)");
    machine.execute("INSERT INTO given VALUES (1, 2)").unwrap();
    let told = "the query's column 'a' goes into 'b' of 'taken', since columns go by position; by name it would be INSERT INTO taken (a, b) ...";
    let told = |notes: Vec<String>| notes.iter().any(|note| note == told);
    assert!(told(machine.notes("INSERT INTO taken SELECT a, b FROM given")));
    assert_eq!(machine.query("SELECT b, a FROM taken"), ["1 2"]);
    assert!(told(machine.notes("CREATE JOB swap AS INSERT INTO taken SELECT a, b FROM given")));
    assert!(!told(machine.notes("INSERT INTO taken (a, b) SELECT a, b FROM given")), "that is by name");
    assert!(
        !told(machine.notes("INSERT INTO taken SELECT a AS x, b AS y FROM given")),
        "other names say nothing"
    );
}

#[test]
fn a_stream_like_another_takes_over_what_it_does_not_say_itself() {
    let mut machine = Machine::new(4);
    machine.sql(
        "CREATE STREAM base (device STRING NOT NULL, ms BIGINT, value BIGINT, ts AS TO_TIMESTAMP_LTZ(ms, 3), at AS PROCTIME(),
           WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) PARTITIONED BY (device) WITH (shards = 3, retention = '7 days');
         CREATE STREAM again LIKE base;
         CREATE STREAM more (twice AS value * 2, note STRING) WITH (shards = 2) LIKE base;
         CREATE STREAM bare (other AS ms + 1) LIKE base (EXCLUDING ALL);
         CREATE STREAM slow (WATERMARK FOR ts AS ts - INTERVAL '1' HOUR) LIKE base (OVERWRITING WATERMARKS INCLUDING OPTIONS);
         CREATE STREAM IF NOT EXISTS again LIKE base",
    );
    machine.restart(1);
    let columns = |machine: &Machine, stream: &str| {
        let catalog = machine.engine().catalog();
        let def = catalog.stream(stream).unwrap();
        let watermark = def.watermark.as_ref().map(|watermark| watermark.expr.clone());
        (def.column_names().join(" "), def.shards, def.partition_by.join(" "), watermark, def.proctime.len())
    };
    let usual = || Some("ts - INTERVAL '2' SECOND".to_owned());
    let of = |columns: &str, shards: u32, by: &str, watermark: Option<String>, proctime: usize| {
        (columns.to_owned(), shards, by.to_owned(), watermark, proctime)
    };
    assert_eq!(columns(&machine, "again"), of("device ms value ts", 3, "device", usual(), 1));
    assert_eq!(columns(&machine, "more"), of("device ms value ts twice note", 2, "device", usual(), 1));
    assert_eq!(columns(&machine, "bare"), of("device ms value other", 1, "", None, 0));
    let slow = Some("ts - INTERVAL '1' HOUR".to_owned());
    assert_eq!(columns(&machine, "slow"), of("device ms value ts", 3, "device", slow, 1));
    machine.execute("INSERT INTO more VALUES ('a', 1000, 4, 'x')").unwrap();
    assert_eq!(machine.query("SELECT * FROM more"), ["a 1000 4 1970-01-01T00:00:01Z 8 x"]);
    for (sql, told) in [
        ("CREATE STREAM s (value INT) LIKE base", "both tables have a column 'value'"),
        ("CREATE STREAM s (WATERMARK FOR ts AS ts) LIKE base", "both tables have a watermark"),
        (
            "CREATE STREAM s WITH (shards = 1) LIKE base (INCLUDING OPTIONS)",
            "both tables have the option 'shards'",
        ),
        ("CREATE STREAM s LIKE bse", "there is no stream or table 'bse'"),
        ("CREATE STREAM s LIKE base (EXCLUDING COLUMNS)", "expected ALL, CONSTRAINTS"),
        ("CREATE STREAM s LIKE base (EXCLUDING GENERATED)", "there is no column 'ts'"),
    ] {
        let error = machine.execute(sql).unwrap_err().to_string();
        assert!(error.contains(told), "{sql}\n{error}");
    }
    // It is on its own: what it was like can go.
    machine.execute("DROP STREAM base").unwrap();
    machine.restart(1);
    assert_eq!(columns(&machine, "again").1, 3);
}

#[test]
fn what_scripts_say_to_flinks_client_is_passed_over() {
    let machine = Machine::new(5);
    machine
        .execute(
            "USE CATALOG default_catalog; ADD JAR '/lib/kafka.jar'; RESET 'pipeline.name'; SET 'table.optimizer.x' = 'y';
             SET 'parallelism.default' = '4'; SET 'execution.checkpointing.interval' = '3min'; SET 'restart-strategy.type' = 'fixed-delay';
             DROP TEMPORARY VIEW IF EXISTS nothing; ALTER TABLE IF EXISTS nothing SET ('topic' = 'x')",
        )
        .unwrap();
    let error = machine.execute("SET 'table.exec.emit.early-fire.delay' = '5 s'").unwrap_err().to_string();
    assert!(error.contains("EMIT EVERY"), "{error}");
    let error =
        machine.execute("SET 'table.exec.sink.type-length-enforcer' = 'TRIM_PAD'").unwrap_err().to_string();
    assert!(error.contains("SUBSTRING"), "{error}");
    let note = machine.notes("SET 'table.exec.sink.not-null-enforcer' = 'DROP'");
    assert!(note[0].contains("system.dead_letters"), "{note:?}");
    machine
        .execute(
            "SET 'table.exec.source.idle-timeout' = '30 s'; CREATE STREAM a (x INT); \
             CREATE STREAM b (x INT) WITH ('scan.watermark.idle-timeout' = '1 min'); CREATE STREAM c LIKE a",
        )
        .unwrap();
    let catalog = machine.engine().catalog();
    let idle = |stream: &str| catalog.stream(stream).unwrap().idle_timeout.unwrap().as_secs();
    assert_eq!([idle("a"), idle("b"), idle("c")], [30, 60, 30]);
}

/// Connectors whose sources end, or do not, as the option `ends` says. Their rows are appended by the test.
pub struct Sources;

impl ConnectorHost for Sources {
    fn validate(&self, table: &ConnectorTable) -> Result<(), String> {
        let is_bad = table.def.options.contains_key("bad");
        if is_bad { Err("there is no option 'bad'".to_owned()) } else { Ok(()) }
    }

    fn start(
        &self,
        table: ConnectorTable,
        _ingest: Arc<Ingest>,
        _ended: Box<dyn FnOnce() + Send>,
    ) -> Result<Box<dyn RunningConnector>, RunError> {
        let is_bounded = table.def.options.contains_key("ends");
        Ok(Box::new(Stub { is_bounded, ..Stub::running(table.role) }))
    }
}

#[test]
fn an_insert_from_what_has_no_end_is_a_job_and_others_are_done_once() {
    let mut machine = Machine::with_connectors(8, Arc::new(Sources));
    machine
        .execute(
            "CREATE TABLE orders (id BIGINT, price DOUBLE, cost AS price * 2) WITH ('connector' = 'x');
             CREATE TABLE files (id BIGINT) WITH ('connector' = 'x', 'ends' = 'yes');
             CREATE VIEW dear AS SELECT id, cost FROM orders WHERE cost > 10;
             CREATE TABLE out (id BIGINT, cost DOUBLE) WITH ('connector' = 'x');
             CREATE STREAM once (id BIGINT);
             INSERT INTO out SELECT * FROM dear;
             INSERT INTO once SELECT id FROM files;
             INSERT INTO once VALUES (7)",
        )
        .unwrap();
    let names = |machine: &Machine| -> Vec<String> {
        machine.engine().jobs().into_iter().map(|job| job.name).collect()
    };
    assert_eq!(names(&machine), ["insert_into_out"]);
    machine.insert("orders", "VALUES (1, 4.0), (2, 6.0)");
    machine.catch_up();
    machine.kill(2);
    machine.insert("orders", "VALUES (3, 8.0)");
    machine.catch_up();
    assert_eq!(machine.query("SELECT * FROM out"), ["2 12.0", "3 16.0"]);
    assert_eq!(machine.query("SELECT * FROM once"), ["7"]);
    // A mistake is told and begins nothing.
    let error = machine.execute("INSERT INTO out SELECT id, cst FROM orders").unwrap_err().to_string();
    assert!(error.contains("there is no column 'cst'"), "{error}");
    assert_eq!(names(&machine), ["insert_into_out"]);
    machine.execute("DROP JOB insert_into_out").unwrap();
    assert!(names(&machine).is_empty());
}

#[test]
fn a_table_made_of_a_query_has_its_columns_and_a_job_or_is_not_made() {
    let machine = Machine::with_connectors(9, Arc::new(Sources));
    machine
        .execute(
            "CREATE STREAM readings (device STRING, value BIGINT);
             CREATE TABLE high WITH ('connector' = 'x') AS SELECT device, value * 2 AS twice FROM readings WHERE value > 5",
        )
        .unwrap();
    machine.execute("INSERT INTO readings VALUES ('a', 3), ('b', 8)").unwrap();
    machine.catch_up();
    assert_eq!(machine.query("SELECT device, twice FROM high"), ["b 16"]);
    machine
        .execute("CREATE TABLE IF NOT EXISTS high WITH ('connector' = 'x') AS SELECT device FROM readings")
        .unwrap();
    assert_eq!(machine.engine().jobs().len(), 1, "it was there");
    for (sql, told) in [
        (
            "CREATE TABLE low WITH ('connector' = 'x') AS SELECT valu FROM readings",
            "there is no column 'valu'",
        ),
        (
            "CREATE TABLE low WITH ('connector' = 'x', 'bad' = '1') AS SELECT value FROM readings",
            "no option 'bad'",
        ),
        (
            "CREATE TABLE low (a BOOLEAN) WITH ('connector' = 'x') AS SELECT device FROM readings",
            "into a BOOLEAN",
        ),
        ("CREATE TABLE high WITH ('connector' = 'x') AS SELECT value FROM readings", "is taken"),
    ] {
        let error = machine.execute(sql).unwrap_err().to_string();
        assert!(error.contains(told), "{sql}\n{error}");
        assert!(machine.engine().catalog().get("low").is_none(), "{sql}");
    }
    assert_eq!(machine.engine().jobs().len(), 1);
}

#[test]
fn a_sum_goes_into_a_decimal_of_fewer_digits_and_is_rounded() {
    let machine = Machine::new(5);
    machine.sql(
        "CREATE STREAM orders (price DECIMAL(10, 4), ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('clock.guard' = 'none');
         CREATE STREAM totals (total DECIMAL(8, 2));
         CREATE JOB adding AS INSERT INTO totals
           SELECT SUM(price) FROM TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_start, window_end",
    );
    let values = "INSERT INTO orders VALUES (1.2345, '1970-01-01 00:00:01'), (2.0005, '1970-01-01 00:00:02'), (0, '1970-01-01 00:02:00')";
    machine.execute(values).unwrap();
    machine.catch_up();
    assert_eq!(machine.rows("totals"), ["3.24"]);
}
