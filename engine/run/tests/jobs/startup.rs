//! Jobs that do not begin with the first row: where that is, is settled once, whatever becomes of the process.

use std::sync::Arc;

use headwater_ingest::Ingest;
use headwater_plan::StreamDef;
use headwater_run::{ConnectorHost, ConnectorTable, ReplaySpec, Role, RunError, RunningConnector};
use parking_lot::Mutex;

use crate::alarms::lose_checkpoints;
use crate::machine::Machine;
use crate::stub::Stub;

const LATEST: &str = "/*+ OPTIONS('scan.startup.mode' = 'latest-offset') */";

fn insert(machine: &Machine, stream: &str, values: std::ops::Range<i64>) {
    let values: Vec<String> = values.map(|value| format!("({value}, 'k')")).collect();
    machine.execute(&format!("INSERT INTO {stream} VALUES {}", values.join(", "))).unwrap();
    machine.sim.clock().advance(std::time::Duration::from_millis(100));
}

/// What happens to the process; all of it leaves what a job says as it is.
#[derive(Clone, Copy, PartialEq)]
enum Strike {
    Nothing,
    Restart,
    Kill,
    Forget,
}

impl Strike {
    const ALL: [Self; 4] = [Self::Nothing, Self::Restart, Self::Kill, Self::Forget];

    fn hit(self, machine: &mut Machine) {
        match self {
            Self::Nothing => {}
            Self::Restart => machine.restart(3),
            Self::Kill => machine.kill(2),
            Self::Forget => {
                lose_checkpoints(machine);
                machine.kill(2);
            }
        }
        machine.catch_up();
    }
}

fn numbers(range: std::ops::Range<i64>) -> Vec<String> {
    let mut all: Vec<String> = range.map(|value| value.to_string()).collect();
    all.sort();
    all
}

#[test]
fn a_job_begins_where_it_says_and_goes_on_from_there() {
    for strike in Strike::ALL {
        let mut machine = Machine::new(11);
        machine.sql("CREATE STREAM s (v BIGINT, k STRING) PARTITIONED BY (v) WITH (shards = 3);");
        insert(&machine, "s", 0..20);
        let since = machine.sim.world().clock.now().0 / 1_000_000;
        insert(&machine, "s", 20..40);
        machine.sql(&format!(
            "CREATE STREAM first (v BIGINT); CREATE STREAM newest (v BIGINT); CREATE STREAM timed (v BIGINT);
             CREATE STREAM both (v BIGINT, w BIGINT);
             CREATE JOB first_job AS INSERT INTO first SELECT v FROM s /*+ OPTIONS('scan.startup.mode'='earliest-offset') */;
             CREATE JOB newest_job AS INSERT INTO newest SELECT v FROM s {LATEST};
             CREATE JOB timed_job AS INSERT INTO timed SELECT t.v FROM s
                 /*+ OPTIONS('scan.startup.mode' = 'timestamp', 'scan.startup.timestamp-millis' = '{since}') */ AS t;
             CREATE JOB both_job AS INSERT INTO both SELECT a.v, b.v FROM s {LATEST} AS a JOIN s AS b ON a.v = b.v + 20"
        ));
        insert(&machine, "s", 40..50);
        machine.catch_up();
        strike.hit(&mut machine);
        insert(&machine, "s", 50..60);
        machine.catch_up();
        assert_eq!(machine.query("SELECT * FROM first"), numbers(0..60));
        assert_eq!(machine.query("SELECT * FROM newest"), numbers(40..60));
        assert_eq!(machine.query("SELECT * FROM timed"), numbers(20..60));
        let mut joined: Vec<String> = (40..60).map(|v| format!("{v} {}", v - 20)).collect();
        joined.sort();
        assert_eq!(machine.query("SELECT * FROM both"), joined);

        // A replay takes the same rows; over a stretch it tells what the job would have said.
        let spec = |from| ReplaySpec { job: "newest_job".into(), from, ..ReplaySpec::default() };
        assert_eq!(machine.engine().replay_here(&spec(None)).unwrap().rows_out, 20);

        machine.sql(&format!(
            "CREATE OR REPLACE JOB newest_job AS INSERT INTO newest SELECT v + 100 FROM s {LATEST} WHERE v > 0"
        ));
        let refused = machine
            .execute(
                "CREATE OR REPLACE JOB newest_job AS INSERT INTO newest SELECT v + 100 FROM s WHERE v > 0",
            )
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("it began with s at latest-offset, and the new definition says earliest-offset"),
            "{refused}"
        );
        insert(&machine, "s", 60..70);
        machine.catch_up();
        strike.hit(&mut machine);
        let mut all: Vec<String> = (40..60).chain(160..170).map(|v| v.to_string()).collect();
        all.sort();
        assert_eq!(machine.query("SELECT * FROM newest"), all);
    }
}

/// A topic of which this much is not read yet.
struct Topic(Arc<Mutex<Option<u64>>>);

impl ConnectorHost for Topic {
    fn validate(&self, table: &ConnectorTable) -> Result<(), String> {
        (table.role == Role::Source).then_some(()).ok_or_else(|| "it cannot be a sink".to_owned())
    }

    fn only_role(&self, _table: &StreamDef) -> Option<Role> {
        Some(Role::Source)
    }

    fn start(
        &self,
        _table: ConnectorTable,
        _ingest: Arc<Ingest>,
        _ended: Box<dyn FnOnce() + Send>,
    ) -> Result<Box<dyn RunningConnector>, RunError> {
        Ok(Box::new(Stub {
            lag: Arc::clone(&self.0),
            position: "{\"t/0\":7}",
            ..Stub::running(Role::Source)
        }))
    }
}

#[test]
fn of_a_table_that_is_not_read_yet_nothing_is_the_newest() {
    let lag = Arc::new(Mutex::new(Some(3)));
    let machine = Machine::with_connectors(11, Arc::new(Topic(Arc::clone(&lag))));
    machine.sql("CREATE TABLE t (v BIGINT) WITH (connector = 'topic'); CREATE STREAM out (v BIGINT)");
    let begin =
        |hint: &str| machine.execute(&format!("CREATE JOB j AS INSERT INTO out SELECT v FROM t {hint}"));
    let told = |hint: &str| begin(hint).unwrap_err().to_string();
    assert!(told(LATEST).contains("3 records of it would be new to the job"), "{}", told(LATEST));
    let timed = "/*+ OPTIONS('scan.startup.mode' = 'timestamp', 'scan.startup.timestamp-millis' = '1') */";
    assert!(told(timed).contains("when its rows came here"), "{}", told(timed));
    *lag.lock() = Some(0);
    begin(LATEST).unwrap();
}
