//! Rows on their way, each by itself: what is never taken is put aside.

use arrow::array::RecordBatch;
use headwater_connectors::{Delivery, Parking, Result};
use headwater_core::{Sequence, ShardId};

/// A row as it was delivered, for the case that it is never taken.
pub(crate) struct Delivered {
    shard: ShardId,
    pub sequence: Sequence,
    row: RecordBatch,
}

impl Delivered {
    /// Row `at` of a delivery.
    pub(crate) fn of(delivery: &Delivery, at: usize) -> Self {
        let sequence = delivery.first.plus(at as u64);
        Self { shard: delivery.shard, sequence, row: delivery.rows.slice(at, 1) }
    }

    /// The shard.
    pub(crate) fn shard(&self) -> ShardId {
        self.shard
    }

    /// Puts the row aside.
    pub(crate) async fn park(self, parking: &Parking, why: impl ToString) -> Result<()> {
        parking.park(self.shard, self.row, vec![(self.sequence, why.to_string())]).await
    }
}
