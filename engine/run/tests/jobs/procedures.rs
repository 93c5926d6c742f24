//! Procedures outside: functions that call them in queries over the rows so far, and tables whose rows they answer, for jobs.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use headwater_operators::LookupCache;
use headwater_plan::StreamDef;
use headwater_run::{ConnectorHost, ConnectorTable, LookupFailure, LookupTable};
use parking_lot::Mutex;

use crate::machine::Machine;

/// Answers how long a device's name is, in hundreds. `x` has no answer, `twice` has two, and `broken` is an error.
#[derive(Clone, Default)]
struct Answers {
    asked: Arc<Mutex<Vec<String>>>,
}

impl LookupTable for Answers {
    fn cache(&self) -> LookupCache {
        LookupCache { keys_max: 0, ttl: None, keeps_missing: false }
    }

    fn fetch(&mut self, keys: &RecordBatch) -> Result<RecordBatch, LookupFailure> {
        let asked: Vec<String> =
            keys.column(0).as_string::<i32>().iter().map(|key| key.unwrap().to_owned()).collect();
        self.asked.lock().extend(asked.iter().cloned());
        if asked.iter().any(|device| device == "broken") {
            return Err(LookupFailure { reason: "the device is broken".into(), is_retryable: true });
        }
        let times = |device: &str| match device {
            "x" => 0,
            "twice" => 2,
            _ => 1,
        };
        let rows: Vec<&String> =
            asked.iter().flat_map(|device| std::iter::repeat_n(device, times(device))).collect();
        let devices: ArrayRef = Arc::new(StringArray::from_iter_values(&rows));
        let answers: ArrayRef =
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.len() as i64 * 100)));
        Ok(RecordBatch::try_from_iter([("device", devices), ("result", answers)]).unwrap())
    }
}

impl ConnectorHost for Answers {
    fn validate(&self, _table: &ConnectorTable) -> Result<(), String> {
        Err("it has no topic".to_owned())
    }

    fn look_up(
        &self,
        table: &StreamDef,
        columns: SchemaRef,
        _key: Vec<String>,
    ) -> Result<Box<dyn LookupTable>, String> {
        if !table.options.contains_key("realm") {
            return Err("the option 'realm' is missing".to_owned());
        }
        assert!(["com.home.length"].contains(&table.options["procedure"].as_str()));
        assert!(columns.fields().len() == 2, "{columns:?}");
        Ok(Box::new(self.clone()))
    }
}

const FUNCTION: &str = "CREATE FUNCTION length_of(device STRING) RETURNS BIGINT LANGUAGE WAMP AS 'com.home.length' \
    WITH (realm = 'home')";
const TABLE: &str = "CREATE TABLE lengths (device STRING, result BIGINT) \
    WITH (connector = 'wamp', realm = 'home', procedure = 'com.home.length')";

fn machine(answers: &Answers) -> Machine {
    let machine = Machine::with_connectors(3, Arc::new(answers.clone()));
    machine.create_readings(1);
    machine.sql(FUNCTION);
    machine.sql(TABLE);
    machine.append(&[("a", 1_000, 1), ("bb", 2_000, 2), ("x", 3_000, 3), ("a", 4_000, 4)]);
    machine
}

#[test]
fn a_query_over_the_rows_so_far_asks_for_each_argument_once() {
    let answers = Answers::default();
    let mut machine = machine(&answers);
    let all = "SELECT value, length_of(device) FROM readings";
    assert_eq!(machine.query(all), ["1 100", "2 200", "3 null", "4 100"]);
    let mut asked = std::mem::take(&mut *answers.asked.lock());
    asked.sort();
    assert_eq!(asked, ["a", "bb", "x"]);
    machine.restart(1);
    assert_eq!(machine.query("SELECT value FROM readings WHERE length_of(device) > 100"), ["2"]);
    assert_eq!(machine.query("SELECT length_of('four') + 1"), ["401"]);
    assert_eq!(machine.query("SELECT length_of(CAST(NULL AS STRING))"), ["null"]);
    let summed = "SELECT SUM(n) FROM (SELECT length_of(device) AS n FROM readings)";
    assert_eq!(machine.query(summed), ["400"]);
    machine.sql("CREATE VIEW measured AS SELECT device, length_of(device) AS n FROM readings");
    assert_eq!(machine.query("SELECT n FROM measured WHERE device = 'bb'"), ["200"]);
    assert_eq!(
        machine.query("SHOW USER FUNCTIONS"),
        ["length_of length_of(device STRING) BIGINT the procedure com.home.length, by wamp"]
    );
}

#[test]
fn what_was_not_answered_is_told() {
    let machine = machine(&Answers::default());
    let error = |sql: &str| machine.query_badly(sql);
    let broken = error("SELECT length_of('broken')");
    assert!(broken.contains("'length_of' was not answered: the device is broken"), "{broken}");
    let twice = error("SELECT length_of('twice')");
    assert!(twice.contains("several rows for the same arguments"), "{twice}");
}

#[test]
fn where_an_answer_cannot_be_waited_for_or_repeated_it_is_refused() {
    let machine = machine(&Answers::default());
    machine.sql(
        "CREATE STREAM measured (n BIGINT); CREATE VIEW v AS SELECT length_of(device) AS n FROM readings",
    );
    let refused = |sql: &str, reason: &str| {
        let error = machine.engine().define_here(sql).err().unwrap_or_else(|| panic!("{sql}")).to_string();
        assert!(error.contains(reason), "{sql}: {error}");
    };
    // What is done again must come to the same.
    for sql in [
        "CREATE JOB j AS INSERT INTO measured SELECT length_of(device) FROM readings",
        "CREATE MATERIALIZED VIEW m AS SELECT n FROM v",
        "CREATE TRIGGER t ON readings WHEN length_of(device) > 3",
    ] {
        refused(sql, "length_of() asks outside");
    }
    for sql in [
        "CREATE VIEW w AS SELECT SUM(length_of(device)) AS n FROM readings",
        "CREATE VIEW w AS SELECT length_of(device) AS n, COUNT(*) FROM readings GROUP BY length_of(device)",
        "CREATE VIEW w AS SELECT device FROM readings ORDER BY length_of(device)",
        "CREATE VIEW w AS SELECT a.device FROM readings a JOIN readings b ON a.value = length_of(b.device)",
        "CREATE VIEW w AS SELECT length_of(CAST(length_of(device) AS STRING)) AS n FROM readings",
        "CREATE FUNCTION f(device STRING) RETURNS BIGINT AS 'length_of(device) + 1'",
    ] {
        refused(sql, "asks outside");
    }
    let no_realm = FUNCTION.replace("length_of", "other").replace("realm", "rea");
    refused(&no_realm, "the option 'realm' is missing");
    refused(&TABLE.replace("lengths", "other").replace("realm", "rea"), "the option 'realm' is missing");
}

#[test]
fn a_job_asks_a_table_which_is_nothing_else() {
    let answers = Answers::default();
    let mut machine = machine(&answers);
    machine.sql(
        "CREATE MATERIALIZED VIEW measured AS SELECT r.value, l.result FROM readings r \
         LEFT JOIN lengths FOR SYSTEM_TIME AS OF PROCTIME() AS l ON r.device = l.device",
    );
    machine.catch_up();
    machine.lose_power(2);
    machine.append(&[("bb", 5_000, 5)]);
    machine.catch_up();
    let mut rows = machine.rows("measured");
    rows.sort();
    assert_eq!(rows, ["1 100", "2 200", "3 null", "4 100", "5 200"]);
    for sql in ["SELECT * FROM lengths", "INSERT INTO lengths VALUES ('a', 1)"] {
        let error = machine.query_badly(sql);
        assert!(error.contains("its rows are what a procedure answers"), "{sql}: {error}");
    }
}
