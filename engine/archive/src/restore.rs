//! Puts an archive's rows back into a stream of a log.
//!
//! The rows of a shard get the sequence numbers that they had, if the archive has them from the first on. Their time of arrival is
//! that of the restore. A restore that was broken off is gone on with by doing it again.

use std::sync::Arc;

use headwater_core::{Sequence, ShardId, World};
use headwater_log::{Append, Log};

use crate::error::{ArchiveError, Result};
use crate::gather::fit;
use crate::identity::Identity;
use crate::ledger::Ledger;
use crate::place::Place;
use crate::reader::read_whole;

/// So many rows are appended at once.
const APPEND_ROWS: usize = 65_536;

/// Appends all rows of an archive to a stream that has none, or as many as a restore before this one has put there. Answers with how
/// many rows this one has appended.
pub async fn restore(world: &World, place: &Place, log: &Arc<dyn Log>, stream: &str) -> Result<u64> {
    let whose = Identity::read(place).await?;
    let ledger = Ledger::open(world, place.clone()).await?;
    let info = log.stream_named(stream)?;
    let apart = |shard, reason| ArchiveError::Apart { stream: stream.to_owned(), shard, reason };
    if info.spec.shards != whose.shards {
        let reason = format!(
            "it has {} shards, the archive {}; create it with as many",
            info.spec.shards, whose.shards
        );
        return Err(apart(0, reason));
    }
    let bounds = log.bounds(info.id)?;
    let mut restored = 0;
    for (shard, bounds) in (0..).zip(bounds) {
        let Some((first, next)) = ledger.manifest().bounds(shard) else { continue };
        if bounds.first != Sequence::ZERO || bounds.next.0 > next - first {
            let reason = format!(
                "it holds rows {} to {} that are not a part of the archive's",
                bounds.first, bounds.next
            );
            return Err(apart(shard, reason));
        }
        let begun = bounds.next.0;
        let mut position = begun;
        for range in ledger.manifest().ranges(shard).iter().filter(|range| range.span.next - first > begun) {
            let rows = read_whole(place, std::slice::from_ref(range)).await?;
            let skip = (position + first - range.span.first) as usize;
            for from in (skip..rows.num_rows()).step_by(APPEND_ROWS) {
                let part = rows.slice(from, APPEND_ROWS.min(rows.num_rows() - from));
                let append = Append {
                    expect_next: Some(Sequence(position)),
                    ..Append::new(info.id, ShardId(shard), fit(&info.spec.schema, part)?)
                };
                let appended = log.append(vec![append])?;
                position = appended.last().map_or(position, |appended| appended.next.0);
            }
            restored += rows.num_rows() as u64 - skip as u64;
        }
    }
    Ok(restored)
}
