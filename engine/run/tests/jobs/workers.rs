//! The number of workers of a job changes while it runs, and nothing of what it says does.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, Int64Array, TimestampMillisecondArray};
use headwater_core::world::sim::SimRandom;
use headwater_run::ReplaySpec;

use crate::machine::{Machine, Reading};

const SQL: &str = "CREATE STREAM sums (device STRING, until TIMESTAMP(3), n BIGINT, total BIGINT);
    CREATE JOB add_up AS INSERT INTO sums
    SELECT device, window_end, COUNT(*), SUM(value)
    FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY device, window_start, window_end;
    CREATE TRIGGER quiet ON readings WHEN frozen(INTERVAL '4' SECOND);";

fn readings(seed: u64) -> Vec<Reading> {
    const DEVICES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
    let random = SimRandom::new(seed).fork("readings");
    let mut seconds = 0;
    let reading = |_| {
        seconds += random.below(2) as i64;
        let device = DEVICES[random.index(DEVICES.len())];
        (device, 1_000_000_000_000 + seconds * 1_000, random.below(100) as i64)
    };
    (0..300).map(reading).collect()
}

/// The most workers that a crash leaves a machine with. A change may ask for more.
const AFTER_CRASH_MAX: usize = 3;

/// Runs all readings through; `change`: with another number of workers now and then, and with crashes.
fn run(seed: u64, change: bool) -> Machine {
    let mut machine = Machine::new(seed);
    machine.create_readings(3);
    machine.sql(SQL);
    let random = machine.sim.random("workers");
    let mut most = 1;
    for part in readings(seed).chunks(11) {
        machine.append(part);
        machine.turns(random.index(9));
        if change {
            for job in ["add_up", "quiet"] {
                most = most.max(machine.engine().set_workers(job, 1 + random.index(5)).unwrap());
            }
            if random.chance(1, 6) {
                machine.kill(1 + random.index(AFTER_CRASH_MAX));
            }
        }
    }
    assert_eq!(most > AFTER_CRASH_MAX, change, "seed {seed}: {most} workers");
    machine.catch_up();
    machine.finish();
    machine
}

fn pass_minute(machine: &Machine) {
    for _ in 0..12 {
        machine.sim.clock().advance(Duration::from_secs(5));
        machine.turns(300);
    }
}

#[test]
fn another_number_of_workers_changes_nothing_of_what_a_job_says() {
    for seed in 0..4 {
        let (calm, busy) = (run(seed, false), run(seed, true));
        for stream in ["sums", "quiet"] {
            let (mut expect, mut said) = (calm.rows(stream), busy.rows(stream));
            assert!(expect.len() > 10, "{stream} says something");
            expect.sort();
            said.sort();
            assert_eq!(said, expect, "seed {seed}, {stream}");
        }
        let spec = ReplaySpec { job: "add_up".into(), diff: true, ..ReplaySpec::default() };
        let report = busy.engine().replay_here(&spec).unwrap();
        assert_eq!((report.only_before.len(), report.only_now.len()), (0, 0), "seed {seed}");
        assert!(report.in_both > 10);
    }
}

#[test]
fn a_number_that_cannot_be_is_refused() {
    let machine = Machine::new(1);
    machine.create_readings(1);
    machine.sql(SQL);
    assert!(machine.engine().set_workers("add_up", 0).unwrap_err().to_string().contains("1 to"));
    assert!(machine.engine().set_workers("nobody", 1).unwrap_err().to_string().contains("there is no job"));
    assert_eq!(machine.engine().set_workers("add_up", 3).unwrap(), 1);
    machine.catch_up();
    machine.turns(5);
    assert_eq!(machine.engine().set_workers("add_up", 3).unwrap(), 3);
}

/// The lag of a job as a metric: an alarm over what the engine measures of itself moves a group.
#[test]
fn the_lag_of_a_job_is_a_metric() {
    let mut machine = Machine::new(2);
    machine.create_readings(1);
    machine.sql(SQL);
    machine.sql(
        "CREATE ALARM behind ON system.job_metrics STATISTIC max(rows_in) PERIOD INTERVAL '10' SECOND WHERE job = 'add_up'
         WITH (comparison = '>', threshold = 5);
         CREATE SCALING POLICY more ON ALARM behind WITH (by = 1);
         CREATE SCALING GROUP add_up_workers POLICIES (more) WITH (min = 1, max = 3)",
    );
    machine.append(&readings(2)[..20]);
    // It has taken them, in more than one step, before it is measured. Measurements come by the clock.
    machine.catch_up();
    pass_minute(&machine);
    let decided = machine.rows("system.scaling_activities");
    assert!(decided[0].contains("add_up_workers more 20.0 1 2 2 true 1"), "{decided:?}");
    // The stream goes on after a restart.
    let before = machine.rows("system.job_metrics").len();
    machine.kill(1);
    pass_minute(&machine);
    assert!(machine.rows("system.job_metrics").len() > before);
}

#[test]
fn jobs_are_measured_only_when_something_reads_it() {
    let machine = Machine::new(4);
    machine.create_readings(1);
    machine.sql(SQL);
    let alarm = "CREATE ALARM behind ON system.job_metrics STATISTIC max(nothing) PERIOD INTERVAL '10' SECOND \
                 WITH (comparison = '>', threshold = 5)";
    assert!(machine.engine().define_here(alarm).is_err(), "there is no such column");
    pass_minute(&machine);
    assert_eq!(machine.rows("system.job_metrics"), [""; 0]);
    machine.sql(&alarm.replace("nothing", "lag"));
    pass_minute(&machine);
    assert!(!machine.rows("system.job_metrics").is_empty());
}

/// What large steps say, of which each instance has a batch of its own: the rows of a join, and sums of what another says, which are
/// rounded by how rows are put together.
fn large_steps(workers: usize) -> [Vec<String>; 2] {
    const ROWS: i64 = 40_000;
    let mut machine = Machine::new(18);
    // The first step may take the 64th part of this, and so takes all.
    machine.step_rows_max = 1 << 23;
    machine.restart(workers);
    for name in ["a", "b"] {
        machine.sql(&format!(
            "CREATE STREAM {name} (k BIGINT, ts TIMESTAMP(3), v DOUBLE, WATERMARK FOR ts AS ts) WITH (shards = 1, 'clock.guard' = 'none')"
        ));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values((0..ROWS).map(|nth| nth * 7_919 % ROWS))),
            Arc::new(TimestampMillisecondArray::from_iter_values((0..ROWS).map(|nth| 1_000 + nth))),
            Arc::new(Float64Array::from_iter_values((0..ROWS).map(|nth| (nth as f64).sqrt()))),
        ];
        machine.append_to(name, columns);
    }
    machine.sql(
        "CREATE MATERIALIZED VIEW pairs AS SELECT a.k, a.v, b.v AS w FROM a JOIN b ON a.k = b.k;
         CREATE MATERIALIZED VIEW sums AS SELECT window_start, SUM(w) AS w, COUNT(*) AS n \
         FROM TUMBLE(TABLE (SELECT a.k, a.ts, a.v / 3 + b.v AS w FROM a JOIN b ON a.k = b.k AND b.ts BETWEEN a.ts AND a.ts), \
         DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY window_start, window_end",
    );
    machine.catch_up();
    machine.finish_streams(&["a", "b"]);
    let steps = machine.engine().jobs().into_iter().find(|job| job.name == "pairs").unwrap().steps;
    assert!(steps < 6, "{steps} steps are small ones");
    let said = ["pairs", "sums"].map(|view| machine.rows(view));
    assert_eq!([said[0].len(), said[1].len()], [ROWS as usize, 1]);
    said
}

#[test]
fn large_steps_say_the_same_whatever_the_number_of_workers() {
    let alone = large_steps(1);
    for workers in 2..5 {
        assert!(large_steps(workers) == alone, "{workers} workers say something else");
    }
}
