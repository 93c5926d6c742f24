//! Rows out of the log for the next delivery.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use headwater_core::ShardId;
use headwater_ingest::IngestError;
use headwater_log::ReadBatch;

use super::{Open, SinkTask};
use crate::blocking::next_batch;
use crate::connector::{Delivery, Sink};
use crate::error::Result;

impl<M: Fn() -> Result<Box<dyn Sink>> + Send> SinkTask<M> {
    /// The next rows of a shard, no more than the sink takes at a time.
    pub(super) async fn next_delivery(&self, open: &mut Open, shard: usize) -> Result<Option<Delivery>> {
        let mut batch = match open.rest.take_if(|(of, _)| *of == shard) {
            Some((_, batch)) => batch,
            None => match next_batch(&mut open.readers[shard]).await? {
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
                && let Some(more) = next_batch(&mut open.readers[shard]).await?
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

fn split(rows: &RecordBatch, at: usize) -> (RecordBatch, Option<RecordBatch>) {
    let later = (at < rows.num_rows()).then(|| rows.slice(at, rows.num_rows() - at));
    (rows.slice(0, at), later)
}
