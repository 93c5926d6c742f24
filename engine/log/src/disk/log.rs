//! The log on disk.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use headwater_core::{ProducerId, Sequence, ShardId, StreamId, World};

use super::options::DiskLogOptions;
use crate::api::*;
use crate::error::Result;

/// A log on disk.
pub struct DiskLog {}

impl DiskLog {
    /// Opens or creates the log in a directory.
    pub fn open(world: World, dir: &Path, options: DiskLogOptions) -> Result<Arc<DiskLog>> {
        let _ = (world, dir, options);
        todo!()
    }
}

impl Log for DiskLog {
    fn create_stream(&self, spec: StreamSpec) -> Result<StreamInfo> {
        todo!()
    }
    fn drop_stream(&self, stream: StreamId) -> Result<()> {
        todo!()
    }
    fn evolve(&self, stream: StreamId, schema: SchemaRef) -> Result<StreamInfo> {
        todo!()
    }
    fn set_retention(&self, stream: StreamId, retention: Retention) -> Result<()> {
        todo!()
    }
    fn streams(&self) -> Vec<Arc<StreamInfo>> {
        todo!()
    }
    fn stream(&self, id: StreamId) -> Result<Arc<StreamInfo>> {
        todo!()
    }
    fn stream_named(&self, name: &str) -> Result<Arc<StreamInfo>> {
        todo!()
    }
    fn bounds(&self, stream: StreamId) -> Result<Vec<ShardBounds>> {
        todo!()
    }
    fn submit(&self, group: Vec<Append>) -> Box<dyn Pending> {
        todo!()
    }
    fn set_fence(&self, stream: StreamId, shard: ShardId, token: Option<u64>) -> Result<()> {
        todo!()
    }
    fn last_of(
        &self,
        stream: StreamId,
        shard: ShardId,
        producer: ProducerId,
    ) -> Result<Option<(Producer, Appended)>> {
        todo!()
    }
    fn read(&self, spec: ReadSpec) -> Result<Box<dyn Reader>> {
        todo!()
    }
    fn trim(&self, stream: StreamId, shard: ShardId, before: Sequence) -> Result<()> {
        todo!()
    }
    fn segments(&self, stream: StreamId) -> Result<Vec<SegmentInfo>> {
        todo!()
    }
    fn version(&self) -> u64 {
        todo!()
    }
    fn on_commit(&self, wake: Arc<dyn Fn() + Send + Sync>) -> CommitGuard {
        todo!()
    }
    fn metrics(&self) -> LogMetrics {
        todo!()
    }
    fn close(&self) -> Result<()> {
        todo!()
    }
}
