//! What a sink is told of event time in its table.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_core::EventTime;
use headwater_ingest::Ingest;
use headwater_plan::StreamDef;
use headwater_run::{ConnectorHost, ConnectorTable, Role, RunError, RunningConnector, TellWatermark};
use parking_lot::Mutex;

use super::machine::Machine;
use super::stub::Stub;

/// Keeps what the sinks that were started last were given, by their tables.
#[derive(Clone, Default)]
struct Listeners(Arc<Mutex<BTreeMap<String, TellWatermark>>>);

impl Listeners {
    fn told(&self, table: &str) -> Option<EventTime> {
        let tell = Arc::clone(&self.0.lock()[table]);
        tell()
    }
}

impl ConnectorHost for Listeners {
    fn validate(&self, _table: &ConnectorTable) -> Result<(), String> {
        Ok(())
    }

    fn only_role(&self, _table: &StreamDef) -> Option<Role> {
        Some(Role::Sink)
    }

    fn start(
        &self,
        table: ConnectorTable,
        _ingest: Arc<Ingest>,
        _ended: Box<dyn FnOnce() + Send>,
    ) -> Result<Box<dyn RunningConnector>, RunError> {
        self.0.lock().insert(table.def.name.clone(), table.watermark);
        Ok(Box::new(Stub::running(Role::Sink)))
    }
}

const SECOND: i64 = 1_000_000_000;

#[test]
fn a_sink_is_told_the_least_watermark_of_the_jobs_that_write_into_its_table() {
    let listeners = Listeners::default();
    let mut machine = Machine::with_connectors(11, Arc::new(listeners.clone()));
    machine.create_readings(1);
    machine.sql("CREATE STREAM others (device STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('clock.guard' = 'none')");
    machine.sql("CREATE TABLE out (device STRING, ts TIMESTAMP(3)) WITH (connector = 'listeners')");
    machine.sql("CREATE TABLE apart (device STRING, ts TIMESTAMP(3)) WITH (connector = 'listeners')");
    let some = |seconds: i64| Some(EventTime(seconds * SECOND));

    machine.sql("CREATE JOB straight AS INSERT INTO out SELECT device, ts FROM readings");
    assert_eq!(listeners.told("out"), Some(EventTime::MIN));
    machine.append(&[("a", 100_000, 1)]);
    assert_eq!(listeners.told("out"), Some(EventTime::MIN), "before the job has written anything");
    machine.catch_up();
    assert_eq!(machine.rows("out").len(), 1);
    assert_eq!(listeners.told("out"), some(98));

    // What a join by time says is later than its watermark.
    machine.sql(
        "CREATE JOB joined AS INSERT INTO out SELECT r.device, o.ts FROM readings AS r JOIN others AS o \
         ON r.device = o.device AND o.ts BETWEEN r.ts - INTERVAL '30' SECOND AND r.ts",
    );
    machine.catch_up();
    assert_eq!(listeners.told("out"), Some(EventTime::MIN), "nobody knows what comes of the others");
    machine.insert("others", "SELECT 'a' AS device, TIMESTAMP '1970-01-01 00:05:00' AS ts");
    machine.catch_up();
    assert_eq!(listeners.told("out"), some(98 - 30));
    machine.kill(1);
    machine.catch_up();
    assert_eq!(listeners.told("out"), some(98 - 30));

    machine.sql("DROP JOB joined");
    assert_eq!(listeners.told("out"), some(98));
    machine.sql("DROP JOB straight");
    assert_eq!(listeners.told("out"), Some(EventTime::MIN), "what it wrote last is not whole");
    machine.kill(1);
    assert_eq!(listeners.told("out"), Some(EventTime::MIN));
    machine.sql("CREATE JOB again AS INSERT INTO out SELECT device, ts FROM readings");
    machine.catch_up();
    assert_eq!(listeners.told("out"), some(98));
    machine.finish();
    assert_eq!(listeners.told("out"), Some(EventTime::MAX));
    machine.kill(1);
    machine.catch_up();
    assert_eq!(listeners.told("out"), Some(EventTime::MAX));
    machine.sql("DROP JOB again");
    assert_eq!(listeners.told("out"), None, "it had come to its end");

    // Into the other one no job has ever written.
    machine.execute("INSERT INTO apart VALUES ('b', TIMESTAMP '2026-01-01 00:00:00')").unwrap();
    assert_eq!(listeners.told("apart"), None);
}
