//! Rows out of the log for the next delivery.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use headwater_core::{Sequence, ShardId};
use headwater_ingest::IngestError;
use headwater_log::{ReadBatch, Reader};

use super::{Open, SinkTask, gone};
use crate::connector::{Delivery, Sink};
use crate::error::Result;

impl<M: Fn() -> Result<Box<dyn Sink>> + Send> SinkTask<M> {
    /// The next rows of a shard, no more than the sink takes at a time.
    pub(super) async fn next_delivery(&self, open: &mut Open, shard: usize) -> Result<Option<Delivery>> {
        let mut batch = match open.rest.take_if(|(of, _)| *of == shard) {
            Some((_, batch)) => batch,
            None => match read_next(&mut open.readers[shard]).await? {
                Some(batch) => batch,
                None => return Ok(None),
            },
        };
        let most = if self.narrow.is_some() { 1 } else { open.sink.rows_max().max(1) };
        let mut rows = batch.rows.num_rows().min(most);
        let shard_id = ShardId(u32::try_from(shard).unwrap_or(u32::MAX));
        if let Some(failing) = &self.failing
            && (failing.shard, failing.first) == (shard_id, batch.first)
        {
            // What is tried again is the same, also if more has come meanwhile.
            rows = rows.min(failing.rows);
        }
        if let Some(named) = self.named
            && (named.shard, named.first) == (shard_id, batch.first)
        {
            while batch.rows.num_rows() < named.rows
                && let Some(more) = read_next(&mut open.readers[shard]).await?
            {
                batch.rows = concat_batches(&batch.rows.schema(), [&batch.rows, &more.rows])
                    .map_err(IngestError::from)?;
            }
            rows = batch.rows.num_rows().min(named.rows);
        }
        let (now, later) = split(&batch.rows, rows);
        if let Some(later) = later {
            let first = batch.first.plus(rows as u64);
            open.rest = Some((shard, ReadBatch { first, rows: later, ..batch.clone() }));
        }
        let (stream, first) = (self.info.spec.name.clone(), batch.first);
        Ok(Some(Delivery { stream, shard: shard_id, first, rows: now }))
    }
}

/// Reads where waiting for the disk is allowed. If the wait is cut short, reader and rows are gone, and the sink with them.
async fn read_next(reader: &mut Box<dyn Reader>) -> Result<Option<ReadBatch>> {
    let mut moved = std::mem::replace(reader, Box::new(Nowhere));
    let (moved, batch) = tokio::task::spawn_blocking(move || {
        let batch = moved.next();
        (moved, batch)
    })
    .await
    .map_err(gone)?;
    *reader = moved;
    Ok(batch?)
}

/// Stands in for a reader while that is on another thread.
struct Nowhere;

fn split(rows: &RecordBatch, at: usize) -> (RecordBatch, Option<RecordBatch>) {
    let later = (at < rows.num_rows()).then(|| rows.slice(at, rows.num_rows() - at));
    (rows.slice(0, at), later)
}

impl Reader for Nowhere {
    fn next(&mut self) -> headwater_log::Result<Option<ReadBatch>> {
        Ok(None)
    }

    fn position(&self) -> Sequence {
        Sequence::ZERO
    }
}
