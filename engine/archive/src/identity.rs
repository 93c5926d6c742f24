//! Whose archive a place holds: written once, before anything else.

use headwater_core::{StreamName, World};
use headwater_log::StreamInfo;

use crate::error::{ArchiveError, Result};
use crate::layout;
use crate::ledger::Ledger;
use crate::manifest::{FORMAT, Manifest};
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

    /// The same for the stream that has the archive now.
    pub(crate) fn as_of(&self, manifest: &Manifest) -> Self {
        Self { created: manifest.owners.last().copied().unwrap_or(self.created), ..self.clone() }
    }

    /// Whether a file that says this was written for the archive, by whoever had it then.
    pub(crate) fn wrote(&self, manifest: &Manifest, stream: &str, created: i64) -> bool {
        self.stream == stream && (self.created == created || manifest.owners.contains(&created))
    }

    /// How it differs from that of another stream, apart from which stream of the name it is.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let by = |column: &Option<String>| column.clone().unwrap_or_else(|| "no column".to_owned());
        Some(if self.stream != other.stream {
            format!("it is that of a stream {}, not {}", self.stream, other.stream)
        } else if self.shards != other.shards {
            format!("it has {} shards, the stream {}", self.shards, other.shards)
        } else if self.event_time != other.event_time {
            format!("it has event time by {}, the stream by {}", by(&self.event_time), by(&other.event_time))
        } else if self.partition != other.partition {
            format!("it is partitioned by {:?}, not by {:?}", self.partition, other.partition).to_lowercase()
        } else {
            return None;
        })
    }

    /// Takes a place for this archive, or finds that it is this one's already. Answers what its manifest says.
    pub(crate) async fn claim(&self, world: &World, place: &Place) -> Result<Ledger> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        // An answer that is lost, or another who claims the same, comes to the same thing: what is there is read.
        let put = place.put_new(layout::IDENTITY, bytes.into()).await;
        let found = match (put, Self::read(place).await) {
            (Err(error), Err(_)) => return Err(error),
            (_, found) => found?,
        };
        let ledger = Ledger::open(world, place.clone()).await?;
        let found = found.as_of(ledger.manifest());
        if found == *self {
            return Ok(ledger);
        }
        let reason = if (&found.stream, found.created, found.shards)
            == (&self.stream, self.created, self.shards)
        {
            format!(
                "the archive there is partitioned by {:?}; give the same, or another place",
                found.partition
            )
            .to_lowercase()
        } else if found.difference(self).is_none() {
            format!(
                "the archive of another stream {} is there, created {}; if that one is gone, this one can go on behind its rows \
                 before it has rows of its own: CREATE ARCHIVE ... WITH (attach = 'true'); or put those rows back with \
                 `headwater archive restore`; or take another place",
                found.stream,
                headwater_core::EventTime(found.created)
            )
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
