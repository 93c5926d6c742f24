//! State that outgrows its memory: it goes to the disk and comes back, results do not change, and a disk that refuses costs memory and
//! nothing else.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use headwater_core::world::{Errno, Fault, Op};
use headwater_run::JobStatus;

use crate::machine::Machine;

const KEYS: i64 = 2_000;
const LIMIT: u64 = 32 << 10;
const QUERY: &str = "SELECT k, count(*) AS n, sum(v) AS s, max(v) AS m FROM a GROUP BY k";

fn machine(limit: Option<u64>) -> Machine {
    let mut machine = Machine::new(0);
    machine.state_memory = limit;
    machine.step_rows_max = 10_000;
    machine.restart(2);
    machine.sql("CREATE STREAM a (k STRING, v BIGINT) PARTITIONED BY (k) WITH (shards = 2)");
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {QUERY}"));
    machine
}

/// Some rows of all keys.
fn append(machine: &Machine, round: i64) {
    let keys: StringArray = (0..KEYS).map(|key| Some(format!("device number {key}"))).collect();
    let values = Int64Array::from_iter_values((0..KEYS).map(|key| key * 7 + round));
    let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(values)];
    machine.append_to("a", columns);
    machine.catch_up();
}

fn status(machine: &Machine) -> JobStatus {
    machine.engine().jobs().remove(0)
}

fn check(machine: &Machine) {
    assert_eq!(machine.query("SELECT * FROM result"), machine.query(QUERY));
}

fn spill_files(machine: &Machine) -> usize {
    machine.sim.disk().image().files.keys().filter(|path| path.starts_with("/data/spill")).count()
}

#[test]
fn state_outgrows_memory_and_is_bounded() {
    let all = machine(None);
    append(&all, 0);
    let in_memory = status(&all).state_bytes;
    assert!(in_memory > 4 * LIMIT && status(&all).state_spilled_bytes == 0, "{in_memory} bytes");

    let mut machine = machine(Some(LIMIT));
    for round in 0..3 {
        append(&machine, round);
        let status = status(&machine);
        assert_eq!(status.state_entries, KEYS as u64);
        assert!(status.state_spilled_bytes > LIMIT, "{} bytes on the disk", status.state_spilled_bytes);
        // An instance that has just run may be over by itself.
        assert!(status.state_bytes < 2 * LIMIT, "{} bytes in memory", status.state_bytes);
        check(&machine);
    }
    assert!(spill_files(&machine) > 0);
    // What is restored goes to the disk at once; what the process before had left there is gone.
    machine.kill(3);
    machine.catch_up();
    assert!(status(&machine).state_bytes < 2 * LIMIT);
    append(&machine, 3);
    machine.restart(1);
    append(&machine, 4);
    assert!(status(&machine).state_spilled_bytes > LIMIT && status(&machine).state_bytes < 2 * LIMIT);
    check(&machine);
    machine.engine().close_here().unwrap();
}

/// A job that has failed goes on from its checkpoint when it is told to, as soon as what it failed of is mended.
#[test]
fn a_job_that_failed_is_resumed() {
    let machine = machine(Some(LIMIT));
    append(&machine, 0);
    machine.sim.disk().faults().add(Fault::new(&[Op::Read], Errno::Io).on("/data/spill").for_good());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values((0..KEYS).map(|key| format!("device number {key}")))),
        Arc::new(Int64Array::from_value(1, KEYS as usize)),
    ];
    machine.append_to("a", columns);
    let error = machine.try_catch_up().unwrap_err();
    assert!(error.contains("HW4005"), "{error}");
    machine.sim.disk().faults().clear();
    machine.sql("RESUME JOB result");
    machine.catch_up();
    assert_eq!((status(&machine).state.as_str(), status(&machine).lag), ("running", 0));
    append(&machine, 2);
    check(&machine);
    machine.engine().close_here().unwrap();
}

#[test]
fn a_disk_that_takes_no_state_costs_memory_and_nothing_else() {
    let machine = machine(Some(LIMIT));
    machine.sim.disk().faults().add(Fault::new(&[Op::Write], Errno::NoSpace).on("/data/spill").for_good());
    append(&machine, 0);
    append(&machine, 1);
    assert!(status(&machine).state_bytes > 4 * LIMIT && status(&machine).state_spilled_bytes == 0);
    check(&machine);
    machine.sim.disk().faults().clear();
    machine.engine().close_here().unwrap();
}
