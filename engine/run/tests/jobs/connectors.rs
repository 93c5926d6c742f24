//! Connectors that failed are started again, and told otherwise.

use std::sync::Arc;

use headwater_ingest::Ingest;
use headwater_plan::StreamDef;
use headwater_run::{ConnectorHost, ConnectorTable, Role, RunError, RunningConnector};
use parking_lot::Mutex;

use super::machine::Machine;
use super::stub::Stub;

/// Doors that are open or closed, by their names: where each connector went that was started.
#[derive(Clone, Default)]
struct Doors(Arc<Mutex<Vec<String>>>);

impl Doors {
    fn tried(&self) -> String {
        self.0.lock().join(" ")
    }
}

impl ConnectorHost for Doors {
    fn validate(&self, table: &ConnectorTable) -> Result<(), String> {
        match (table.role, table.def.options.contains_key("dor")) {
            (Role::Source, _) => Err("it cannot be a source".to_owned()),
            (Role::Sink, true) => Err("there is no option 'dor'".to_owned()),
            (Role::Sink, false) => Ok(()),
        }
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
        let door = table.def.options["door"].clone();
        self.0.lock().push(door.clone());
        let error = (door == "closed").then_some("HW5005: the door is closed");
        Ok(Box::new(Stub { error, ..Stub::running(Role::Sink) }))
    }
}

#[test]
fn a_connector_that_failed_is_started_again_and_told_otherwise() {
    let doors = Doors::default();
    let mut machine = Machine::with_connectors(7, Arc::new(doors.clone()));
    machine.sql("CREATE TABLE out (n BIGINT) WITH (connector = 'doors', type = 'sink', door = 'closed')");
    let state = |machine: &Machine| machine.query("SELECT state FROM system.connectors").join(" ");
    assert_eq!((state(&machine).as_str(), doors.tried().as_str()), ("failed", "closed"));

    machine.execute("RESUME TABLE out").unwrap();
    assert_eq!(doors.tried(), "closed closed");
    let error = machine.execute("ALTER TABLE out SET (dor = 'open')").unwrap_err().to_string();
    assert!(error.contains("there is no option 'dor'"), "{error}");
    assert_eq!(doors.tried(), "closed closed", "what is refused stops nothing");
    machine.execute("ALTER TABLE out SET (door = 'open')").unwrap();
    assert_eq!((state(&machine).as_str(), doors.tried().as_str()), ("running", "closed closed open"));

    // What was changed stays so.
    machine.restart(1);
    assert_eq!((state(&machine).as_str(), doors.tried().as_str()), ("running", "closed closed open open"));
    for (sql, told) in [
        ("RESUME TABLE nowhere", "there is no table 'nowhere'"),
        (
            "ALTER TABLE out ADD COLUMN m BIGINT",
            "'out' has the columns of what its connector reads or writes",
        ),
    ] {
        let error = machine.execute(sql).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}
