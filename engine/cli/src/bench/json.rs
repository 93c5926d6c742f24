//! JSON to Arrow at the edge, on one core: bids as the Nexmark benchmark has them.

use std::sync::Arc;

use anyhow::{Result, ensure};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use headwater_core::World;
use headwater_ingest::{Decoder, Format, FormatOptions};

use super::command::Common;
use super::report::{Report, median};

const ROWS_PER_BODY: usize = 10_000;
const BODIES: usize = 100;

pub(crate) fn run(common: &Common) -> Result<Report> {
    let world = World::real();
    let body = Bytes::from((0..ROWS_PER_BODY).map(bid).collect::<String>());
    let mut report = Report::new("json");
    report
        .setup("rows", format!("{} bids, {} bytes each", BODIES * ROWS_PER_BODY, body.len() / ROWS_PER_BODY));
    report.setup("threads", 1);
    report.setup("runs", common.runs);

    let mut decoder = Decoder::new(Format::JsonLines, schema(), &FormatOptions::default())?;
    let (mut rows_per_second, mut bytes_per_second) = (Vec::new(), Vec::new());
    for _ in 0..common.runs {
        let started = world.clock.monotonic();
        for _ in 0..BODIES {
            decoder.restart();
            let decoded = decoder.decode(body.clone())?;
            ensure!(decoded.rows.num_rows() == ROWS_PER_BODY, "not every bid became a row");
        }
        let seconds = (world.clock.monotonic() - started).as_secs_f64();
        rows_per_second.push((BODIES * ROWS_PER_BODY) as f64 / seconds);
        bytes_per_second.push((BODIES * body.len()) as f64 / seconds / 1e6);
    }
    report.aimed("JSON to Arrow", median(rows_per_second), "rows/s", "at least 1,000,000");
    report.figure("JSON to Arrow", median(bytes_per_second), "MB/s");
    Ok(report)
}

fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, false);
    Arc::new(Schema::new(vec![
        field("auction", DataType::Int64),
        field("bidder", DataType::Int64),
        field("price", DataType::Int64),
        field("channel", DataType::Utf8),
        field("url", DataType::Utf8),
        field("datetime", DataType::Timestamp(TimeUnit::Millisecond, None)),
        field("extra", DataType::Utf8),
    ]))
}

fn bid(nth: usize) -> String {
    let (auction, bidder, price) = (1_000 + nth % 777, 2_000 + nth % 1_313, 100 + nth * 7);
    let millis = nth % 1_000;
    format!(
        "{{\"auction\":{auction},\"bidder\":{bidder},\"price\":{price},\"channel\":\"channel-{}\",\
         \"url\":\"https://www.nexmark.com/item.htm?query=1&channel_id={}\",\
         \"datetime\":\"2024-01-01T00:00:00.{millis:03}Z\",\"extra\":\"abcdefghijklmnop\"}}\n",
        nth % 100,
        nth * 31 % 10_000,
    )
}
