//! A table outside that jobs look rows up in.

use std::sync::Arc;

use arrow::array::RecordBatch;
use headwater_connectors::{Aside, Kept, Lookup};
use headwater_core::EventTime;
use headwater_ingest::Ingest;
use headwater_operators::LookupCache;
use headwater_run::{LookupFailure, LookupTable};

/// A table outside, for jobs, which have threads of their own.
pub(super) struct Asked {
    pub(super) lookup: Box<dyn Lookup>,
    pub(super) runtime: tokio::runtime::Handle,
}

impl LookupTable for Asked {
    fn cache(&self) -> LookupCache {
        let Kept { keys_max, ttl, keeps_missing } = self.lookup.kept();
        LookupCache { keys_max, ttl, keeps_missing }
    }

    fn fresh_from(&self) -> Option<EventTime> {
        self.lookup.fresh_from()
    }

    fn put_aside_in(&mut self, ingest: &Arc<Ingest>) {
        self.lookup.put_aside_in(Aside::new(Arc::clone(ingest)));
    }

    fn fetch(&mut self, keys: &RecordBatch) -> Result<RecordBatch, LookupFailure> {
        self.runtime
            .block_on(self.lookup.fetch(keys))
            .map_err(|error| LookupFailure { is_retryable: error.is_retryable(), reason: error.to_string() })
    }
}
