//! What goes into a target's column without a CAST: all that Flink's types let go there, though some are wider here.

use headwater_plan::{Planner, Statement, Target, parse_one};

use crate::fixture::{InMemory, catalog};

const DDL: &str = "
CREATE STREAM s (k INT, v INT, l BIGINT, f FLOAT, x DOUBLE, d DECIMAL(9, 2), t STRING, a ARRAY<INT>,
    ts TIMESTAMP(3), WATERMARK FOR ts AS ts);
CREATE STREAM small (c SMALLINT);
CREATE STREAM whole (c INT);
CREATE STREAM large (c BIGINT);
CREATE STREAM single (c FLOAT);
CREATE STREAM money (c DECIMAL(23, 3));
CREATE STREAM days (c DATE);
CREATE STREAM lists (c ARRAY<INT>);
";

const GO: &[(&str, &str)] = &[
    ("whole", "SELECT 1 FROM s"),
    ("small", "SELECT 1 FROM s"),
    ("whole", "SELECT v + 1 FROM s"),
    ("whole", "SELECT -v % 3 * v FROM s"),
    ("whole", "SELECT CASE WHEN v > 1 THEN 1 ELSE 0 END FROM s"),
    ("whole", "SELECT IF(v > 1, 1, 0) FROM s"),
    ("whole", "SELECT COALESCE(v, 0) FROM s"),
    ("whole", "SELECT CARDINALITY(a) FROM s"),
    ("whole", "SELECT CHAR_LENGTH(t) + LOCATE('a', t) FROM s"),
    ("whole", "SELECT MOD(k, 10) FROM s"),
    ("whole", "SELECT v AS c FROM s UNION ALL SELECT c FROM (VALUES (1), (2)) AS t (c)"),
    ("whole", "SELECT v AS c FROM s UNION ALL SELECT 7 FROM s"),
    (
        "whole",
        "SELECT SUM(v) FROM TUMBLE(TABLE s, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_start, window_end",
    ),
    (
        "whole",
        "SELECT AVG(v) FROM TUMBLE(TABLE s, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_start, window_end",
    ),
    (
        "large",
        "SELECT AVG(l) FROM HOP(TABLE s, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '2' MINUTE) GROUP BY window_start, window_end",
    ),
    (
        "whole",
        "SELECT n FROM (SELECT window_end, MAX(v) + 1 AS n FROM TUMBLE(TABLE s, DESCRIPTOR(ts), INTERVAL '1' MINUTE) \
         GROUP BY window_start, window_end) AS t WHERE n > 3",
    ),
    (
        "whole",
        "SELECT SUM(v) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM s",
    ),
    (
        "whole",
        "SELECT mean FROM s MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts MEASURES AVG(A.v) AS mean PATTERN (A+ B) DEFINE A AS A.v < 3)",
    ),
    ("single", "SELECT f * 2 FROM s"),
    ("single", "SELECT v FROM s"),
    ("single", "SELECT d FROM s"),
    ("money", "SELECT 0.908 * v FROM s"),
    ("money", "SELECT x FROM s"),
    ("days", "SELECT ts FROM s"),
    ("lists", "SELECT ARRAY[v, 1] FROM s"),
];

const STAY: &[(&str, &str, &str)] = &[
    ("whole", "SELECT l FROM s", "BIGINT into c INT"),
    ("whole", "SELECT l + 1 FROM s", "BIGINT into c INT"),
    ("whole", "SELECT v + l FROM s", "BIGINT into c INT"),
    ("whole", "SELECT 3000000000 FROM s", "BIGINT into c INT"),
    ("small", "SELECT v + 1 FROM s", "BIGINT into c SMALLINT"),
    ("whole", "SELECT v AS c FROM s UNION ALL SELECT l FROM s", "BIGINT into c INT"),
    ("whole", "SELECT v * 1.5 FROM s", "DOUBLE into c INT"),
    ("whole", "SELECT v / 2.0 FROM s", "DOUBLE into c INT"),
    ("whole", "SELECT SQRT(v) FROM s", "DOUBLE into c INT"),
    ("whole", "SELECT x FROM s", "DOUBLE into c INT"),
    ("whole", "SELECT CAST(t AS BIGINT) FROM s", "BIGINT into c INT"),
    ("whole", "SELECT t FROM s", "STRING into c INT"),
    (
        "whole",
        "SELECT COUNT(*) FROM TUMBLE(TABLE s, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_start, window_end",
        "BIGINT into c INT",
    ),
    (
        "large",
        "SELECT AVG(x) FROM TUMBLE(TABLE s, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_start, window_end",
        "DOUBLE into c BIGINT",
    ),
    ("single", "SELECT x FROM s", "DOUBLE into c FLOAT"),
    ("single", "SELECT f * x FROM s", "DOUBLE into c FLOAT"),
    ("lists", "SELECT ARRAY[l] FROM s", "into c ARRAY<INT>"),
];

/// What becomes of a query whose result goes into a stream.
fn planned(target: &str, query: &str) -> Result<(), String> {
    let catalog = catalog(DDL);
    let parsed = parse_one(query).unwrap();
    let Statement::Query(query) = &parsed.statement else { panic!("no query: {query}") };
    let into = Target::Stream(catalog.stream(target).unwrap(), &[]);
    let planned = Planner::new().stream(&catalog, &InMemory::default().tables(), query, into);
    planned.map(drop).map_err(|error| error.message().to_owned())
}

#[test]
fn what_is_computed_goes_where_flinks_type_of_it_would() {
    for (target, query) in GO {
        assert_eq!(planned(target, query), Ok(()), "{query} into {target}");
    }
}

#[test]
fn what_does_not_fit_flinks_type_either_is_refused() {
    for (target, query, says) in STAY {
        let message = planned(target, query).expect_err(query);
        assert!(message.contains(says), "{query} into {target}: {message}");
    }
}
