//! Where rows go that the outside will not take: `system.dead_letters`, with the reason.

use std::sync::Arc;

use arrow::array::RecordBatch;
use headwater_core::{Sequence, ShardId};
use headwater_ingest::{Ingest, IngestError};
use headwater_log::{LogError, StreamInfo};

use crate::error::{ConnectorError, Result};
use crate::status::Board;

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
        let parked = tokio::task::spawn_blocking(park).await;
        parked.map_err(|_| IngestError::Log(LogError::Closed))??;
        board.moved(0, count);
        Ok(())
    }
}
