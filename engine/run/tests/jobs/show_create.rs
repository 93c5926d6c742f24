//! SHOW CREATE: what it gives, run again, defines the same.

use std::sync::Arc;

use crate::machine::Machine;
use crate::scripts::Sources;

const BEFORE: [&str; 16] = [
    "CREATE FUNCTION celsius(f DOUBLE) RETURNS DOUBLE RETURN (f - 32) / 1.8",
    "CREATE STREAM readings (device STRING NOT NULL, ts TIMESTAMP(3), temp DOUBLE, c AS celsius(temp), \
       WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) PARTITIONED BY (device) WITH (shards = 2)",
    "ALTER STREAM readings ADD COLUMN note STRING",
    "ALTER STREAM readings SET (retention = '7 days')",
    "CREATE STREAM copies (extra INT) LIKE readings",
    "CREATE STREAM plain (a INT)",
    "CREATE VIEW hot AS SELECT device, temp FROM readings WHERE temp > 30",
    "SET 'ttl' = '1 h'; CREATE MATERIALIZED VIEW counts AS SELECT device, COUNT(*) AS n FROM readings GROUP BY device",
    "CREATE STREAM alerts (device STRING, temp DOUBLE)",
    "CREATE JOB watch AS INSERT INTO alerts SELECT device, temp FROM readings WHERE temp > 40",
    "CREATE OR REPLACE JOB watch AS INSERT INTO alerts SELECT device, temp FROM readings WHERE temp > 45",
    "CREATE TRIGGER heat ON readings WHEN temp > 50 EXECUTE INSERT INTO alerts VALUES (device, temp)",
    "CREATE ALARM warm ON readings STATISTIC average(temp) PERIOD '5 minutes' WITH (comparison = '>', threshold = 30)",
    "CREATE SCALING POLICY more ON ALARM warm WITH (by = 1)",
    "CREATE SCALING GROUP fans POLICIES (more) WITH (min = 1, max = 4)",
    "ALTER SCALING GROUP fans SET (cooldown = '10 s')",
];

const KINDS: [&str; 13] = [
    "FUNCTION celsius",
    "STREAM readings",
    "STREAM copies",
    "TABLE plain",
    "VIEW hot",
    "MATERIALIZED VIEW counts",
    "VIEW counts",
    "STREAM alerts",
    "JOB watch",
    "TRIGGER heat",
    "ALARM warm",
    "SCALING POLICY more",
    "SCALING GROUP fans",
];

fn shown(machine: &Machine, what: &str) -> String {
    machine.query(&format!("SHOW CREATE {what}")).join("\n")
}

#[test]
fn what_it_gives_defines_the_same_when_it_is_run_again() {
    let mut machine = Machine::new(1);
    for statement in BEFORE {
        machine.execute(statement).unwrap_or_else(|error| panic!("{error}\n{statement}"));
    }
    machine.restart(1);
    let again = Machine::new(2);
    // The view is there by its other name.
    for what in KINDS.into_iter().filter(|what| *what != "VIEW counts") {
        let text = shown(&machine, what);
        again.execute(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
    for what in KINDS {
        assert_eq!(shown(&again, what), shown(&machine, what), "{what}");
    }
    for table in ["readings", "copies", "plain", "hot", "counts", "alerts"] {
        let described = |machine: &Machine| machine.query(&format!("DESCRIBE {table}"));
        assert_eq!(described(&again), described(&machine), "{table}");
    }
    let stream = |machine: &Machine| machine.engine().catalog().stream("readings").unwrap().as_ref().clone();
    let (one, other) = (stream(&machine), stream(&again));
    assert_eq!(
        (one.shards, one.retention, one.partition_by),
        (other.shards, other.retention, other.partition_by)
    );
}

#[test]
fn the_text_is_what_was_written_unless_that_says_less_than_there_is() {
    let machine = Machine::new(3);
    for statement in BEFORE {
        machine.execute(statement).unwrap();
    }
    assert_eq!(shown(&machine, "VIEW hot"), BEFORE[6]);
    assert_eq!(shown(&machine, "MATERIALIZED VIEW counts"), BEFORE[7]);
    assert_eq!(shown(&machine, "JOB watch"), BEFORE[10]);
    assert_eq!(shown(&machine, "SCALING GROUP fans"), format!("{};\n{}", BEFORE[14], BEFORE[15]));
    let altered = shown(&machine, "STREAM readings");
    assert!(
        altered.contains("\"note\" STRING") && altered.contains("'retention.age' = '604800000 ms'"),
        "{altered}"
    );
    let copied = shown(&machine, "TABLE copies");
    assert!(!copied.contains("LIKE") && copied.contains("\"c\" AS celsius(temp)"), "{copied}");
}

#[test]
fn secrets_are_hidden_and_what_is_not_there_is_said() {
    let machine = Machine::with_connectors(4, Arc::new(Sources));
    let create = "CREATE TABLE t (a INT) WITH (connector = 'x', url = 'https://u:pw@h/x', 'properties.password' = 'x1')";
    machine.execute(create).unwrap();
    let hidden = create.replace(":pw@", ":(hidden)@").replace("x1", "(hidden)");
    assert_eq!(shown(&machine, "TABLE t"), hidden);
    machine.execute("ALTER TABLE t SET ('properties.password' = 'x2')").unwrap();
    let text = shown(&machine, "TABLE t");
    assert!(text.contains("'properties.password' = '(hidden)'"), "{text}");
    assert!(!text.contains("pw@") && !text.contains("x1") && !text.contains("x2"), "{text}");
    for (what, told) in [
        ("TABLE nothing", "there is no table 'nothing'"),
        ("STREAM t", "'t' is a table, not a stream"),
        ("FUNCTION f", "there is no function 'f'"),
        ("STREAM system.catalog", "it is the engine's own"),
    ] {
        let error = machine.try_query(&format!("SHOW CREATE {what}")).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}
