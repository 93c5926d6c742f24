//! What differs between the places in which a log is kept.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use headwater_core::{Sequence, ShardId, StreamId};
use parking_lot::Mutex;

use super::commit::Commit;
use super::front::Front;
use crate::api::{LostRows, ReadSpec, Reader, SegmentInfo, StreamSpec};
use crate::batch::Limits;
use crate::disk::Damage;
use crate::error::{LogError, Result};
use crate::queue::Group;
use crate::sequencer::Sequencer;
use crate::streams::{Change, Streams};
use crate::view::View;

/// Where a log's rows and its catalog are kept. It is the log's [`Front`] and more.
pub(crate) trait Store: Deref<Target = Front> + Send + Sync + 'static {
    /// What only the committer, and changes of streams, may touch.
    type Writer: AsMut<Sequencer> + Send;
    /// A batch that has its place.
    type Placed;
    /// Where the batches of a commit are.
    type Written;

    /// The most that one batch takes; a larger append becomes several batches of one group.
    const LIMITS: Limits;

    /// What only the committer, and changes of streams, may touch.
    fn writer(&self) -> &Mutex<Self::Writer>;

    /// Changes the set of streams: proposes, keeps, and applies to what the committer and the readers have.
    fn change<T>(
        &self,
        propose: impl FnOnce(&Streams) -> Result<Option<(Change, Option<SchemaRef>)>>,
        apply: impl FnOnce(&mut Self::Writer, &mut View) -> Result<T>,
    ) -> Result<T>;

    /// Makes room for the rows of a stream that is about to be.
    fn make_room_for(&self, _stream: StreamId, _spec: &StreamSpec) -> Result<()> {
        Ok(())
    }

    /// Drops a stream, and its rows once nobody can find them any more.
    fn drop_stream(&self, stream: StreamId) -> Result<()>;

    /// Gives groups their places in `commit`, and writes what they hold.
    fn write(
        &self,
        writer: &mut Self::Writer,
        groups: Vec<Group>,
        commit: &mut Commit<Self::Placed>,
    ) -> Result<Self::Written>;

    /// Shows batches that are kept to readers.
    fn publish(&self, view: &mut View, batches: Vec<Self::Placed>, written: Self::Written);

    /// Reads rows that are not in memory.
    fn reader(self: &Arc<Self>, spec: ReadSpec) -> Result<Box<dyn Reader>>;

    /// Lets a shard that has had no rows begin at a later one than 0, if this store can.
    fn begin_at(&self, stream: StreamId, _shard: ShardId, _first: Sequence) -> Result<()> {
        let stream = self.view.read().streams.get(stream)?.info.spec.name.clone();
        let reason = "rows in topics are numbered from 0, so that its shards cannot begin later".to_owned();
        Err(LogError::BadSpec { stream, reason })
    }

    /// Removes the oldest rows of a shard as far as may be.
    fn trim(&self, stream: StreamId, shard: ShardId, before: Sequence) -> Result<()>;

    /// What is shown of a stream's rows.
    fn segments(&self, stream: StreamId) -> Result<Vec<SegmentInfo>>;

    /// The rows of a stream that are lost.
    fn lost(&self, _stream: StreamId) -> Vec<LostRows> {
        Vec::new()
    }

    /// The damage that was found.
    fn damage(&self) -> Vec<Damage> {
        Vec::new()
    }

    /// What is to be done when all is written and nothing more comes.
    fn finish(&self) -> Result<()>;

    /// Lets nothing outside be waited for for longer than this.
    fn limit_waits(&self, _patience: Duration) {}
}
