//! How far event time has come in a stream that a sink delivers.
//!
//! ```text
//!  1. the watermark W of those who write         2. where the shards end, B
//!  ─────── rows that W has passed ──────┤ B ├──── rows behind W, and late ones ──>
//! ```
//!
//! A job's watermark is told when what it said up to there is in the log. So in this order no row that is not late lies behind B and before
//! W, and who has delivered all rows before B may take W for what has come to it.

use std::sync::Arc;

use headwater_core::{EventTime, StreamId};
use headwater_log::{Log, ShardBounds};

use crate::error::Result;

/// Tells the least watermark of the jobs that write into a stream: [`EventTime::MIN`] while one of them has none, [`EventTime::MAX`] when
/// all have come to their ends. `None`: no job writes into it, and what else is written is whole when it is there.
pub type TellWatermark = Arc<dyn Fn() -> Option<EventTime> + Send + Sync>;

/// Where a sink asks for it. By default nobody answers, and event time does not begin.
#[derive(Clone, Default)]
pub struct Watermarks(Option<Arc<dyn Fn() -> Result<Passed> + Send + Sync>>);

/// What all rows of a stream have passed that lie before the ends of its shards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passed {
    /// The watermark, if jobs write into it.
    pub watermark: Option<EventTime>,
    /// Where each shard began and ended after that.
    pub bounds: Vec<ShardBounds>,
}

impl Watermarks {
    /// Those of a stream of this log.
    pub fn of(tell: TellWatermark, log: Arc<dyn Log>, stream: StreamId) -> Self {
        // In this order.
        Self(Some(Arc::new(move || Ok(Passed { watermark: tell(), bounds: log.bounds(stream)? }))))
    }

    /// Those that somebody makes up.
    #[cfg(test)]
    pub(crate) fn made_up(tell: impl Fn() -> Passed + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(move || Ok(tell()))))
    }

    /// As it is now; `None` if nobody can tell.
    pub fn now(&self) -> Result<Option<Passed>> {
        self.0.as_ref().map(|tell| tell()).transpose()
    }
}
