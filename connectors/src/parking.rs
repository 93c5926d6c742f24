//! Where rows go that the outside will not take, and records that are no rows of a table: `system.dead_letters`, with the reason.

use std::sync::Arc;

use arrow::array::RecordBatch;
use headwater_core::{Sequence, ShardId};
use headwater_ingest::{BadRecord, Ingest};
use headwater_log::StreamInfo;

use crate::blocking::on_thread;
use crate::error::{ConnectorError, Result};
use crate::status::{Board, State};

/// Takes rows of one stream that could not be delivered. Without a place, as where only options are checked, it refuses them.
#[derive(Clone, Default)]
pub struct Parking(Option<Arc<Place>>);

struct Place {
    ingest: Arc<Ingest>,
    board: Arc<Board>,
    /// The sink.
    name: String,
    info: Arc<StreamInfo>,
}

impl Parking {
    pub(crate) fn new(ingest: Arc<Ingest>, board: Arc<Board>, name: &str, info: &Arc<StreamInfo>) -> Self {
        Self(Some(Arc::new(Place { ingest, board, name: name.to_owned(), info: Arc::clone(info) })))
    }

    /// Puts rows of a shard aside, each with its sequence number and the reason, and waits until they are safe, which must be before the
    /// sink says that it is past them. A row that comes again, after a crash in between, is there once.
    pub async fn park(&self, shard: ShardId, rows: RecordBatch, why: Vec<(Sequence, String)>) -> Result<()> {
        let [(first, reason), ..] = &*why else { return Ok(()) };
        let Some(place) = self.0.as_ref().map(Arc::clone) else {
            return Err(ConnectorError::refused(format!("deliver row {first} of shard {shard}"), reason));
        };
        let at = format!("row {first} of shard {shard} of {}", place.info.spec.name);
        tracing::warn!(connector = place.name, rows = why.len(), "{at} cannot be delivered: {reason}");
        let key = format!("parked {} {} {shard}", place.name, place.info.id);
        let (board, count) = (Arc::clone(&place.board), why.len() as u64);
        let park = move || place.ingest.park(place.info.spec.name.as_str(), &place.name, &key, &rows, &why);
        on_thread(park).await??;
        board.moved(0, count);
        Ok(())
    }

    /// Shows what is wrong with rows that are delivered all the same.
    pub(crate) fn complain(&self, error: &ConnectorError) {
        if let Some(place) = &self.0 {
            place.board.failed(error, State::Running);
        }
    }
}

/// Takes records that are no rows of a table in which rows are looked up. Without a place it refuses them.
#[derive(Clone, Default)]
pub struct Aside(Option<Arc<Ingest>>);

impl Aside {
    /// With the dead letters as the place.
    pub fn new(ingest: Arc<Ingest>) -> Self {
        Self(Some(ingest))
    }

    /// Puts records aside that were read from `source`, and waits until they are safe. Blocks.
    pub(crate) fn put(&self, table: &str, source: &str, bad: &[BadRecord]) -> Result<()> {
        let [first, ..] = bad else { return Ok(()) };
        let reason = format!("record {} does not fit: {}", first.record, first.reason);
        let Some(ingest) = &self.0 else {
            return Err(ConnectorError::refused(format!("look rows up in {source}"), reason));
        };
        tracing::warn!(table, records = bad.len(), "{source} is read without what does not fit: {reason}");
        Ok(ingest.put_aside(table, source, bad)?)
    }
}
