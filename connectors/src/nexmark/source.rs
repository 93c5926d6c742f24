//! Makes events when they are due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::FieldRef;
use async_trait::async_trait;
use headwater_core::EventTime;
use headwater_ingest::{IngestError, Payload};
use tokio::time::Instant;

use super::events::{Auction, Table};
use crate::connector::{Context, Mark, Pulled, Source};
use crate::error::{ConnectorError, Result};

/// The most rows at a time.
const ROWS_MAX: u64 = 8_192;

/// How long a source with a rate gathers rows.
const GATHER: Duration = Duration::from_millis(10);

/// Makes events of one kind, or all of them.
pub(super) struct Nexmark {
    context: Context,
    /// The kind; none for all.
    table: Option<Table>,
    auction: Auction,
    /// How many rows there are, if they end.
    rows: Option<u64>,
    rate: Option<f64>,
    start: Option<EventTime>,
    next: u64,
    /// The time of event 0.
    began: EventTime,
    /// When this run started, and with which row.
    run: Option<(Instant, u64)>,
}

impl Nexmark {
    pub(super) fn new(
        context: Context,
        table: Option<Table>,
        auction: Auction,
        events: Option<u64>,
        rate: Option<f64>,
        start: Option<EventTime>,
    ) -> Self {
        let rows = events.map(|events| match table {
            Some(table) => auction.shares.rows_among(table, events),
            None => events,
        });
        Self { context, table, auction, rows, rate, start, next: 0, began: EventTime(0), run: None }
    }

    /// How many rows are due now.
    fn due(&self) -> u64 {
        let left = self.rows.map_or(u64::MAX, |rows| rows.saturating_sub(self.next));
        let due = match (self.rate, self.run) {
            (Some(rate), Some((since, first))) => {
                (first + 1 + (since.elapsed().as_secs_f64() * rate) as u64).saturating_sub(self.next)
            }
            _ => ROWS_MAX,
        };
        due.min(left).min(ROWS_MAX)
    }

    fn make(&self, rows: u64) -> Result<RecordBatch> {
        let range = self.next..self.next + rows;
        let fields = self.context.schema.fields().iter();
        let start = self.began.millis();
        let column = |field: &FieldRef| match self.table {
            Some(table) => Ok(self.auction.column(table, field, range.clone(), start)),
            None => self.auction.column_of_all(field, range.clone(), start),
        };
        let columns = fields.map(column).collect::<std::result::Result<_, _>>().map_err(IngestError::from)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows as usize));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.context.schema), columns, &options);
        Ok(batch.map_err(IngestError::from)?)
    }
}

#[async_trait]
impl Source for Nexmark {
    async fn open(&mut self, marks: BTreeMap<String, String>) -> Result<()> {
        (self.next, self.began) = match marks.get("rows") {
            Some(position) => read_position(position).ok_or_else(|| {
                ConnectorError::refused("resume the auction", format!("{position:?} is no position of it"))
            })?,
            None => (0, self.start.unwrap_or_else(|| self.context.world.clock.now())),
        };
        self.run = Some((Instant::now(), self.next));
        Ok(())
    }

    async fn pull(&mut self) -> Result<Pulled> {
        if self.rows.is_some_and(|rows| self.next >= rows) {
            return Ok(Pulled::End);
        }
        if self.rate.is_some() {
            tokio::time::sleep(GATHER).await;
        }
        let rows = self.due();
        if rows == 0 {
            return Ok(Pulled::Nothing);
        }
        let batch = self.make(rows)?;
        self.next += rows;
        let position = format!("{} {}", self.next, self.began.0);
        let marks = vec![Mark { partition: "rows".to_owned(), position }];
        Ok(Pulled::Records { payload: Payload::Rows(batch), marks })
    }

    fn is_bounded(&self) -> bool {
        self.rows.is_some()
    }

    fn lag(&self) -> Option<u64> {
        self.rows.map(|rows| rows.saturating_sub(self.next))
    }
}

/// Reads `NEXT BEGAN`.
fn read_position(position: &str) -> Option<(u64, EventTime)> {
    let (next, began) = position.split_once(' ')?;
    Some((next.parse().ok()?, EventTime(began.parse().ok()?)))
}
