//! What is computed goes into a target of the type that Flink gives it, in a job as in an INSERT over the rows so far.

use crate::machine::Machine;

#[test]
fn sums_means_and_numbers_go_into_targets_of_flinks_types() {
    let machine = Machine::new(7);
    machine.create_readings(1);
    machine.sql(
        "CREATE STREAM results (device STRING, total INT, mean INT, often SMALLINT, part DECIMAL(9, 2))",
    );
    let query = "SELECT device, SUM(n), AVG(n), MAX(CASE WHEN n > 3 THEN 1 ELSE 0 END), 0.125 * MIN(n) \
         FROM (SELECT device, ts, CAST(value AS INT) AS n FROM readings)";
    machine.sql(&format!(
        "CREATE JOB j AS INSERT INTO results {} GROUP BY device, window_start, window_end",
        query
            .replace("FROM (", "FROM TUMBLE(TABLE (")
            .replace("readings)", "readings), DESCRIPTOR(ts), INTERVAL '10' SECOND)")
    ));
    machine.append(&[("a", 1_000, 3), ("a", 2_000, 4), ("b", 3_000, -3), ("b", 4_000, -4)]);
    machine.finish();
    let expected = ["a 7 3 1 0.38", "b -7 -3 0 -0.50"];
    let mut rows = machine.rows("results");
    rows.sort();
    assert_eq!(rows, expected);

    machine
        .sql("CREATE STREAM again (device STRING, total INT, mean INT, often SMALLINT, part DECIMAL(9, 2))");
    machine.execute(&format!("INSERT INTO again {query} WHERE device < 'c' GROUP BY device")).unwrap();
    let mut rows = machine.rows("again");
    rows.sort();
    assert_eq!(rows, expected);
}

#[test]
fn a_number_that_a_target_has_no_room_for_is_a_dead_letter() {
    let machine = Machine::new(8);
    machine.create_readings(1);
    machine.sql("CREATE STREAM results (device STRING, n SMALLINT)");
    machine.sql(
        "CREATE JOB j AS INSERT INTO results SELECT device, CAST(value AS SMALLINT) * 200 FROM readings",
    );
    machine.append(&[("a", 1_000, 3), ("b", 2_000, 300), ("c", 3_000, 4)]);
    machine.finish();
    assert_eq!(machine.rows("results"), ["a 600", "c 800"]);
    let dead = machine.query("SELECT code, reason FROM system.dead_letters");
    assert!(dead.len() == 1 && dead[0].contains("60000"), "{dead:?}");
}
