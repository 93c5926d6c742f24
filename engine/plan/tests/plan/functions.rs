//! The functions: every line of `docs/functions.md` and `docs/wasm.md` with a result behind it gives that, with constants folded and
//! with columns; what cannot be is told when a query is planned.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use headwater_plan::{Catalog, Planner, SqlError, Statement, Target, parse, parse_one};

use crate::fixture::{InMemory, catalog};

/// The values of a query, row after row.
fn values(catalog: &Catalog, rows: InMemory, sql: &str) -> Result<Vec<String>, String> {
    let parsed = parse_one(sql).map_err(|error| error.render())?;
    let Statement::Query(query) = &parsed.statement else { panic!("{sql}") };
    let planner = Planner::new();
    let plan = planner.batch(catalog, &rows.tables(), query).map_err(|error| error.render())?;
    let session = planner.session();
    let batches = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async { session.execute_logical_plan(plan).await?.collect().await })
        .map_err(|error| error.to_string())?;
    let options = FormatOptions::new().with_null("NULL");
    let mut values = Vec::new();
    for batch in batches {
        for column in batch.columns() {
            let shown = ArrayFormatter::try_new(column, &options).unwrap();
            values.extend((0..column.len()).map(|row| shown.value(row).to_string()));
        }
    }
    Ok(values)
}

/// The statements of a page, each with what stands behind it.
fn examples(page: &str) -> Vec<(String, Option<String>)> {
    let mut examples = Vec::new();
    for block in page.split("```sql").skip(1).filter_map(|block| block.split("```").next()) {
        let mut statement = String::new();
        for line in block.lines() {
            match line.split_once(";  -- ") {
                Some((end, expect)) => {
                    examples.push((format!("{statement}{end}"), Some(expect.trim().to_owned())));
                    statement.clear();
                }
                None => statement = format!("{statement}{line}\n"),
            }
        }
        examples.push((statement, None));
    }
    examples
}

#[test]
fn the_pages_show_what_functions_give() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let pages = ["functions.md", "wasm.md"].map(|page| std::fs::read_to_string(docs.join(page)).unwrap());
    let (mut catalog, mut wrong, mut count) = (Catalog::default(), Vec::new(), 0);
    for (sql, expect) in examples(&pages.concat()) {
        let Some(expect) = expect else {
            for parsed in parse(&sql).unwrap_or_else(|error| panic!("{}", error.render())) {
                catalog = catalog.apply(&parsed).unwrap_or_else(|error| panic!("{}", error.render())).0;
            }
            continue;
        };
        match values(&catalog, InMemory::default(), &sql) {
            Ok(values) if values.join(" ") == expect => count += 1,
            other => wrong.push(format!("{}\n  expected {expect}\n  found    {other:?}", sql.trim())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 50, "{count} examples");
}

/// The functions that Flink 2 documents, but for those that the grammar has by itself.
const OF_FLINK: &str = "abs acos array_agg array_append array_concat array_contains array_distinct array_except array_intersect \
    array_join array_max array_min array_position array_prepend array_remove array_reverse array_slice array_sort array_union ascii \
    asin atan atan2 avg bin btrim cardinality char_length character_length chr coalesce collect concat concat_ws convert_tz cos cosh \
    cot count cume_dist current_row_timestamp current_watermark date_format dayofmonth dayofweek dayofyear decode degrees dense_rank e \
    element elt encode endswith exp first_value from_base64 from_unixtime greatest hex hour if ifnull initcap instr is_alpha is_decimal \
    is_digit json json_array json_arrayagg json_exists json_object json_objectagg json_query json_quote json_string json_unquote \
    json_value lag last_value lead least left listagg ln localtime localtimestamp locate log log10 log2 lower lpad ltrim map_entries \
    map_from_arrays map_from_entries map_keys map_union map_values max md5 min minute mod month ntile nullif overlay parse_url \
    percent_rank percentile pi power printf quarter radians rand rand_integer rank regexp regexp_count regexp_extract \
    regexp_extract_all regexp_instr regexp_replace regexp_substr repeat replace reverse right round row_number rpad rtrim second sha1 \
    sha2 sha224 sha256 sha384 sha512 sign sin sinh split split_index sqrt startswith stddev_pop stddev_samp str_to_map substr substring \
    sum tan tanh timestampadd timestampdiff to_base64 to_date to_timestamp to_timestamp_ltz translate trim truncate typeof unhex \
    unix_timestamp upper url_decode url_encode uuid var_pop var_samp variance week year";

/// What the parser makes of the call of another function, or of none.
const OF_THE_PARSER: [&str; 2] = ["if", "listagg"];

#[test]
fn the_page_says_which_functions_of_flinks_are_not_there() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let page = std::fs::read_to_string(docs.join("functions.md")).unwrap();
    let missing = page.lines().find_map(|line| line.strip_suffix(" | are not there |")).unwrap_or_default();
    let missing: Vec<String> = missing.split('`').skip(1).step_by(2).map(str::to_lowercase).collect();
    let session = Planner::new();
    let session = session.session().state();
    let is_there = |name: &str| {
        session.scalar_functions().contains_key(name)
            || session.aggregate_functions().contains_key(name)
            || session.window_functions().contains_key(name)
            || OF_THE_PARSER.contains(&name)
    };
    let not_there: Vec<&str> = OF_FLINK.split_whitespace().filter(|name| !is_there(name)).collect();
    assert_eq!(not_there, missing);
}

const ROWS: [Option<&str>; 5] = [
    Some(r#"{"device": "t7", "n": 1, "tags": ["a", "b"]}"#),
    None,
    Some(r#"{"device": "t8", "n": "two", "tags": []}"#),
    Some("broken"),
    Some(r#"{"n": null, "tags": {"a": 1}}"#),
];

fn check(sql: &str, expect: &[&str]) {
    let texts: StringArray = ROWS.into_iter().collect();
    let schema = Arc::new(Schema::new(vec![Field::new("j", DataType::Utf8, true)]));
    let rows = InMemory::default().with("t", RecordBatch::try_new(schema, vec![Arc::new(texts)]).unwrap());
    assert_eq!(values(&Catalog::default(), rows, sql).unwrap(), expect, "{sql}");
}

#[test]
fn columns_of_json() {
    check("SELECT j ->> 'device' FROM t", &["t7", "NULL", "t8", "NULL", "NULL"]);
    check("SELECT t.j -> 'tags' ->> -1 FROM t", &["b", "NULL", "NULL", "NULL", "NULL"]);
    check(
        "SELECT j -> 'tags' FROM t WHERE j ->> 'device' = 't7' OR j -> 'n' = 'null'",
        &[r#"["a", "b"]"#, r#"{"a": 1}"#],
    );
    check(
        "SELECT j ->> k FROM t, (VALUES ('n')) AS keys (k) ORDER BY j",
        &["NULL", "1", "two", "NULL", "NULL"],
    );
    check(
        "SELECT JSON_VALUE(j, '$.n' RETURNING INT DEFAULT 0 ON EMPTY DEFAULT -1 ON ERROR) FROM t",
        &["1", "NULL", "-1", "-1", "0"],
    );
    check("SELECT JSON_VALUE(j, '$.n' RETURNING INT) FROM t", &["1", "NULL", "NULL", "NULL", "NULL"]);
    check(
        "SELECT JSON_QUERY(j, '$.tags' EMPTY ARRAY ON ERROR) FROM t",
        &[r#"["a","b"]"#, "NULL", "[]", "[]", r#"{"a":1}"#],
    );
    check("SELECT JSON_EXISTS(j, '$.n' UNKNOWN ON ERROR) FROM t", &["true", "NULL", "true", "NULL", "false"]);
    check("SELECT j IS JSON OBJECT FROM t", &["true", "false", "true", "false", "true"]);
    check(
        "SELECT JSON_OBJECT('d' VALUE j ->> 'device', 't' VALUE j -> 'tags' ABSENT ON NULL) FROM t",
        &[r#"{"d":"t7","t":["a", "b"]}"#, "{}", r#"{"d":"t8","t":[]}"#, "{}", r#"{"t":{"a": 1}}"#],
    );
    check(
        "SELECT JSON_ARRAY(j ->> 'n' NULL ON NULL) FROM t",
        &[r#"["1"]"#, "[null]", r#"["two"]"#, "[null]", "[null]"],
    );
    check(
        "SELECT array_transform([j], x -> x ->> 'n') FROM t",
        &["[1]", "[NULL]", "[two]", "[NULL]", "[NULL]"],
    );
}

#[test]
fn an_error_is_raised_where_that_is_asked_for() {
    let broken = |sql: &str| values(&Catalog::default(), InMemory::default(), sql).unwrap_err();
    let error = broken("SELECT JSON_VALUE(x, '$.a' ERROR ON ERROR) FROM (VALUES ('{\"a\"')) AS t (x)");
    assert!(error.contains("JSON_VALUE: '{\"a\"' is no JSON"), "{error}");
    let error = broken("SELECT JSON_VALUE(x, '$.b' ERROR ON EMPTY) FROM (VALUES ('{\"a\":1}')) AS t (x)");
    assert!(error.contains("JSON_VALUE: the path leads to nothing"), "{error}");
    let error =
        broken("SELECT JSON_QUERY(x, 'strict $.a' ERROR ON ERROR) FROM (VALUES ('{\"a\":1}')) AS t (x)");
    assert!(error.contains("JSON_QUERY: the path leads to a scalar"), "{error}");
    let error = broken("SELECT JSON_OBJECTAGG(x VALUE 1) FROM (VALUES (CAST(NULL AS STRING))) AS t (x)");
    assert!(error.contains("JSON_OBJECTAGG: a key is NULL"), "{error}");
    let error = broken("SELECT JSON(x) FROM (VALUES ('a')) AS t (x)");
    assert!(error.contains("'a' is no JSON"), "{error}");
}

fn plan(sql: &str) -> Result<(), SqlError> {
    let catalog = catalog("CREATE STREAM events (j STRING, n INT)");
    let Statement::Query(query) = &parse_one(sql)?.statement else { panic!("{sql}") };
    Planner::new().stream(&catalog, &InMemory::default().tables(), query, Target::Anywhere).map(drop)
}

#[test]
fn what_the_clock_or_chance_says_is_refused_in_a_stream() {
    for (sql, told) in [
        ("SELECT UNIX_TIMESTAMP() FROM events", "unix_timestamp() gives another value each time"),
        (
            "SELECT CURRENT_ROW_TIMESTAMP() FROM events AS a JOIN events AS b ON a.n = b.n",
            "current_row_timestamp() gives another value each time",
        ),
        (
            "SELECT LOCALTIME, count(*) FROM events GROUP BY LOCALTIME",
            "localtime() depends on when the query runs",
        ),
        (
            "SELECT CURRENT_DATE FROM events GROUP BY CURRENT_DATE",
            "current_date() depends on when the query runs",
        ),
        ("SELECT RAND() FROM events", "rand() gives another value each time"),
        ("SELECT RAND(7) FROM events", "rand() gives another value each time"),
        ("SELECT RAND_INTEGER(7, n) FROM events", "rand_integer() gives another value each time"),
    ] {
        let error = plan(sql).unwrap_err().render();
        assert!(error.contains(told), "{sql}: {error}");
        assert!(error.contains("at line 1, column 8"), "{sql}: {error}");
    }
    plan("SELECT UNIX_TIMESTAMP(j) FROM events").unwrap();
    let error = plan("SELECT CURRENT_WATERMARK(CAST(j AS TIMESTAMP(3))) FROM events").unwrap_err().render();
    assert!(error.contains("current_watermark() is of a stream's rows as they are read"), "{error}");
}

#[test]
fn a_constant_stands_where_no_column_has_its_name() {
    plan("SELECT n * PI AS x FROM events WHERE PI > 3").unwrap();
    let error = plan("SELECT n * PI, missing FROM events").unwrap_err();
    assert!(error.message().contains("there is no column"), "{error}");
    let error = plan("SELECT events.pi FROM events").unwrap_err();
    assert!(error.message().contains("there is no column 'pi'"), "{error}");
    let error = plan("SELECT \"pi\" FROM events").unwrap_err();
    assert!(error.message().contains("there is no column 'pi'"), "{error}");
}

#[test]
fn rows_are_cast_and_taken_apart_in_a_stream() {
    plan("SELECT CAST(ROW(n, j) AS ROW<a BIGINT, b STRING>) AS r, CAST((n, j) AS STRING) AS t FROM events")
        .unwrap();
    plan("SELECT t.r.*, t.* FROM (SELECT ROW(n, j) AS r FROM events) AS t").unwrap();
    // A field in the list is a column of its name, unless another has that.
    let rows = "(SELECT ROW(n, j) AS r, n FROM events)";
    plan(&format!("SELECT f0 + 1, f1 FROM (SELECT t.r.f0, r.f1, t.n FROM {rows} AS t) AS u")).unwrap();
    let both = format!("{rows} AS t JOIN {rows} AS u ON t.n = u.n");
    plan(&format!("SELECT n FROM (SELECT t.n, t.r.f0, u.r.f0 FROM {both}) AS v")).unwrap();
    plan(&format!("SELECT f0, m FROM (SELECT r.f0, COUNT(*) AS m FROM {rows} AS t GROUP BY r.f0) AS v"))
        .unwrap();
    plan("WITH a AS (SELECT ROW(n, (n, j)) AS r FROM events), b AS (SELECT r.* FROM a) SELECT f1.*, b.* FROM b").unwrap_err();
    plan("WITH a AS (SELECT ROW(n, (n, j)) AS r FROM events), b AS (SELECT r.* FROM a) SELECT f1.* FROM b")
        .unwrap();
    plan("SELECT n, j, COUNT(*) AS c FROM events GROUP BY (n, j)").unwrap();
    plan("SELECT COLLECT(j) AS all_of_them, n FROM events GROUP BY n").unwrap();
    for (sql, told) in [
        (
            "SELECT CAST(ROW(n, j) AS ROW<a BIGINT>) FROM events",
            "ROW<f0 INT, f1 STRING> cannot be cast to ROW<a BIGINT>",
        ),
        ("SELECT CAST(n AS ROW<a BIGINT>) FROM events", "INT cannot be cast to ROW<a BIGINT>"),
        ("SELECT CAST(n AS ROW<a BIGINT) FROM events", "expected"),
        ("SELECT ROW() FROM events", "ROW takes the values of a row"),
        ("SELECT j.* FROM events", "invalid qualifier j"),
        ("SELECT U&'!zz' UESCAPE '!' FROM events", "behind ! stand four hexadecimal digits"),
        ("SELECT U&'a' UESCAPE 'ab' FROM events", "behind UESCAPE stands one character"),
        ("SELECT COLLECT(NULL) FROM events", "COLLECT takes values of a type"),
    ] {
        let error = plan(sql).unwrap_err();
        assert!(error.message().contains(told), "{sql}: {error}");
    }
}

#[test]
fn values_that_do_not_fit_are_told() {
    for (sql, told) in [
        (
            "SELECT ELEMENT(x) FROM (VALUES ([1, 2])) AS t (x)",
            "ELEMENT: the list has 2 elements, and not one",
        ),
        (
            "SELECT MAP_FROM_ENTRIES([NAMED_STRUCT('k', CAST(NULL AS STRING), 'v', 1)])",
            "MAP_FROM_ENTRIES: a key is NULL",
        ),
        ("SELECT MAP_UNION(MAP['a', 1], 7)", "MAP_UNION takes maps, not BIGINT"),
        ("SELECT PRINTF('%d', 'a')", "PRINTF: '%d' does not write a value of this type"),
        ("SELECT PRINTF('%d %d', 1)", "PRINTF: there is no value for '%d'"),
        ("SELECT PRINTF('%h', 1)", "PRINTF: '%h' is no conversion with such flags"),
        ("SELECT PRINTF('100 %')", "PRINTF: a % of the format '100 %' is followed by no conversion"),
        ("SELECT CONVERT_TZ('2026-03-01 10:00:07', 'Nowhere', 'UTC')", "there is no time zone 'Nowhere'"),
        ("SELECT RAND_INTEGER(0)", "RAND_INTEGER: the bound 0 is not above zero"),
        (
            "SELECT RAND(x) FROM (VALUES (1), (2)) AS t (x)",
            "the seed of RAND is a number that stands in the query",
        ),
        (
            "SELECT PERCENTILE(x, 1.5) FROM (VALUES (1)) AS t (x)",
            "a percentage of PERCENTILE is a number from 0 to 1",
        ),
    ] {
        let error = values(&Catalog::default(), InMemory::default(), sql).unwrap_err();
        assert!(error.contains(told), "{sql}: {error}");
    }
}

#[test]
fn mistakes_are_told_when_a_query_is_planned() {
    plan("SELECT j -> 'a' ->> 0 FROM events WHERE JSON_EXISTS(j, '$.a')").unwrap();
    for (sql, told) in [
        ("SELECT JSON_VALUE(j, 'a.b') FROM events", "begin with '$'"),
        ("SELECT JSON_QUERY(j, '$.a[?(@.b = 1)]') FROM events", "has '=' in a filter, where '==' is meant"),
        ("SELECT JSON_VALUE(j, '$..') FROM events", "lacks a name behind '..'"),
        ("SELECT JSON_QUERY(j, '$.a[1 to]') FROM events", "needs a number, 'last', a slice"),
        ("SELECT JSON_VALUE(j, j) FROM events", "the path of a JSON function is a text in quotes"),
        ("SELECT JSON_VALUE(j) FROM events", "expected ,"),
        ("SELECT JSON_VALUE(j, '$.a' DEFAULT 1 ON) FROM events", "expected ERROR"),
        ("SELECT JSON_QUERY(j, '$' RETURNING INT) FROM events", "JSON_QUERY returns STRING or ARRAY<STRING>"),
        ("SELECT JSON_OBJECT('a', 1) FROM events", "expected VALUE"),
        ("SELECT JSON_OBJECTAGG(j) FROM events", "expected VALUE"),
        ("SELECT JSON_ARRAYAGG(DISTINCT n ORDER BY j) FROM events", "expected )"),
        (
            "SELECT JSON_ARRAYAGG(n) OVER (PARTITION BY j) FROM events",
            "JSON_ARRAYAGG takes the rows of a group",
        ),
        ("SELECT n -> 'a' FROM events", "look into JSON, which is a text"),
        ("SELECT j -> 1.5 FROM events", "a key into JSON is a text or a whole number"),
    ] {
        let error = plan(sql).unwrap_err();
        assert!(error.message().contains(told), "{sql}: {error}");
    }
}
