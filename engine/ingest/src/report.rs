//! What became of a request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use headwater_core::{Sequence, ShardId};
use headwater_log::{Appended, Pending};

use crate::bad::BadRecord;
use crate::error::Result;

/// How many bad records a report shows; all of them are in `system.dead_letters`.
pub(crate) const ERRORS_SHOWN: usize = 10;

/// The last row of a request in one shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct ShardEnd {
    /// The shard.
    pub shard: u32,
    /// The sequence number of the request's last row there.
    pub last_sequence: u64,
}

/// What became of a request.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize)]
pub struct Report {
    /// Rows that went to the stream.
    pub accepted: u64,
    /// Records that went to the dead letters.
    pub dead_lettered: u64,
    /// Whether this was a repeat, so that nothing was appended; all else is as it was the first time.
    pub duplicate: bool,
    /// The last row in each shard that got any.
    pub shards: Vec<ShardEnd>,
    /// The first few bad records.
    pub errors: Vec<BadRecord>,
}

/// A report that comes when the rows are safe. Wait on a thread or await in a task.
#[must_use]
pub struct PendingReport {
    pub(crate) pending: Option<Box<dyn Pending>>,
    /// For each append of the group, the shard of the stream it went to; `None` for dead letters and marks.
    pub(crate) shards: Vec<Option<ShardId>>,
    pub(crate) report: Report,
}

impl PendingReport {
    /// Waits for the report.
    pub fn wait(mut self) -> Result<Report> {
        let appended = match self.pending.take() {
            Some(pending) => pending.wait()?,
            None => Vec::new(),
        };
        Ok(self.finish(&appended))
    }

    fn finish(&mut self, appended: &[Appended]) -> Report {
        let mut report = std::mem::take(&mut self.report);
        report.duplicate |= appended.iter().any(|one| one.duplicate);
        for (shard, one) in self.shards.iter().zip(appended) {
            if let Some(shard) = shard
                && one.next > Sequence::ZERO
            {
                let end = ShardEnd { shard: shard.0, last_sequence: one.next.0 - 1 };
                match report.shards.iter_mut().find(|known| known.shard == shard.0) {
                    Some(known) => *known = end,
                    None => report.shards.push(end),
                }
            }
        }
        report
    }
}

impl Future for PendingReport {
    type Output = Result<Report>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let appended = match &mut self.pending {
            None => Vec::new(),
            Some(pending) => match Pin::new(pending).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(appended) => appended?,
            },
        };
        self.pending = None;
        Poll::Ready(Ok(self.finish(&appended)))
    }
}
