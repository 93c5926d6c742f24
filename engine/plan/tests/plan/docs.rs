//! The queries of the documentation can be planned as they stand there.

use std::path::Path;

use headwater_plan::{Planner, Statement, Target, parse};

use crate::fixture::{InMemory, catalog};

/// The streams that `docs/streaming.md` speaks of without defining them.
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
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/streaming.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut catalog = catalog(STREAMS);
    let (planner, tables) = (Planner::new(), InMemory::default().tables());
    let mut planned = 0;
    let blocks = page.split("```sql").skip(1).filter_map(|block| block.split("```").next());
    // Another definition needs a job that stands, which is tested where jobs run.
    for block in blocks.filter(|block| !block.contains("EXPLAIN REPLACE")) {
        for parsed in parse(block).unwrap_or_else(|error| panic!("{}\n{block}", error.render())) {
            match &parsed.statement {
                Statement::Query(query) => {
                    let plan = planner.stream(&catalog, &tables, query, Target::Anywhere);
                    plan.unwrap_or_else(|error| panic!("{}", error.render()));
                    planned += 1;
                }
                _ => {
                    let (after, _) =
                        catalog.apply(&parsed).unwrap_or_else(|error| panic!("{}", error.render()));
                    // A view is planned with what reads it; there are no tables here to read it as a batch.
                    if !matches!(parsed.statement, Statement::CreateView(_)) {
                        let checked = planner.check(&after, &tables, &parsed);
                        checked.unwrap_or_else(|error| panic!("{}", error.render()));
                    }
                    planned += usize::from(matches!(parsed.statement, Statement::CreateMaterializedView(_)));
                    catalog = after;
                }
            }
        }
    }
    assert!(planned >= 12, "{planned} queries");
}
