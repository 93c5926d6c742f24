//! `CREATE TRIGGER`: what it becomes, and what is said about the most likely mistakes.

use std::sync::Arc;

use headwater_plan::{Planner, SqlError, Statement, Tables, parse_one};

use crate::fixture::{InMemory, catalog};

const DDL: &str = "
CREATE STREAM readings (device STRING, ts TIMESTAMP(3), temp DOUBLE, state STRING, site STRING,
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) PARTITIONED BY (device);
CREATE STREAM fleet (device STRING, ts TIMESTAMP, load DOUBLE, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE PER device);
CREATE STREAM raw (id BIGINT, value DOUBLE);
CREATE STREAM alerts (device STRING NOT NULL, text STRING, temp DOUBLE);
CREATE STREAM odd (cause STRING, value DOUBLE);
CREATE VIEW hourly AS SELECT device, window_end, window_time, AVG(temp) AS mean
    FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY device, window_start, window_end, window_time;
CREATE VIEW newest AS SELECT device, MAX(temp) AS temp FROM readings GROUP BY device;
CREATE JOB j AS INSERT INTO alerts SELECT device, state, temp FROM readings;
";

/// The trigger's line of EXPLAIN without its keys and its state, or what is wrong.
fn check(sql: &str, expect: &str) {
    let catalog = catalog(DDL);
    let tables: Arc<dyn Tables> = InMemory::default().tables();
    let answer = || -> Result<String, SqlError> {
        let parsed = parse_one(&format!("CREATE TRIGGER t {sql}"))?;
        let (catalog, _) = catalog.apply(&parsed)?;
        let Statement::CreateTrigger(create) = &parsed.statement else { panic!("{parsed:?}") };
        let plan = Planner::new().trigger(&catalog, &tables, &create.definition)?;
        let text = plan.dataflow.explain();
        let line = text.lines().next().unwrap().split(" [append-only").next().unwrap();
        let keys = line.strip_prefix("Trigger: keys=[").and_then(|rest| rest.split_once("], "));
        let line = keys.map_or_else(|| line.to_owned(), |(_, rest)| format!("Trigger: {rest}"));
        // What a literal is cast to says nothing here.
        Ok(line.replace("CAST(", "").replace(" AS Float64)", ""))
    };
    let answer = answer().unwrap_or_else(|error| format!("{} {error}", error.code()));
    assert_eq!(answer, expect, "{sql}");
}

#[test]
fn conditions_become_expressions_over_the_row_and_memory() {
    check("ON readings WHEN temp > 30", "Trigger: when=temp@2 > 30");
    check(
        "ON readings WHEN gt(temp, 30) UNTIL lt(temp, 28)",
        "Trigger: when=temp@2 > 30 AND ($0@7 > 30) IS DISTINCT FROM true, until=temp@2 < 28, $0=prev value(temp@2)",
    );
    check("ON readings WHEN gte(temp, 30) FOR 10 MINUTES", "Trigger: when=temp@2 >= 30, for=600s");
    check("ON readings WHEN change(state)", "Trigger: when=$0@7 != state@3, $0=prev value(state@3)");
    check(
        "ON readings WHEN temp - prev(temp) > 5 AND prev(temp) > 0 REARM AFTER INTERVAL '1' HOUR",
        "Trigger: when=temp@2 - $0@7 > 5 AND $0@7 > 0, rearm=3600s, $0=prev(temp@2)",
    );
    check(
        "ON readings WHEN temp > ago(temp, INTERVAL '1' HOUR) + 5",
        "Trigger: when=temp@2 > $0@7 + 5, $0=ago(temp@2, 3600s)",
    );
    check("ON readings WHEN frozen(INTERVAL '10' MINUTE)", "Trigger: silent=true, for=600s");
    check("ON readings WHEN frozen(temp, '10 minutes')", "Trigger: silent=temp@2 IS NOT NULL, for=600s");
}

#[test]
fn rows_come_from_streams_and_from_views_whose_rows_stay() {
    check("ON hourly PARTITION BY device WHEN mean > 30", "Trigger: when=mean@3 > 30");
    check("ON fleet WHEN load > 1 FOR 1 MINUTE", "Trigger: when=load@2 > 1, for=60s");
    check("ON raw WHEN value > 1", "Trigger: when=value@1 > 1");
    check(
        "ON newest WHEN temp > 30",
        "HW3011 the rows of 'newest' change as events come in; a trigger looks at rows that stay; aggregate over a window \
         (TUMBLE, HOP, ...), whose rows are final",
    );
}

#[test]
fn mistakes_are_told_with_their_place() {
    check(
        "ON reading WHEN temp > 30",
        "HW3002 there is no stream or view 'reading' at line 1, column 21; did you mean 'readings'?",
    );
    check(
        "ON j WHEN temp > 30",
        "HW3007 'j' is a job, not a stream or view at line 1, column 21; write into a stream, and put the trigger ON that",
    );
    check(
        "ON readings WHEN tmep > 30",
        "HW3003 there is no column 'tmep' at line 1, column 35; did you mean 'temp'?",
    );
    check(
        "ON readings WHEN temp > 'x'",
        "HW3016 cast error: Cannot cast string 'x' to value of Float64 type at line 1, column 35",
    );
    check("ON readings WHEN temp", "HW3006 the condition 'temp' is DOUBLE, not BOOLEAN at line 1, column 35");
    check(
        "ON readings PARTITION BY divice WHEN temp > 30",
        "HW3003 'readings' has no column 'divice' at line 1, column 43; did you mean 'device'?",
    );
    check(
        "ON readings WHEN temp > 30 FOR ever",
        "HW3001 'ever' is no length of time at line 1, column 49; write INTERVAL '10' MINUTE or '10 minutes'",
    );
    check(
        "ON readings WHEN AVG(temp) > 30",
        "HW3011 an aggregate is over many rows, and this is an expression over one at line 1, column 35; aggregate over a window in a view, and use the view",
    );
    check(
        "ON readings WHEN ts < now()",
        "HW3012 now() depends on when the query runs, so that a replay would give other rows at line 1, column 35; use the event's own time, or _arrival, the time at which it was recorded",
    );
    check(
        "ON readings WHEN change(temp) FOR 1 MINUTE",
        "HW3007 change() is true in one row alone: it cannot hold at line 1, column 35; leave FOR out, or write a condition that holds, such as temp = prev(temp)",
    );
    check(
        "ON readings WHEN frozen('1 h') AND temp > 3",
        "HW3007 frozen() fires by time and must be the whole condition at line 1, column 35; filter the rows in a view, and put the trigger ON the view",
    );
    check(
        "ON readings WHEN frozen('1 h') FOR 1 MINUTE",
        "HW3007 frozen() does not go with FOR at line 1, column 35; it fires after the time it is called with, and is armed again by the next value",
    );
    check(
        "ON readings WHEN prev(gt(temp, 3))",
        "HW3007 prev() looks at earlier rows and cannot be asked about earlier rows at line 1, column 35; give it an expression over the row's own columns",
    );
    check(
        "ON readings WHEN gt(temp)",
        "HW3004 gt() takes an expression and a bound: gt(temp, 30) at line 1, column 35",
    );
    check(
        "ON odd WHEN value > 1",
        "HW3007 the column 'cause' has a name that firings use themselves; rename it in a view, and put the trigger ON the view",
    );
    check(
        "ON readings WHEN temp > 3 EXECUTE WEBHOK 'x'",
        "HW3001 expected WEBHOOK, INSERT INTO, PUBLISH or COMMAND, found 'WEBHOK' at line 1, column 52; did you mean 'WEBHOOK'?",
    );
    check(
        "ON readings WHEN temp > 3 EXECUTE PUBLISH topic",
        "HW3001 expected a topic, found 'topic' at line 1, column 60",
    );
    check(
        "ON readings WHEN temp > 3 WITH (start = 'now')",
        "HW3005 'now' is no value for the option 'start' at line 1, column 58; latest or earliest",
    );
}

#[test]
fn an_action_says_what_is_done_with_a_firing() {
    let action = |sql: &str| {
        let parsed = parse_one(&format!("CREATE TRIGGER t ON readings WHEN temp > 3 {sql}")).unwrap();
        let Statement::CreateTrigger(create) = parsed.statement else { panic!("{parsed:?}") };
        (create.definition.action.describe(), create.definition.delivers())
    };
    assert_eq!(action(""), ("record".to_owned(), false));
    assert_eq!(action("EXECUTE INSERT INTO alerts"), ("insert into alerts".to_owned(), false));
    assert_eq!(action("EXECUTE WEBHOOK 'http://x/'"), ("webhook 'http://x/'".to_owned(), true));
    assert_eq!(
        action("EXECUTE PUBLISH 'com.hot' WITH (via = 'wamp')"),
        ("publish 'com.hot'".to_owned(), true)
    );
    assert_eq!(action("EXECUTE COMMAND 'page' 'me'"), ("command 'page'".to_owned(), true));
}

#[test]
fn firings_fit_what_they_are_inserted_into() {
    let base = "ON readings WHEN temp > 30 EXECUTE INSERT INTO";
    let fine = "Trigger: when=temp@2 > 30";
    check(&format!("{base} alerts"), fine);
    check(&format!("{base} alerts VALUES (device, 'hot since ' || CAST(since AS STRING), temp)"), fine);
    check(&format!("{base} alerts (text, device) VALUES (cause, device)"), fine);
    check(
        &format!("{base} alert"),
        "HW3002 there is no stream or table 'alert' at line 1, column 65; did you mean 'alerts'?",
    );
    check(
        &format!("{base} alerts (text) VALUES (cause)"),
        "HW3014 'device' is NOT NULL in 'alerts', but is not filled",
    );
    check(&format!("{base} alerts VALUES (device, cause)"), "HW3014 3 columns of 'alerts' get 2 values");
    check(
        &format!("{base} raw VALUES (device, 1)"),
        "HW3014 STRING does not fit 'id' of 'raw', which is BIGINT at line 1, column 77; CAST(... AS ...)",
    );
}
