//! Whose archive a place holds: written once, before anything else.

use headwater_core::StreamName;
use headwater_log::StreamInfo;

use crate::error::{ArchiveError, Result};
use crate::layout;
use crate::manifest::FORMAT;
use crate::place::Place;
use crate::settings::Partition;

/// Whose archive it is. Sequence numbers mean something only within one stream, from its creation until it is dropped.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    format: u32,
    /// The stream's name.
    pub stream: String,
    /// When the stream was created, nanoseconds since the epoch.
    pub created: i64,
    /// How many shards it has.
    pub shards: u32,
    /// The column with event time.
    pub event_time: Option<String>,
    /// How files are laid into directories.
    pub partition: Partition,
}

impl Identity {
    /// What an archive of a stream says of itself.
    pub fn of(info: &StreamInfo, partition: Partition) -> Self {
        Self {
            format: FORMAT,
            stream: info.spec.name.to_string(),
            created: info.created.0,
            shards: info.spec.shards,
            event_time: info.spec.event_time.clone(),
            partition,
        }
    }

    /// What the archive at a place says of itself.
    pub async fn read(place: &Place) -> Result<Self> {
        let Some(bytes) = place.get(layout::IDENTITY).await? else {
            let reason = format!("there is no archive: {} is missing", layout::IDENTITY);
            return Err(ArchiveError::Foreign { place: place.shown().to_owned(), reason });
        };
        let damaged = |reason: String| ArchiveError::damaged(place.show(layout::IDENTITY), reason);
        let found: Self = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if found.format != FORMAT {
            return Err(damaged(format!(
                "format {} is not known; a newer Headwater may read it",
                found.format
            )));
        }
        StreamName::new(&found.stream).map_err(|error| damaged(error.to_string()))?;
        Ok(found)
    }

    /// Takes a place for this archive, or finds that it is this one's already.
    pub(crate) async fn claim(&self, place: &Place) -> Result<()> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        // An answer that is lost, or another who claims the same, comes to the same thing: what is there is read.
        let put = place.put_new(layout::IDENTITY, bytes.into()).await;
        let found = match (put, Self::read(place).await) {
            (Err(error), Err(_)) => return Err(error),
            (_, found) => found?,
        };
        if found == *self {
            return Ok(());
        }
        let reason = if (&found.stream, found.created, found.shards)
            == (&self.stream, self.created, self.shards)
        {
            format!(
                "the archive there is partitioned by {:?}; give the same, or another place",
                found.partition
            )
            .to_lowercase()
        } else {
            format!(
                "the archive of another stream is there ({}, created {}); take another place, or restore that one with \
                 `headwater archive restore`",
                found.stream,
                headwater_core::EventTime(found.created)
            )
        };
        Err(ArchiveError::Foreign { place: place.shown().to_owned(), reason })
    }
}
