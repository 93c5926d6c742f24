//! Functions of the user's over a machine: jobs keep what they were made with, whatever happens to the machine and to the function.

use std::path::Path;

use crate::machine::Machine;

fn prepared(seed: u64) -> Machine {
    let machine = Machine::new(seed);
    machine.create_readings(2);
    machine.sql(
        "CREATE FUNCTION scaled(x BIGINT) RETURNS BIGINT AS 'x * 10';
         CREATE FUNCTION label(device STRING, x BIGINT) RETURNS STRING AS 'device || ''='' || scaled(x)';
         CREATE STREAM labels (label STRING);
         CREATE JOB labelling AS INSERT INTO labels SELECT label(device, value + 1) FROM readings;
         CREATE VIEW scaled_readings AS SELECT scaled(value) AS x FROM readings;
         CREATE MATERIALIZED VIEW totals AS SELECT device, SUM(scaled(value)) AS total FROM readings GROUP BY device",
    );
    machine
}

#[test]
fn a_job_keeps_the_functions_that_it_was_made_with() {
    for seed in 0..4 {
        let mut machine = prepared(seed);
        machine.append(&[("a", 1_000, 1), ("b", 1_000, 2)]);
        machine.catch_up();
        machine.sql("CREATE OR REPLACE FUNCTION scaled(x BIGINT) RETURNS BIGINT AS 'x * -1'");
        if seed % 2 == 0 {
            machine.kill(2)
        } else {
            machine.lose_power(3)
        };
        machine.append(&[("a", 2_000, 3), ("b", 2_000, 4)]);
        machine.catch_up();
        let mut labels = machine.rows("labels");
        labels.sort();
        assert_eq!(labels, ["a=20", "a=40", "b=30", "b=50"]);
        assert_eq!(machine.query("SELECT * FROM totals"), ["a 40", "b 60"]);
        assert_eq!(machine.query("SELECT SUM(x) FROM scaled_readings"), ["100"], "a view keeps it, too");
        assert_eq!(
            machine.query("SELECT SUM(scaled(value)) FROM readings"),
            ["-10"],
            "a query has the new one"
        );
    }
}

#[test]
fn a_body_may_call_what_stands_for_an_expression_itself() {
    let machine = Machine::new(6);
    machine.create_readings(1);
    // Their arguments are more than a column and are named twice, so that they are called.
    machine.sql(
        "CREATE FUNCTION rest(x BIGINT) RETURNS BIGINT RETURN MOD(x, 7) + 100 * x;
         CREATE FUNCTION more(x BIGINT) RETURNS DOUBLE RETURN rest(x + 1) + x * LOG(10, 100);
         CREATE MATERIALIZED VIEW v AS SELECT value, rest(value * value) AS a, more(value * value) AS b FROM readings;
         CREATE TRIGGER t ON readings WHEN MOD(value, 2) = 0",
    );
    machine.append(&[("a", 1_000, 1), ("a", 2_000, 4)]);
    machine.catch_up();
    // 1 + 100 and 2 + 1600; 2 + 200 + 2 and 3 + 1700 + 32.
    assert_eq!(machine.query("SELECT * FROM v"), ["1 101 204.0", "4 1602 1735.0"]);
    let batch = "SELECT value, rest(value * value), more(value * value) FROM readings";
    assert_eq!(machine.query(batch), machine.query("SELECT * FROM v"));
    assert_eq!(machine.query("SELECT value FROM t"), ["4"]);
}

#[test]
fn functions_are_shown_and_described() {
    let mut machine = prepared(5);
    machine.restart(1);
    let user = machine.query("SHOW USER FUNCTIONS");
    assert_eq!(
        user,
        [
            "label label(device STRING, x BIGINT) STRING device || '=' || scaled(x)",
            "scaled scaled(x BIGINT) BIGINT x * 10"
        ]
    );
    let all = machine.query("SHOW FUNCTIONS");
    assert!(all.contains(&"scaled user scaled(x BIGINT)".to_owned()), "{all:?}");
    assert!(all.iter().any(|line| line.starts_with("json_value scalar ")), "{all:?}");
    assert!(all.iter().all(|line| line.starts_with(|c: char| c.is_ascii_lowercase())), "{all:?}");
    let described = machine.query("DESCRIBE FUNCTION scaled");
    let users = "used by view scaled_readings, materialized view totals, function label";
    assert!(described.contains(&users.to_owned()), "{described:?}");
    assert!(machine.query("DESCRIBE FUNCTION abs").iter().any(|line| line.starts_with("description ")));
    let dropped = machine.engine().define_here("DROP FUNCTION label").unwrap_err().to_string();
    assert!(dropped.contains("function 'label' is used by job labelling"), "{dropped}");
    machine.sql("DROP JOB labelling; DROP FUNCTION label");
    assert_eq!(machine.query("SHOW USER FUNCTIONS").len(), 1);
}

/// Values but 13, which it traps at.
const UNLUCKY: &str = "(module (func (export \"lucky\") (param i64) (result i64)
    (if (i64.eq (local.get 0) (i64.const 13)) (then (unreachable)))
    (i64.mul (local.get 0) (i64.const 100))))";

#[test]
fn a_module_is_kept_as_it_was_read() {
    for seed in 6..9 {
        let mut machine = Machine::new(seed);
        machine.create_readings(2);
        machine.write_module("/modules/lucky.wat", UNLUCKY);
        machine.sql(
            "CREATE FUNCTION hundredfold(x BIGINT) RETURNS BIGINT LANGUAGE WASM EXPORT 'lucky' USING FILE '/modules/lucky.wat' STRICT;
             CREATE STREAM lucky (device STRING, x BIGINT);
             CREATE JOB j AS INSERT INTO lucky SELECT device, hundredfold(value) FROM readings",
        );
        machine.sim.world().disk.remove(Path::new("/modules/lucky.wat")).unwrap();
        machine.append(&[("a", 1_000, 1), ("b", 1_000, 2)]);
        machine.catch_up();
        if seed % 2 == 0 {
            machine.kill(3)
        } else {
            machine.lose_power(2)
        };
        machine.append(&[("a", 2_000, 3)]);
        machine.catch_up();
        let mut rows = machine.rows("lucky");
        rows.sort();
        assert_eq!(rows, ["a 100", "a 300", "b 200"]);
        let described = machine.query("DESCRIBE FUNCTION hundredfold").join("\n");
        assert!(
            described.contains("'lucky' of a WebAssembly module of ") && described.contains("SHA-256 "),
            "{described}"
        );

        machine.append(&[("a", 3_000, 12), ("a", 4_000, 13), ("a", 5_000, 14)]);
        machine.catch_up();
        let reasons = machine.query("SELECT reason FROM system.dead_letters");
        assert!(
            reasons.len() == 1
                && reasons[0]
                    .contains("the function 'hundredfold' failed over rows 1 to 1 of its batch: it trapped"),
            "{reasons:?}"
        );
        assert_eq!(machine.query("SELECT x FROM lucky WHERE x > 1000"), ["1200", "1400"]);
    }
}

#[test]
fn a_file_that_is_no_module_defines_nothing() {
    let machine = Machine::new(9);
    let create = "CREATE FUNCTION f(x BIGINT) RETURNS BIGINT LANGUAGE WASM USING FILE '/modules/none.wasm'";
    let error = machine.engine().define_here(create).unwrap_err().to_string();
    assert!(error.starts_with("the module /modules/none.wasm cannot be read: "), "{error}");
    let garbled = "CREATE FUNCTION f(x BIGINT) RETURNS BIGINT LANGUAGE WASM AS 'AGFzbQ=='";
    let error = machine.engine().define_here(garbled).unwrap_err().to_string();
    assert!(error.starts_with("the function 'f': it is no WebAssembly module: "), "{error}");
    assert!(machine.engine().catalog().functions().names().next().is_none());
}
