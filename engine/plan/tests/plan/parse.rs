//! What statements mean: each of `CASES` in one line of the snapshot, in whatever dialect it is written.

use crate::fixture::check_snapshot;
use headwater_plan::decision::AlarmOn;
use headwater_plan::definition::{StreamDef, ViewDef};
use headwater_plan::statement::{CreateStream, StreamChange};
use headwater_plan::user_functions::Body;
use headwater_plan::{Position, Statement, parse, parse_one};

const CASES: &[&str] = &[
    "CREATE STREAM s (a INT)",
    "create stream if not exists Weather (Station STRING NOT NULL, \"Temp\" DOUBLE, ts TIMESTAMP(3), \
     WATERMARK FOR ts AS ts - INTERVAL '5' SECOND PER station, PRIMARY KEY (station, ts) NOT ENFORCED) \
     PARTITIONED BY (station) WITH (shards = 4, retention = '7 days', durability = process, compression = 'zstd', \
     'scan.watermark.idle-timeout' = '30s', clock.guard = none)",
    "CREATE STREAM s (ts TIMESTAMP, a INT, b INT, WATERMARK FOR ts PER a, b) \
     WITH (retention.age = INTERVAL '12' HOUR, retention.bytes = '100 GB', scan.watermark.idle-timeout = '1 min')",
    "CREATE STREAM s (a TINYINT, b SMALLINT, c BIGINT, d FLOAT, e REAL, f DOUBLE PRECISION, g BOOLEAN, h DECIMAL(10, 2), \
     i NUMERIC, j DATE, k TIME, l TIMESTAMP, m TIMESTAMP(0), n TIMESTAMP(6) WITH TIME ZONE, o TIMESTAMP_LTZ(3), \
     p VARCHAR(20), q TEXT, r BYTES, s VARBINARY(8), t BYTEA, u CHAR(3), v INTEGER)",
    "CREATE STREAM s (a ARRAY<INT>, b ROW<x INT NOT NULL, y ARRAY<ROW<z STRING>>>, c MAP<STRING, ARRAY<BIGINT>>, \
     d STRUCT<x: INT>, e INT[])",
    // Flink
    "CREATE TABLE r (device STRING, ts TIMESTAMP(3), topic STRING METADATA VIRTUAL, k STRING METADATA FROM 'key', \
     WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('connector'='kafka','topic'='r',\
     'properties.bootstrap.servers'='h:9092','format'='json','scan.watermark.idle-timeout'='30s')",
    // Arroyo
    "CREATE TABLE r (device TEXT NOT NULL, ts TIMESTAMP NOT NULL, WATERMARK FOR ts AS ts - INTERVAL '5 seconds') \
     WITH (connector='mqtt', url='tcp://h:1883', type='source', format='json', bad_data='drop', source.offset = earliest)",
    "CREATE STREAM r (device TEXT) WITH (connector = 'wamp', realm = 'home', topic = 'com.home.', match = 'prefix')",
    "CREATE TABLE o WITH (connector='kafka', bootstrap_servers='h:9092', topic='o', type='sink', format='json')",
    // RisingWave
    "CREATE SOURCE r (device VARCHAR, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) \
     WITH (connector='kafka', scan.startup.mode='earliest') FORMAT PLAIN ENCODE JSON",
    "CREATE MATERIALIZED VIEW m AS SELECT device, window_start, count(*) FROM TUMBLE(r, ts, INTERVAL '1 MINUTE') \
     GROUP BY device, window_start EMIT ON WINDOW CLOSE",
    "CREATE OR REPLACE TEMPORARY VIEW v (a, b) AS SELECT 1, 2",
    "CREATE TEMPORARY TABLE f (a INT) WITH (connector = 'filesystem', path = 'a.csv', format = 'csv')",
    "CREATE TEMPORARY SYSTEM FUNCTION f(x INT) RETURNS INT RETURN x + 1",
    "CREATE VIEW IF NOT EXISTS v AS (SELECT 1)",
    "CREATE JOB j AS INSERT INTO o (a, b) SELECT a, b FROM s",
    "CREATE JOB IF NOT EXISTS a.j AS INSERT INTO o WITH x AS (SELECT * FROM s) SELECT * FROM x",
    "DROP STREAM s",
    "DROP MATERIALIZED VIEW IF EXISTS m",
    "DROP JOB j",
    "ALTER STREAM s ADD COLUMN c ARRAY<DOUBLE>",
    "ALTER STREAM s SET (retention = '3 d', durability = memory)",
    "ALTER TABLE s MODIFY (a BIGINT, \"B\" DOUBLE NOT NULL)",
    "ALTER STREAM IF EXISTS s MODIFY a DECIMAL(12, 2)",
    "ALTER TABLE s MODIFY COLUMN watermark TIMESTAMP(6)",
    "ALTER TABLE s ALTER COLUMN a TYPE BIGINT",
    "ALTER STREAM s ALTER a SET DATA TYPE DOUBLE",
    "SHOW STREAMS",
    "CREATE FUNCTION f(x DOUBLE, y ARRAY<INT>) RETURNS BIGINT LANGUAGE SQL IMMUTABLE STRICT AS 'x + y[1]'",
    "CREATE OR REPLACE FUNCTION f() RETURNS STRING AS $$SELECT 'it''s';$$ LANGUAGE SQL",
    "CREATE FUNCTION IF NOT EXISTS f(x INT) RETURNS INT RETURNS NULL ON NULL INPUT RETURN x + 1",
    "CREATE FUNCTION f(x INT) RETURNS INT LANGUAGE WASM USING FILE 'f.wasm' EXPORT 'g'",
    "CREATE FUNCTION f(x INT) RETURNS INT LANGUAGE WASM AS 'AGFzbQ=='",
    "CREATE FUNCTION f(x INT) RETURNS INT LANGUAGE WAMP AS 'com.home.f' WITH (realm = 'home', timeout = '5 seconds')",
    "DROP FUNCTION IF EXISTS f(INT, STRING)",
    "DESCRIBE FUNCTION EXTENDED f",
    "SHOW USER FUNCTIONS",
    "SHOW SYSTEM TABLES",
    "SELECT JSON_VALUE(j, '$.a' RETURNING INT DEFAULT 0 ON EMPTY ERROR ON ERROR), j -> 'a' ->> 0, j IS NOT JSON ARRAY, \
     JSON_OBJECT(KEY 'a' VALUE j -> 'b', 'c' VALUE 1 ABSENT ON NULL), array_filter(a, (x) -> x > 1) FROM s",
    "show functions",
    "DESCRIBE s",
    "DESC TABLE system.jobs",
    "EXPLAIN SELECT 1",
    "EXPLAIN BATCH SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "EXPLAIN CREATE JOB j AS INSERT INTO o SELECT * FROM s",
    "PAUSE JOB j",
    "RESUME JOB j",
    "RESUME TABLE t",
    "ALTER TABLE t SET (topic = 'other', 'properties.security.protocol' = SSL)",
    "INSERT INTO s VALUES (1, 'x'), (2, NULL)",
    "INSERT INTO s (b, a) SELECT 1, 2",
    "INSERT INTO s (SELECT 1)",
    "SET sql.timezone = 'UTC'",
    "SET 'table.local-time-zone' TO UTC",
    "CREATE ALARM hot ON cpu STATISTIC p99.9(value * 2) PERIOD INTERVAL '5' MINUTE WHERE host <> 'x' DIMENSIONS (host, disk) \
     WITH (comparison = '>=', threshold = -7.5, evaluation_periods = 5, datapoints_to_alarm = 3, treat_missing_data = breaching, \
     evaluate_low_sample_count_percentile = ignore, unit = 'Percent', history = changes)",
    "CREATE ALARM IF NOT EXISTS a ON (SELECT window_end, max(x) AS value FROM TUMBLE(t, ts, INTERVAL '30 seconds') \
     GROUP BY window_start, window_end) WITH (period = '30 s', comparison = LessThanThreshold, threshold = 1)",
    "CREATE OR REPLACE ALARM a ON cpu STATISTIC sum(n) PERIOD '1 minute' WITH (comparison = '>', threshold = 1)",
    "CREATE COMPOSITE ALARM c AS ALARM(a) AND NOT (OK(b) OR INSUFFICIENT_DATA(\"B c\"))",
    "CREATE SCALING POLICY p ON ALARM a WITH (type = simple, adjustment = PercentChangeInCapacity, by = -25, \
     min_adjustment_magnitude = 2, cooldown = '3 minutes')",
    "CREATE SCALING POLICY p ON ALARM a WITH (type = step, adjustment = ExactCapacity, steps = '0..10: 1, 10..: 2', warmup = '60 s')",
    "CREATE SCALING POLICY p ON q STATISTIC sum(n) PERIOD '1 minute' WITH (type = target, target = 100, disable_scale_in = true)",
    "CREATE SCALING POLICY p SCHEDULE '0 8 * * MON-FRI' WITH (min = 2, desired = 4)",
    "CREATE SCALING POLICY p SCHEDULE '0 8 * * *' WITH (max = 2, time_zone = 'Europe/Berlin', start_time = '2026-03-01 08:00:00', \
     end_time = '2026-04-01T08:00:00+02:00')",
    "CREATE SCALING POLICY p SCHEDULE AT '2026-03-01 08:00:00' WITH (desired = 4)",
    "CREATE SCALING GROUP IF NOT EXISTS g POLICIES (p, q) WITH (min = 1, max = 9, desired = 3, cooldown = '180 s', warmup = '60 s')",
    "DROP ALARM a",
    "DROP COMPOSITE ALARM IF EXISTS c",
    "DROP SCALING GROUP g",
    "DROP SCALING POLICY p",
    "SHOW ALARMS",
    "SHOW SCALING GROUPS",
    "EXPLAIN ALARM hot",
    "EXPLAIN ALARM hot FOR 'host=a' AT '2026-03-01 10:00:00'",
    "ALTER ALARM hot SET STATE 'ALARM' REASON 'a drill'",
    "ALTER COMPOSITE ALARM c FOR 'host=a' SET STATE 'insufficient_data' REASON ''",
    "ALTER SCALING GROUP g SET (desired = 3, honor_cooldown = true)",
    "ALTER SCALING GROUP g SET (min = 0, max = 5)",
    "ALTER SCALING GROUP g SET (cooldown = '2 minutes')",
    "REPLAY ALARM hot FROM '2026-02-01' TO '2026-03-01'",
    "REPLAY JOB j",
    "REPLAY JOB j FROM '2013-07-01' TO TIMESTAMP '2013-08-01 00:00:00' INTO july",
    "REPLAY JOB j INTO july AT SPEED 60 WITH EFFECTS (sites, \"Pumps\")",
    "REPLAY TRIGGER t FROM '2026-02-01' AS CREATE TRIGGER u ON s WHEN a > 1",
    "CANCEL REPLAY 3",
    "SELECT * FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' MINUTES, INTERVAL '1' HOUR)) AS w",
    "SELECT * FROM HOP(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1' HOUR, SLIDE => INTERVAL '5' MINUTE)",
    "SELECT * FROM CUMULATE(TABLE (SELECT * FROM t WHERE x > 1), DESCRIPTOR(ts), INTERVAL '1' HOUR, INTERVAL '1' DAY)",
    "SELECT * FROM TABLE(SESSION(TABLE t PARTITION BY a, b, DESCRIPTOR(ts), INTERVAL '5' MINUTE))",
    "SELECT * FROM SESSION(TABLE t PARTITION BY (a), DESCRIPTOR(ts), INTERVAL '5' MINUTE)",
    "SELECT * FROM TUMBLE(t, ts, INTERVAL '1 HOUR', INTERVAL '5 minutes') x",
    "SELECT device, tumble(interval '1 minute') AS w, count(*) FROM r GROUP BY device, w",
    "SELECT device, TUMBLE_START(r.ts, INTERVAL '1' MINUTE) AS s, DATE_FORMAT(TUMBLE_END(r.ts, INTERVAL '1' MINUTE), 'HH:mm'), count(*) \
     FROM r WHERE x > 1 GROUP BY device, TUMBLE(r.ts, INTERVAL '1' MINUTE) HAVING TUMBLE_ROWTIME(r.ts, INTERVAL '1' MINUTE) > now()",
    "SELECT HOP_END(at, INTERVAL '1' MINUTE, INTERVAL '1' HOUR), max(x) FROM (SELECT * FROM r) \
     GROUP BY HOP(at, INTERVAL '1' MINUTE, INTERVAL '1' HOUR)",
    "SELECT a, SESSION_START(ts, INTERVAL '1' MINUTE) FROM r GROUP BY SESSION(ts, INTERVAL '1' MINUTE), a",
    // Columns that are computed, and those that are only read.
    "CREATE TABLE r (ms BIGINT, price DOUBLE, cost AS price * 2 COMMENT 'twice', ts AS TO_TIMESTAMP_LTZ(ms, 3), at AS PROCTIME(), \
     topic STRING METADATA VIRTUAL, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('connector' = 'kafka')",
    "CREATE TABLE r (text STRING, ts TIMESTAMP GENERATED ALWAYS AS (CAST(text AS TIMESTAMP)) STORED, WATERMARK FOR ts) \
     WITH (connector = 'kafka')",
    // What scripts of Flink's hold besides.
    "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT * FROM s; INSERT INTO b (x) SELECT y FROM s EMIT CHANGES; END",
    "BEGIN STATEMENT SET; INSERT INTO a SELECT * FROM s; END",
    "CREATE TABLE o WITH ('connector' = 'kafka') AS SELECT a, b FROM s",
    "CREATE TABLE IF NOT EXISTS o (c AS a + 1) LIKE p (EXCLUDING OPTIONS INCLUDING ALL OVERWRITING WATERMARKS)",
    "EXECUTE INSERT INTO a SELECT * FROM s",
    "DROP TEMPORARY TABLE IF EXISTS t",
    "ALTER TABLE IF EXISTS t SET ('topic' = 'x')",
    "EXPLAIN PLAN FOR SELECT * FROM s",
    "EXPLAIN ESTIMATED_COST, CHANGELOG_MODE INSERT INTO a SELECT * FROM s",
    "EXPLAIN STATEMENT SET BEGIN INSERT INTO a SELECT * FROM s; INSERT INTO b SELECT * FROM s; END",
    "CREATE DATABASE IF NOT EXISTS fleet COMMENT 'ours' WITH ('a' = 'b')",
    "LOAD MODULE hive",
    "CREATE TEMPORARY VIEW v (a) COMMENT 'of s' AS SELECT x FROM s",
    "ALTER TABLE t ADD (a STRING)",
    "USE CATALOG default_catalog",
    "ADD JAR '/opt/flink/lib/kafka.jar'",
    "RESET 'pipeline.name'",
    "RESET",
];

#[test]
fn statements_mean_what_they_say() {
    let mut text = String::new();
    for case in CASES {
        let parsed = parse_one(case).unwrap_or_else(|error| panic!("{case}\n{}", error.render()));
        assert_eq!(parsed.text, *case, "a statement keeps its text");
        text.push_str(&format!("{case}\n    {}\n\n", summary(&parsed.statement)));
    }
    check_snapshot("parse.txt", &text);
}

fn summary(statement: &Statement) -> String {
    match statement {
        Statement::CreateStream(create) => stream(create, "stream"),
        Statement::CreateTable(create) => stream(create, "table"),
        Statement::CreateView(create) => {
            let flags = format!("or_replace={} if_not_exists={}", create.or_replace, create.if_not_exists);
            format!("view {} {flags}", view(&create.definition))
        }
        Statement::CreateMaterializedView(create) => {
            format!("materialized view {}", view(&create.definition))
        }
        Statement::CreateJob(create) => {
            let job = &create.definition;
            let (name, target) = (&job.name, &job.target);
            let flags = format!("if_not_exists={}", create.if_not_exists);
            format!("job {name} into {target}({}) = {} {flags}", job.columns.join(", "), job.query.ast)
        }
        Statement::CreateArchive(create) => format!("archive {:?}", create.definition),
        Statement::CreateMapReduce(create) => format!("{:?}", create.definition),
        // In `triggers.rs`.
        Statement::CreateTrigger(create) => format!("trigger {:?}", create.definition),
        Statement::PauseTrigger(name) => format!("pause trigger {}", name.value),
        Statement::ResumeTrigger(name) => format!("resume trigger {}", name.value),
        Statement::TestTrigger(name) => format!("test trigger {}", name.value),
        Statement::Drop(drop) => {
            format!("drop {} {} if_exists={}", drop.kind, drop.name.value, drop.if_exists)
        }
        Statement::AlterStream(alter) => match &alter.change {
            StreamChange::AddColumn(field, _) => format!("alter {}: add {field}", alter.name.value),
            StreamChange::ModifyColumns(columns, _) => {
                let columns = columns.iter().map(|to| {
                    let nullable =
                        to.nullable.map_or("as it is", |may| if may { "or NULL" } else { "not NULL" });
                    format!("{} {} {nullable}", to.name.value, to.kind)
                });
                let columns: Vec<String> = columns.collect();
                format!("alter {}: modify {}", alter.name.value, columns.join(", "))
            }
            StreamChange::SetOptions(options) => {
                let options: Vec<_> =
                    options.iter().map(|(key, value)| format!("{}={value}", key.value)).collect();
                format!("alter {}: set {}", alter.name.value, options.join(", "))
            }
        },
        Statement::Show(show) => format!("show {show:?}"),
        Statement::Describe(name) => format!("describe {}", name.value),
        Statement::Explain(explain) => {
            format!("explain {:?}: {}", explain.mode, summary(&explain.statement.statement))
        }
        Statement::PauseJob(name) => format!("pause {}", name.value),
        Statement::ResumeJob(name) => format!("resume {}", name.value),
        Statement::ResumeConnector(name) => format!("resume connector {}", name.value),
        Statement::Insert(insert) => {
            let columns: Vec<_> = insert.columns.iter().map(|column| column.value.as_str()).collect();
            let values = if insert.query.is_values() { " values" } else { "" };
            format!(
                "insert into {}({}){values} = {}",
                insert.target.value,
                columns.join(", "),
                insert.query.ast
            )
        }
        Statement::CreateAlarm(create) => match &create.definition.on {
            AlarmOn::Metric { metric, rule } => {
                let (name, report) = (&create.name.value, create.definition.report);
                format!("alarm {name} on {metric}: {rule}; {report:?}")
            }
            AlarmOn::Composite(expression) => format!("alarm {} as {expression}", create.name.value),
        },
        Statement::CreateFunction(create) => {
            let def = &create.definition;
            let body = match &def.body {
                Body::Sql { ast, .. } => ast.to_string(),
                Body::Wasm { export, program } => format!("{export} of {} bytes", program.bytes().len()),
                Body::WasmFile { export, file } => format!("{export} of {}", file.path),
                Body::Procedure { procedure, options, .. } => format!("{procedure} at {options:?}"),
            };
            let flags = format!("or_replace={} if_not_exists={}", create.or_replace, create.if_not_exists);
            format!("function {} {} strict={} = {body} {flags}", def.signature(), def.returned(), def.strict)
        }
        Statement::DropFunction(drop) => {
            format!("drop function {} if_exists={}", drop.name.value, drop.if_exists)
        }
        Statement::DescribeFunction(name) => format!("describe function {}", name.value),
        Statement::ShowCreate(show) => format!("show create {:?} {}", show.kind, show.name.value),
        Statement::CreateScalingPolicy(create) => format!("{:?}", create.definition),
        Statement::CreateScalingGroup(create) => format!("{:?}", create.definition),
        Statement::ExplainAlarm(explain) => {
            format!("explain alarm {} for {:?} at {:?}", explain.name.value, explain.dimensions, explain.at)
        }
        Statement::SetAlarmState(set) => format!(
            "set alarm {} for {:?} to {} because {:?}",
            set.name.value, set.dimensions, set.state, set.reason
        ),
        Statement::AlterScalingGroup(alter) => format!("{} {:?}", alter.name.value, alter.change),
        Statement::Query(query) => format!("query {}", query.ast),
        Statement::Set(set) => format!("set {} = {}", set.key.value, set.value),
        Statement::Replay(replay) => format!(
            "replay {} from {:?} to {:?} into {:?} speed {:?} effects {:?} as {:?}",
            replay.job.value,
            replay.from,
            replay.to,
            replay.into.as_ref().map(|name| &name.value),
            replay.speed,
            replay.effects.iter().map(|name| &name.value).collect::<Vec<_>>(),
            replay.definition,
        ),
        Statement::CancelReplay(number) => format!("cancel replay {number}"),
        Statement::Together(together) => {
            let table = together.table.iter().map(|table| format!("\n    {}", summary(&table.statement)));
            let inserts = together.inserts.iter().map(|one| format!("\n    {}", summary(&one.statement)));
            format!("together{}", table.chain(inserts).collect::<String>())
        }
        Statement::PassedOver(why) => format!("passed over: {why}"),
    }
}

fn view(view: &ViewDef) -> String {
    format!("{}({}) = {}", view.name, view.columns.join(", "), view.query.ast)
}

fn stream(create: &CreateStream, kind: &str) -> String {
    let StreamDef { name, schema, metadata, watermark, partition_by, primary_key, options, .. } =
        &create.definition;
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| {
            let nullable = if field.is_nullable() { "" } else { " not null" };
            format!("{} {}{nullable}", field.name(), field.data_type())
        })
        .collect();
    let def = &create.definition;
    let computed: Vec<_> =
        def.computed.iter().map(|one| (one.place, &one.name, &one.text, &one.kind)).collect();
    let computed = if computed.is_empty() { String::new() } else { format!("\n    computed={computed:?}") };
    let read_only =
        if def.read_only.is_empty() { String::new() } else { format!("\n    read_only={:?}", def.read_only) };
    format!(
        "{kind} {name} ({})\n    metadata={metadata:?} watermark={watermark:?}\n    partition_by={partition_by:?} \
         primary_key={primary_key:?} shards={} retention={:?} durability={:?} compression={:?} idle={:?} guard={:?} \
         format={:?} connector={:?} if_not_exists={}\n    options={options:?}{computed}{read_only}",
        fields.join(", "),
        def.shards,
        def.retention,
        def.durability,
        def.compression,
        def.idle_timeout,
        def.clock_guard,
        def.format,
        def.connector,
        create.if_not_exists,
    )
}

#[test]
fn a_script_keeps_places() {
    let script =
        "-- comment\nCREATE STREAM a (x INT);\n\n/* more; */ SHOW STREAMS; ;\n  SELECT 'a;b'\n  FROM a\n;\n";
    let parsed = parse(script).unwrap();
    let places: Vec<_> = parsed.iter().map(|one| (one.position, one.text.as_str())).collect();
    let at = |line, column| Position { line, column };
    assert_eq!(
        places,
        [
            (at(2, 1), "CREATE STREAM a (x INT)"),
            (at(4, 13), "SHOW STREAMS"),
            (at(5, 3), "SELECT 'a;b'\n  FROM a"),
        ]
    );
    assert!(parse("").unwrap().is_empty());
    assert!(parse(" ;; -- nothing\n").unwrap().is_empty());
}
