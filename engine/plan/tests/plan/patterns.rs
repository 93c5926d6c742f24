//! MATCH_RECOGNIZE: bounded queries against answers found by hand, streaming plans, and the mistakes that are likely.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use headwater_plan::{Catalog, Dataflow, Planner, SqlError, Statement, Tables, Target, parse_one};

use crate::fixture::{InMemory, catalog, check_snapshot, millis, seconds};

const DDL: &str = "
CREATE STREAM ticks (symbol STRING, ts TIMESTAMP(3), price BIGINT, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE STREAM fleet (device STRING, ts TIMESTAMP(3), load DOUBLE, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE PER device);
CREATE STREAM raw (symbol STRING, ts TIMESTAMP(3), price BIGINT);
";

/// Two symbols, one row each a second.
fn tables() -> Arc<dyn Tables> {
    let prices = [("a", [5, 9, 7, 4, 6, 8, 8, 3]), ("b", [1, 2, 3, 2, 1, 2, 9, 1])];
    let rows: Vec<(&str, i64, i64)> = (0..8)
        .flat_map(|second| {
            prices.iter().map(move |(symbol, prices)| (*symbol, second, prices[second as usize]))
        })
        .collect();
    let fields = vec![
        Field::new("symbol", DataType::Utf8, true),
        Field::new("ts", millis(), true),
        Field::new("price", DataType::Int64, true),
    ];
    let symbols = StringArray::from_iter_values(rows.iter().map(|row| row.0));
    let times = seconds(&rows.iter().map(|row| row.1).collect::<Vec<_>>());
    let prices = Int64Array::from_iter_values(rows.iter().map(|row| row.2));
    let batch =
        RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(symbols), times, Arc::new(prices)]);
    InMemory::default().with_stream("ticks", batch.unwrap()).tables()
}

/// Checks the rows of a bounded query over `ticks MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts ..)`, in order of key and time.
#[track_caller]
fn check(select: &str, clauses: &str, expect: &[&str]) {
    let sql = format!(
        "SELECT {select} FROM ticks MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts {clauses}) AS m"
    );
    let (catalog, planner) = (catalog(DDL), Planner::new());
    let parsed = parse_one(&sql).unwrap_or_else(|error| panic!("{}", error.render()));
    let Statement::Query(query) = &parsed.statement else { panic!("{sql}") };
    let plan = planner.batch(&catalog, &tables(), query).unwrap_or_else(|error| panic!("{}", error.render()));
    let session = planner.session();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let rows = runtime
        .block_on(async { session.execute_logical_plan(plan).await?.collect().await })
        .unwrap_or_else(|error| panic!("{error}\n{sql}"));
    let mut found: Vec<String> = rows.iter().flat_map(texts).collect();
    // Partitions come in the order of their slots.
    found.sort_by_key(|line| line.split(' ').next().map(str::to_owned));
    assert_eq!(found, expect, "{sql}");
}

fn texts(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL").with_timestamp_format(Some("%S"));
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
        .collect();
    let row = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" ");
    (0..batch.num_rows()).map(row).collect()
}

#[test]
fn greedy_takes_more_and_reluctant_less() {
    let clauses = |quantifier: &str| {
        format!(
            "MEASURES A.ts AS s, B.ts AS e, COUNT(X.price) AS n PATTERN (A X{quantifier} B) \
             DEFINE A AS A.price >= 5, X AS X.price < 9, B AS B.price > 5"
        )
    };
    check("*", &clauses("*"), &["a 00 01 0", "a 02 06 3"]);
    check("*", &clauses("*?"), &["a 00 01 0", "a 02 04 1", "a 05 06 0"]);
    check("symbol, e", &clauses("{2}"), &["a 04"]);
    check("symbol, s, e", &clauses("??"), &["a 00 01", "a 02 04", "a 05 06"]);
    check("symbol, s, e", &clauses("{1,3}"), &["a 01 05"]);
    check("symbol, s, e", &clauses("{,1}"), &["a 00 01", "a 02 04", "a 05 06"]);
}

#[test]
fn definitions_look_back_and_ahead() {
    // Down, then up: a valley.
    let valley = "MEASURES FIRST(D.price) AS top, LAST(D.price) AS low, LAST(U.price) AS up, COUNT(*) AS n \
                  PATTERN (D+ U+ E) DEFINE D AS D.price < PREV(D.price), U AS U.price > PREV(U.price), E AS E.price <= PREV(price)";
    check("*", valley, &["a 7 4 8 5", "b 2 1 9 5"]);
    // The same by the rows of the match.
    let by_match = "MEASURES S.price AS top, LAST(D.price) AS low, LAST(U.price) AS up \
                    PATTERN (S D+ U+ E) DEFINE D AS D.price < LAST(price, 1), U AS U.price > LAST(price, 1), E AS E.price <= LAST(price, 1)";
    check("*", by_match, &["a 9 4 8", "b 3 1 9"]);
    let peak = "MEASURES P.ts AS at, P.price AS price PATTERN (P) DEFINE P AS P.price > PREV(P.price) AND P.price >= NEXT(P.price)";
    check("*", peak, &["a 01 9", "a 05 8", "b 02 3", "b 06 9"]);
    let sums = "MEASURES SUM(A.price) AS s, AVG(A.price) AS mean, MIN(price) AS low, MAX(A.price) AS high, COUNT(A.*) AS n \
                PATTERN (A+ B) DEFINE A AS SUM(A.price) < 20, B AS B.price > 0";
    check("*", sums, &["a 14 7.0 5 9 2", "a 18 6.0 4 8 3", "b 11 1.8333333333333333 1 3 6"]);
    check(
        "symbol, f, l",
        "MEASURES PREV(FIRST(A.price, 1)) AS f, PREV(LAST(A.price), 2) AS l PATTERN (A{3}) DEFINE A AS TRUE",
        &["a 5 5", "a 4 4", "b 1 1", "b 2 2"],
    );
}

#[test]
fn definitions_may_call_functions() {
    let clauses = "MEASURES upper(symbol) || '-' || CAST(A.price AS STRING) AS p, ABS(A.price - B.price) AS gap \
                   PATTERN (A B) DEFINE A AS ts < now() AND symbol LIKE 'a%', \
                   B AS ABS(B.price - A.price) > CASE WHEN A.price > 8 THEN 1 ELSE 4 END";
    check("p, gap", clauses, &["A-8 5", "A-9 2"]);
}

#[test]
fn the_next_match_begins_where_it_should() {
    let clauses = |skip: &str| {
        format!(
            "MEASURES FIRST(A.ts) AS s, LAST(B.ts) AS e AFTER MATCH SKIP {skip} PATTERN (A B+? C) \
             DEFINE A AS A.price < 8, B AS B.price > 2, C AS C.price < B.price"
        )
    };
    check("*", &clauses("PAST LAST ROW"), &["a 00 01", "a 03 06", "b 01 02", "b 05 06"]);
    check("*", &clauses("TO NEXT ROW"), &["a 00 01", "a 02 06", "a 03 06", "a 04 06", "b 01 02", "b 05 06"]);
    check("*", &clauses("TO FIRST B"), &["a 00 01", "a 02 06", "a 03 06", "a 04 06", "b 01 02", "b 05 06"]);
    check("*", &clauses("TO LAST B"), &["a 00 01", "a 02 06", "b 01 02", "b 05 06"]);
    check("*", &clauses("TO b"), &["a 00 01", "a 02 06", "b 01 02", "b 05 06"]);
}

#[test]
fn all_rows_of_a_match_say_which_they_are() {
    let clauses = "MEASURES MATCH_NUMBER() AS nr, CLASSIFIER() AS var, SUM(price) AS so_far, FINAL SUM(price) AS total, \
                   FINAL LAST(ts) AS until, MATCH_ROWTIME() AS done \
                   ALL ROWS PER MATCH PATTERN (lo hi) DEFINE lo AS price < 4, hi AS price > lo.price";
    check(
        "symbol, ts, nr, var, so_far, total, until, done, price",
        clauses,
        &["b 00 1 lo 1 3 01 01 1", "b 01 1 hi 3 3 01 01 2", "b 04 2 lo 1 3 05 05 1", "b 05 2 hi 3 3 05 05 2"],
    );
    check(
        "*",
        "MEASURES CLASSIFIER() AS c ALL ROWS PER MATCH PATTERN (X Y) DEFINE X AS price = 9",
        &["a 01 X 9", "a 02 Y 7", "b 06 X 9", "b 07 Y 1"],
    );
}

#[test]
fn alternatives_and_orders_are_tried_as_written() {
    let both = "MEASURES CLASSIFIER() AS c, A.price AS a, B.price AS b PATTERN (permute(A, B)) DEFINE A AS price > 6, B AS price < 6";
    check("*", both, &["a A 9 5", "a B 7 4", "a B 8 3", "b A 9 2"]);
    let either = "MEASURES CLASSIFIER() AS c, LAST(price) AS last PATTERN (S (A B | A C) ) \
                  DEFINE S AS price = 9, A AS TRUE, B AS price > 4, C AS price <= 4";
    check("*", either, &["a C 4"]);
}

#[test]
fn within_leaves_out_what_takes_longer() {
    let clauses = |within: &str| {
        format!(
            "MEASURES A.ts AS s, C.ts AS e PATTERN (A B* C) {within} DEFINE A AS A.price > 6, B AS B.price > 3, C AS C.price < A.price - 4"
        )
    };
    check("*", &clauses(""), &["a 01 07", "b 06 07"]);
    check("*", &clauses("WITHIN INTERVAL '3' SECOND"), &["a 01 03", "a 05 07", "b 06 07"]);
    check("*", &clauses("WITHIN INTERVAL '1' SECOND"), &["a 06 07", "b 06 07"]);
}

const STREAMS: &[&str] = &[
    "SELECT * FROM ticks MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts MEASURES A.price AS a, MATCH_ROWTIME() AS at \
     PATTERN (A B+? C) WITHIN INTERVAL '1' MINUTE DEFINE B AS price > A.price, C AS price < PREV(price))",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts ALL ROWS PER MATCH PATTERN (A (B | C)* D) DEFINE A AS price > PREV(price, 2))",
    "SELECT symbol FROM ticks MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts, price DESC MEASURES MATCH_NUMBER() AS n \
     AFTER MATCH SKIP TO NEXT ROW PATTERN (A{2} B??) WITHIN INTERVAL '10' SECOND DEFINE A AS price > 1) WHERE symbol = 'a'",
    "SELECT window_end, COUNT(*) FROM TUMBLE(TABLE (SELECT symbol, at FROM ticks MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts \
     MEASURES MATCH_ROWTIME() AS at PATTERN (A B) WITHIN INTERVAL '5' SECOND DEFINE B AS price > A.price)), DESCRIPTOR(at), \
     INTERVAL '1' MINUTE) GROUP BY window_end",
];

const MISTAKES: &[&str] = &[
    // Clauses.
    "SELECT * FROM ticks MATCH_RECOGNIZE (PARTITION BY symbol PATTERN (A) DEFINE A AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY price PATTERN (A) DEFINE A AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts DESC PATTERN (A) DEFINE A AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (PARTITION BY upper(symbol) ORDER BY ts PATTERN (A) DEFINE A AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY tss PATTERN (A) DEFINE A AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A) WITHIN 5 DEFINE A AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A) WITHIN INTERVAL '1' MONTH DEFINE A AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A))",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) SUBSET U = (A, B) DEFINE A AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts ALL ROWS PER MATCH WITH UNMATCHED ROWS PATTERN (A) DEFINE A AS price > 1)",
    // The pattern.
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A*) WITHIN INTERVAL '1' HOUR DEFINE A AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B+) DEFINE A AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A{3,2} B) DEFINE A AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A+{2} B) DEFINE A AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN ((A{100}){200} B) DEFINE A AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (((((((((((((((((((((((((((((((((((((((((((((((((((((A",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (^ A) DEFINE A AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A {- B -} C) DEFINE A AS price > 1)",
    // Variables.
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (UP DN) DEFINE UPP AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (UP DN) DEFINE UP AS price > DM.price)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts MEASURES LAST(X.price) AS p PATTERN (UP DN) DEFINE UP AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) DEFINE A AS price > 1, A AS price < 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts AFTER MATCH SKIP TO LAST C PATTERN (A B) DEFINE A AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts AFTER MATCH SKIP TO LAST B PATTERN (A B? C) DEFINE A AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts AFTER MATCH SKIP TO FIRST A PATTERN (A B) DEFINE A AS price > 1)",
    // What is looked at.
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) DEFINE A AS pice > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) DEFINE A AS price)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) DEFINE A AS price + symbol > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) DEFINE A AS SUM(SUM(price)) > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) DEFINE B AS SUM(A.price - B.price) > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) DEFINE B AS COUNT(DISTINCT A.price) > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) DEFINE B AS SUM(symbol) > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) DEFINE B AS PREV(PREV(price)) > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) DEFINE B AS LAST(A.price, B.price) > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) DEFINE B AS MATCH_NUMBER() > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts MEASURES NEXT(B.price) AS n PATTERN (A B) DEFINE B AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts MEASURES MATCH_PROCTIME() AS n PATTERN (A B) DEFINE B AS price > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) DEFINE B AS price > (SELECT MAX(price) FROM raw))",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) DEFINE B AS stddev(price) > 1)",
    "SELECT * FROM ticks MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) DEFINE B AS ts > now())",
    // The stream.
    "SELECT * FROM raw MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) DEFINE B AS price > 1)",
    "SELECT * FROM fleet MATCH_RECOGNIZE (PARTITION BY device ORDER BY ts PATTERN (A B) DEFINE B AS load > 1)",
    "SELECT * FROM (SELECT symbol, MAX(ts) AS ts FROM ticks GROUP BY symbol) MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) DEFINE B AS symbol = 'a')",
    "WITH t AS (SELECT symbol, MAX(ts) AS ts FROM ticks GROUP BY symbol) SELECT * FROM t MATCH_RECOGNIZE (ORDER BY ts PATTERN (A B) DEFINE B AS symbol = 'a')",
];

fn stream(catalog: &Catalog, sql: &str) -> Result<Dataflow, SqlError> {
    let parsed = parse_one(sql)?;
    let Statement::Query(query) = &parsed.statement else { panic!("{sql}") };
    Planner::new().stream(catalog, &InMemory::default().tables(), query, Target::Anywhere)
}

#[test]
fn plans_say_what_becomes_of_state() {
    let (catalog, mut text) = (catalog(DDL), String::new());
    for sql in STREAMS {
        let plan = stream(&catalog, sql).unwrap_or_else(|error| panic!("{}", error.render()));
        writeln!(text, "{sql}\n{}", plan.explain()).unwrap();
    }
    check_snapshot("patterns_stream.txt", &text);
}

#[test]
fn mistakes_in_patterns_are_explained() {
    let (catalog, mut text) = (catalog(DDL), String::new());
    for sql in MISTAKES {
        let Err(error) = stream(&catalog, sql) else { panic!("no error: {sql}") };
        assert!(error.position().is_some(), "no place: {sql}\n{error}");
        assert!(!error.message().ends_with('.') && !error.message().contains('\n'), "{error}");
        writeln!(text, "{}\n", error.render()).unwrap();
    }
    check_snapshot("patterns_mistakes.txt", &text);
}

#[test]
fn the_queries_of_the_documentation_can_be_planned() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/patterns.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut catalog = Catalog::default();
    let mut queries = 0;
    for block in page.split("```sql").skip(1).filter_map(|block| block.split("```").next()) {
        for parsed in headwater_plan::parse(block).unwrap_or_else(|error| panic!("{}", error.render())) {
            let Statement::Query(query) = &parsed.statement else {
                catalog = catalog.apply(&parsed).unwrap_or_else(|error| panic!("{}", error.render())).0;
                continue;
            };
            let tables = InMemory::default().tables();
            let plan = Planner::new().stream(&catalog, &tables, query, Target::Anywhere);
            plan.unwrap_or_else(|error| panic!("{}", error.render()));
            queries += 1;
        }
    }
    assert!(queries >= 4, "{queries} queries");
}
