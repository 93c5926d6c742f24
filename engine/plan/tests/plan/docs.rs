//! The queries of the documentation can be planned as they stand there.

use std::path::Path;

use headwater_plan::{Catalog, Parsed, Planner, SqlError, Statement, Target, parse};

use crate::fixture::{InMemory, catalog};

/// The streams that `docs/streaming.md` and `docs/windows.md` speak of without defining them.
const STREAMS: &str = "
CREATE STREAM readings (device STRING, ts TIMESTAMP(3), temp DOUBLE, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE STREAM alarms (device STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE STREAM orders (id BIGINT, ts TIMESTAMP(3), amount DOUBLE, currency STRING, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE STREAM shipments (order_id BIGINT, ts TIMESTAMP(3), carrier STRING, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE STREAM trades (id BIGINT, symbol STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE STREAM quotes (symbol STRING, ts TIMESTAMP(3), price DOUBLE, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE STREAM rates_history (currency STRING, ts TIMESTAMP(3), rate DOUBLE, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE STREAM sales (shop STRING, item STRING, price DOUBLE, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
";

#[test]
fn the_queries_of_the_page_on_streaming_can_be_planned() {
    assert!(planned_of("streaming.md", STREAMS) >= 12);
}

#[test]
fn the_queries_of_the_page_on_windows_can_be_planned() {
    assert_eq!(planned_of("windows.md", STREAMS), 28);
}

#[test]
fn the_statements_of_the_page_on_statements_can_be_planned() {
    assert_eq!(planned_of("statements.md", ""), 5);
}

#[test]
fn the_statements_of_the_page_on_scripts_can_be_planned() {
    assert_eq!(planned_of("scripts.md", ""), 5);
}

/// How many queries a page has, over these streams and what it makes itself.
fn planned_of(page: &str, streams: &str) -> usize {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let page = std::fs::read_to_string(page).unwrap();
    let mut catalog = catalog(streams);
    let planner = Planner::new();
    let mut planned = 0;
    let blocks = page.split("```sql").skip(1).filter_map(|block| block.split("```").next());
    // Another definition needs a job that stands, which is tested where jobs run.
    for block in blocks.filter(|block| !block.contains("EXPLAIN REPLACE")) {
        // Another block may give other tables the same names.
        let before = catalog.clone();
        for parsed in parse(block).unwrap_or_else(|error| panic!("{}\n{block}", error.render())) {
            planned += take(&planner, &mut catalog, &parsed);
        }
        if block.contains("CREATE TABLE") {
            catalog = before;
        }
    }
    planned
}

/// Plans a statement and what belongs to it; how many queries that are.
fn take(planner: &Planner, catalog: &mut Catalog, parsed: &Parsed) -> usize {
    let tables = InMemory::default().tables();
    let told = |error: SqlError| -> ! { panic!("{}", error.render()) };
    match &parsed.statement {
        Statement::Query(query) => {
            planner.stream(catalog, &tables, query, Target::Anywhere).unwrap_or_else(|error| told(error));
            1
        }
        Statement::Insert(insert) => {
            let target = catalog.stream(&insert.target.value).unwrap();
            let columns: Vec<String> = insert.columns.iter().map(|column| column.value.clone()).collect();
            let into = Target::Stream(target, &columns);
            let dataflow = planner.stream(catalog, &tables, &insert.query, into);
            let schema = dataflow.unwrap_or_else(|error| told(error)).result.schema;
            *catalog = catalog.with_columns(&insert.target.value, schema);
            1
        }
        Statement::Together(together) => {
            let table = together.table.as_deref();
            table.into_iter().chain(&together.inserts).map(|one| take(planner, catalog, one)).sum()
        }
        Statement::Explain(explain) => take(planner, &mut catalog.clone(), &explain.statement),
        _ => {
            let (after, _) = catalog.apply(parsed).unwrap_or_else(|error| told(error));
            // A view is planned with what reads it; there are no tables here to read it as a batch.
            if !matches!(parsed.statement, Statement::CreateView(_)) {
                planner.check(&after, &tables, parsed).unwrap_or_else(|error| told(error));
            }
            *catalog = after;
            usize::from(matches!(parsed.statement, Statement::CreateMaterializedView(_)))
        }
    }
}
