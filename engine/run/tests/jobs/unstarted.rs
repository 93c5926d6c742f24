//! Jobs that cannot start when the process does: they are shown with why, and can be dropped and replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::SchemaRef;
use headwater_core::ShardId;
use headwater_ingest::Ingest;
use headwater_log::Append;
use headwater_operators::LookupCache;
use headwater_plan::StreamDef;
use headwater_run::{
    ConnectorHost, ConnectorTable, JobState, LookupFailure, LookupTable, Role, RunError, RunningConnector,
};

use crate::machine::{Machine, Reading};
use crate::stub::Stub;

/// A database with sites that can be away, and a source of readings that cannot be begun then.
#[derive(Clone, Default)]
struct Host {
    is_away: Arc<AtomicBool>,
}

impl Host {
    fn check(&self) -> Result<(), String> {
        if self.is_away.load(Ordering::SeqCst) {
            Err("nobody answers at nowhere:5432".into())
        } else {
            Ok(())
        }
    }
}

/// The table in it: every device is at site 7.
struct Sites;

impl LookupTable for Sites {
    fn cache(&self) -> LookupCache {
        LookupCache { keys_max: 100, ttl: None, keeps_missing: true }
    }

    fn fetch(&mut self, keys: &RecordBatch) -> Result<RecordBatch, LookupFailure> {
        let sites: ArrayRef = Arc::new(Int64Array::from_value(7, keys.num_rows()));
        Ok(RecordBatch::try_from_iter([("device", Arc::clone(keys.column(0))), ("site", sites)]).unwrap())
    }
}

impl ConnectorHost for Host {
    fn validate(&self, table: &ConnectorTable) -> Result<(), String> {
        let fits = table.def.name == "sites" || table.role == Role::Source;
        if fits { Ok(()) } else { Err("it cannot be a sink".into()) }
    }

    fn only_role(&self, table: &StreamDef) -> Option<Role> {
        Some(if table.name == "sites" { Role::Sink } else { Role::Source })
    }

    fn start(
        &self,
        table: ConnectorTable,
        _ingest: Arc<Ingest>,
        _ended: Box<dyn FnOnce() + Send>,
    ) -> Result<Box<dyn RunningConnector>, RunError> {
        let failed = |reason| RunError::Connector { table: table.def.name.clone(), reason };
        self.check().map_err(failed)?;
        Ok(Box::new(Stub::running(Role::Source)))
    }

    fn look_up(
        &self,
        _table: &StreamDef,
        _columns: SchemaRef,
        _key: Vec<String>,
    ) -> Result<Box<dyn LookupTable>, String> {
        self.check()?;
        Ok(Box::new(Sites))
    }
}

fn rows(from: i64, to: i64) -> Vec<Reading> {
    (from..to).map(|nth| (["a", "b", "c"][nth as usize % 3], nth * 100, nth)).collect()
}

/// The values in a stream whose second column they are.
fn values(machine: &Machine) -> Vec<i64> {
    let rows = machine.rows("placed");
    let mut values: Vec<i64> =
        rows.iter().map(|row| row.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    values.sort_unstable();
    values
}

fn machine(host: &Host) -> Machine {
    let machine = Machine::with_connectors(5, Arc::new(host.clone()));
    machine.create_readings(2);
    machine.sql(
        "CREATE STREAM placed (device STRING, value BIGINT, site BIGINT);
         CREATE TABLE sites (device STRING, site BIGINT, PRIMARY KEY (device) NOT ENFORCED)
             WITH (connector = 'jdbc', url = 'jdbc:postgresql://nowhere/fleet');
         CREATE JOB place AS INSERT INTO placed SELECT r.device, r.value, s.site FROM readings r
             JOIN sites FOR SYSTEM_TIME AS OF PROCTIME() AS s ON r.device = s.device;
         CREATE MATERIALIZED VIEW counts AS SELECT device, COUNT(*) AS n FROM readings GROUP BY device",
    );
    machine.append(&rows(0, 30));
    machine.catch_up();
    machine
}

const STATES: &str = "SELECT name, state, target, error FROM system.jobs";

#[test]
fn one_whose_table_cannot_be_reached_is_shown_as_failed_and_tried_again() {
    let host = Host::default();
    let mut machine = machine(&host);
    host.is_away.store(true, Ordering::SeqCst);
    machine.kill(1);
    machine.append(&rows(30, 40));
    machine.turns(500);
    let expect = [
        "counts running counts null",
        "place failed placed HW4014 table sites: nobody answers at nowhere:5432",
    ];
    assert_eq!(machine.query(STATES), expect);
    assert_eq!(machine.engine().job("place").map(|job| job.state), Some(JobState::Failed));
    // How far it has come its journal says, and what waits the log.
    let far = "SELECT lag, steps > 0 AS has_begun, workers FROM system.jobs WHERE name = 'place'";
    assert_eq!(machine.query(far), ["10 true null"]);
    machine.append(&rows(40, 42));
    assert_eq!(machine.query(far), ["12 true null"]);
    host.is_away.store(false, Ordering::SeqCst);
    machine.kill(1);
    machine.catch_up();
    assert_eq!(
        machine.engine().job("place").map(|job| (job.state, job.error)),
        Some((JobState::Running, None))
    );
    assert_eq!(values(&machine), (0..42).collect::<Vec<_>>());
    assert_eq!(machine.query(far), ["0 true 1"]);
}

#[test]
fn it_can_be_dropped() {
    let host = Host::default();
    let mut machine = machine(&host);
    host.is_away.store(true, Ordering::SeqCst);
    machine.kill(1);
    machine.sql("DROP JOB place");
    machine.catch_up();
    assert_eq!(machine.query(STATES), ["counts running counts null"]);
    assert!(machine.log().stream_named("system.journal.place").is_err());
    machine.kill(1);
    machine.catch_up();
    assert_eq!(machine.query(STATES), ["counts running counts null"]);
}

#[test]
fn another_definition_goes_on_where_it_stopped() {
    let host = Host::default();
    let mut machine = machine(&host);
    host.is_away.store(true, Ordering::SeqCst);
    machine.kill(1);
    machine.append(&rows(30, 40));
    machine.sql("CREATE OR REPLACE JOB place AS INSERT INTO placed SELECT device, value, 0 FROM readings");
    machine.catch_up();
    assert_eq!(
        machine.engine().job("place").map(|job| (job.state, job.error)),
        Some((JobState::Running, None))
    );
    assert_eq!(values(&machine), (0..40).collect::<Vec<_>>(), "each row once");
    assert_eq!(machine.rows("placed").iter().filter(|row| row.ends_with(" 7")).count(), 30);
    machine.lose_power(2);
    machine.append(&rows(40, 45));
    machine.catch_up();
    assert_eq!(values(&machine), (0..45).collect::<Vec<_>>());
}

/// A statement that an earlier version took and this one does not.
fn note(machine: &Machine, name: &str, text: &str) {
    let info = machine.log().stream_named("system.catalog").unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampNanosecondArray::from_value(0, 1).with_timezone("UTC")),
        Arc::new(StringArray::from(vec!["statement"])),
        Arc::new(StringArray::from(vec![name])),
        Arc::new(StringArray::from(vec![text])),
    ];
    let rows = headwater_run::fit_columns(&info.spec.schema, columns).unwrap();
    machine.log().append(vec![Append::new(info.id, ShardId(0), rows)]).unwrap();
}

#[test]
fn one_that_cannot_be_planned_any_more_can_be_replaced_too() {
    let mut machine = machine(&Host::default());
    note(
        &machine,
        "place",
        "CREATE OR REPLACE JOB place AS INSERT INTO placed SELECT device, value, nothing FROM readings",
    );
    note(
        &machine,
        "counts",
        "CREATE OR REPLACE MATERIALIZED VIEW counts AS SELECT device, nothing(value) AS n FROM readings",
    );
    note(
        &machine,
        "young",
        "CREATE JOB young AS INSERT INTO placed SELECT device, value, nothing FROM readings",
    );
    machine.kill(1);
    machine.append(&rows(30, 40));
    let shown = machine.query("SELECT name, state FROM system.jobs WHERE error LIKE '%nothing%'");
    assert_eq!(shown, ["counts failed", "place failed", "young failed"]);
    machine.sql("CREATE OR REPLACE JOB place AS INSERT INTO placed SELECT device, value, 0 FROM readings");
    machine.turns(500);
    assert_eq!(values(&machine), (0..40).collect::<Vec<_>>(), "each row once");
    // It has not taken a row yet.
    machine.sql(
        "CREATE OR REPLACE JOB young AS INSERT INTO placed SELECT device, value + 1000, 0 FROM readings",
    );
    machine.turns(500);
    assert_eq!(values(&machine), (0..40).chain(1_000..1_040).collect::<Vec<_>>());
    // What a view has said is to be corrected, and nobody knows what it would have said.
    let view = "MATERIALIZED VIEW counts AS SELECT device, COUNT(*) AS n FROM readings GROUP BY device";
    let error = machine.engine().define_here(&format!("CREATE OR REPLACE {view}")).unwrap_err().to_string();
    assert!(error.contains("cannot be planned") && error.contains("drop it"), "{error}");
    machine.sql("DROP MATERIALIZED VIEW counts");
    machine.sql(&format!("CREATE {view}"));
    machine.catch_up();
    assert_eq!(machine.query("SELECT * FROM counts"), ["a 14", "b 13", "c 13"]);
}

/// A trigger of a set starts with the others or not at all: the journal is theirs.
#[test]
fn triggers_that_cannot_start_are_shown_too() {
    let mut machine = machine(&Host::default());
    machine.sql("CREATE TRIGGER good ON readings WHEN value > 35");
    machine.sql("CREATE TRIGGER spoilt ON readings WHEN value > 34");
    machine.append(&rows(30, 36));
    machine.catch_up();
    note(&machine, "bad", "CREATE TRIGGER bad ON readings WHEN nothing > 35");
    note(&machine, "spoilt", "CREATE OR REPLACE TRIGGER spoilt ON readings WHEN nothing > 34");
    machine.kill(1);
    machine.append(&rows(36, 40));
    machine.turns(500);
    let shown = machine.query("SELECT name, state, firings FROM system.triggers");
    assert_eq!(shown, ["bad failed 0", "good running 4", "spoilt failed 1"]);
    machine.sql("DROP TRIGGER bad");
    machine.sql("DROP TRIGGER spoilt");
    machine.catch_up();
    assert_eq!(machine.query("SELECT name FROM system.triggers"), ["good"]);
}

#[test]
fn a_table_whose_connector_cannot_start_is_shown_as_failed() {
    let host = Host::default();
    let mut machine = machine(&host);
    machine.sql("CREATE TABLE feed (device STRING, value BIGINT) WITH (connector = 'mqtt')");
    host.is_away.store(true, Ordering::SeqCst);
    machine.kill(1);
    let shown =
        machine.query("SELECT \"table\", state, last_error FROM system.connectors WHERE \"table\" = 'feed'");
    assert_eq!(shown, ["feed failed HW4014 table feed: nobody answers at nowhere:5432"]);
    machine.sql("DROP TABLE feed");
}
