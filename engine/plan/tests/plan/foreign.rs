//! What Flink's users bring along and is not here: each is refused at its place with a reason and something to say instead, or passed over
//! with a note. Nothing of it is read as if it were not there.

use headwater_plan::{Planner, Statement, Target, parse_one};

use crate::fixture::{Case, InMemory, catalog, check_cases};

const DDL: &str = "
CREATE STREAM orders (id BIGINT, uid BIGINT, price DOUBLE, tags ARRAY<STRING>, ts TIMESTAMP(3), WATERMARK FOR ts AS ts);
CREATE STREAM users (uid BIGINT, name STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts);
";

const REFUSED: [Case; 51] = [
    Case("INSERT INTO t PARTITION (p) SELECT id, 'x' FROM orders", "p)", "has no value", "SELECT a, p"),
    Case("INSERT INTO t PARTITION (p = id) SELECT id FROM orders", "id)", "'id' is none", "PARTITIONED BY"),
    Case("SELECT id FROM hive.shop.orders", "hive", "there is no stream", "leave out 'hive.shop.'"),
    Case(
        "SELECT id FROM orders ORDER BY price FETCH FIRST 2 ROWS WITH TIES",
        "",
        "does not run",
        "ROWS ONLY",
    ),
    Case(
        "SELECT * FROM orders PIVOT (SUM(price) FOR uid IN (1, 2)) AS p",
        "",
        "no PIVOT",
        "FILTER (WHERE kind = 'a')",
    ),
    Case("INSERT OVERWRITE t SELECT id FROM orders", "INSERT", "do not change", "INSERT INTO"),
    Case("INSERT OVERWRITE TABLE t PARTITION (p = 'x') SELECT 1", "INSERT", "do not change", "INSERT INTO"),
    Case(
        "CREATE TABLE t (a INT) DISTRIBUTED BY (a) WITH (connector = 'print')",
        "DISTRIBUTED",
        "buckets",
        "shards",
    ),
    Case(
        "CREATE TABLE t (a INT) DISTRIBUTED BY HASH(a) INTO 4 BUCKETS",
        "DISTRIBUTED",
        "buckets",
        "PARTITIONED BY",
    ),
    Case("CREATE TABLE t (a INT) COMMENT 'x' DISTRIBUTED INTO 4 BUCKETS", "DISTRIBUTED", "buckets", "shards"),
    Case(
        "CREATE OR REPLACE TABLE t AS SELECT id FROM orders",
        "CREATE",
        "not replaced",
        "DROP TABLE IF EXISTS",
    ),
    Case("REPLACE TABLE t AS SELECT id FROM orders", "REPLACE", "not replaced", "DROP TABLE IF EXISTS"),
    Case(
        "CREATE MATERIALIZED TABLE t AS SELECT id FROM orders",
        "CREATE",
        "freshness",
        "CREATE MATERIALIZED VIEW",
    ),
    Case("CREATE CATALOG c WITH ('type' = 'jdbc')", "CREATE", "one catalog", "CREATE TABLE"),
    Case("CREATE MODEL m INPUT (x INT) OUTPUT (y INT)", "CREATE", "no models", "WASM"),
    Case("CREATE FUNCTION f AS 'com.example.F'", "AS", "classes of the JVM", "WASM"),
    Case("CREATE TEMPORARY SYSTEM FUNCTION f AS 'F' LANGUAGE JAVA", "AS", "classes of the JVM", "RETURNS"),
    Case("COMPILE PLAN '/p' FOR INSERT INTO t SELECT 1", "COMPILE", "planned from its text", "EXPLAIN"),
    Case("EXECUTE PLAN '/p'", "EXECUTE", "planned from its text", "CREATE JOB"),
    Case("STOP JOB 'x' WITH SAVEPOINT", "STOP", "checkpoints", "PAUSE JOB"),
    Case("CALL sys.compact('t')", "CALL", "no CALL", "CREATE FUNCTION"),
    Case("TRUNCATE TABLE orders", "TRUNCATE", "do not change", "retention"),
    Case("SHOW CREATE CATALOG c", "CATALOG", "expected STREAM, TABLE", ""),
    Case("SHOW COLUMNS FROM orders", "SHOW", "described", "DESCRIBE"),
    Case("SHOW CURRENT DATABASE", "SHOW", "one catalog", "SHOW TABLES"),
    Case("ALTER VIEW v RENAME TO w", "ALTER", "not altered", "CREATE OR REPLACE VIEW"),
    Case("ALTER TABLE t ADD WATERMARK FOR ts AS ts", "ADD", "declared with the table", "LIKE"),
    Case("ALTER TABLE t ADD PRIMARY KEY (id) NOT ENFORCED", "ADD", "a key is declared", "LIKE"),
    Case("ALTER TABLE t ADD PARTITION (p = 'x')", "ADD", "folders", "INSERT INTO"),
    Case("ALTER TABLE t ADD a INT AFTER b", "AFTER", "a new column is the last one", ""),
    Case(
        "ALTER TABLE t MODIFY WATERMARK FOR ts AS ts",
        "WATERMARK",
        "stays as it was declared",
        "OVERWRITING",
    ),
    Case("ALTER TABLE t MODIFY (a BIGINT, PRIMARY KEY (a))", "PRIMARY", "a key stays", "OVERWRITING"),
    Case("ALTER TABLE t MODIFY a BIGINT FIRST", "FIRST", "a column keeps its place", ""),
    Case("ALTER TABLE t ALTER COLUMN a TYPE BIGINT USING a::BIGINT", "USING", "keep their values", ""),
    Case("ALTER TABLE t ALTER COLUMN a DROP NOT NULL", "DROP", "expected TYPE", ""),
    Case("ALTER TABLE t RENAME a TO b", "RENAME", "a column keeps its name", "CREATE VIEW"),
    Case("ALTER TABLE t RENAME TO u", "RENAME", "a table keeps its name", "CREATE VIEW"),
    Case("ALTER TABLE t DROP a", "DROP", "a column or key stays", "CREATE VIEW"),
    Case("ALTER TABLE t DROP WATERMARK", "DROP", "a watermark stays", "LIKE"),
    Case("ALTER TABLE t RESET ('a')", "RESET", "by being set", "SET"),
    Case("SELECT id FROM orders TABLESAMPLE (10 PERCENT)", "orders", "TABLESAMPLE", "_sequence"),
    Case("SELECT o.id FROM orders o, LATERAL TABLE(split(o.tags)) AS t(x)", "", "table functions", "UNNEST"),
    Case(
        "SELECT o.id FROM orders o LEFT JOIN LATERAL TABLE(f(o.id)) AS t(x) ON TRUE",
        "",
        "table functions",
        "ON TRUE",
    ),
    Case("SELECT /*+ NONSENSE(u) */ id FROM orders", "NONSENSE", "there is no hint", "BROADCAST"),
    Case(
        "SELECT /*+ BRODCAST(u) */ id FROM orders",
        "BRODCAST",
        "there is no hint",
        "did you mean 'BROADCAST'?",
    ),
    Case(
        "SELECT /*+ LOOKUP('table' = 'u', 'retry-predicate' = 'lookup_miss') */ id FROM orders",
        "('table'",
        "lacks 'retry-strategy'",
        "'max-attempts' = '3'",
    ),
    Case(
        "SELECT u.name, o.total FROM users u CROSS JOIN LATERAL (SELECT SUM(price) AS total FROM orders o WHERE o.uid = u.uid) AS o",
        "",
        "a LATERAL subquery does not run as a stream",
        "GROUP BY key",
    ),
    Case(
        "SELECT u.name, o.price FROM users u CROSS JOIN LATERAL (SELECT price FROM orders o WHERE o.uid > u.uid ORDER BY price LIMIT 3) AS o",
        "",
        "a LATERAL subquery with LIMIT runs only if it is the first rows of a key",
        "ROW_NUMBER()",
    ),
    Case(
        "SELECT u.name, o.price FROM users u CROSS JOIN LATERAL (SELECT price FROM orders o WHERE o.uid = u.uid LIMIT 3) AS o",
        "",
        "a LATERAL subquery with LIMIT runs only if it is the first rows of a key",
        "ORDER BY x LIMIT n",
    ),
    Case(
        "SELECT o.uid, COUNT(*) FROM orders o JOIN users u ON o.uid = u.uid GROUP BY o.uid, TUMBLE(INTERVAL '1' MINUTE)",
        "TUMBLE",
        "says which column its time is",
        "TUMBLE(t.ts",
    ),
    Case(
        "SELECT o.uid, TUMBLE_END(o.ts, INTERVAL '1' MINUTE) FROM orders o JOIN users u ON o.uid = u.uid GROUP BY o.uid, TUMBLE(o.ts, INTERVAL '1' MINUTE)",
        "TUMBLE(o.ts, INTERVAL '1' MINUTE)",
        "a join that keeps no time",
        "b.ts BETWEEN a.ts",
    ),
];

#[test]
fn what_is_not_here_is_refused_with_a_reason_and_something_to_say_instead() {
    check_cases(DDL, &REFUSED);
}

#[test]
fn what_changes_nothing_is_passed_over_with_a_note() {
    let scripts = [
        ("USE CATALOG hive", "'hive' is passed over"),
        ("USE shop", "'shop' is passed over"),
        ("CREATE DATABASE IF NOT EXISTS shop COMMENT 'x'", "'shop' is passed over"),
        ("DROP DATABASE IF EXISTS shop CASCADE", "'shop' is passed over"),
        ("ANALYZE TABLE orders COMPUTE STATISTICS FOR ALL COLUMNS", "plans depend on no statistics"),
        ("ADD JAR 'x.jar'", "'x.jar' is passed over"),
        ("REMOVE JAR 'x.jar'", "'x.jar' is passed over"),
    ];
    for (sql, says) in scripts {
        let parsed = parse_one(sql).unwrap();
        let Statement::PassedOver(note) = &parsed.statement else { panic!("{sql}: {:?}", parsed.statement) };
        assert!(note.contains(says), "{sql}: {note}");
    }
    let catalog = catalog(DDL);
    let (planner, tables) = (Planner::new(), InMemory::default().tables());
    let plan = |hint: &str| {
        let sql = format!("SELECT {hint} o.id, u.name FROM orders o JOIN users u ON o.uid = u.uid");
        let parsed = parse_one(&sql).unwrap();
        let Statement::Query(query) = &parsed.statement else { panic!("{sql}") };
        planner.stream(&catalog, &tables, query, Target::Anywhere).unwrap().explain()
    };
    let plain = plan("");
    for hint in [
        "BROADCAST(u)",
        "SHUFFLE_HASH(o), ALIAS('x')",
        "LOOKUP('table'='u', 'async'='true', 'output-mode'='allow_unordered')",
    ] {
        assert_eq!(plan(&format!("/*+ {hint} */")), plain, "{hint}");
    }
    // A column may be called as what is refused.
    for sql in ["ALTER STREAM orders ADD partition STRING", "ALTER STREAM orders ADD COLUMN modify STRING"] {
        assert!(matches!(parse_one(sql).unwrap().statement, Statement::AlterStream(_)), "{sql}");
    }
}
