//! Writes files that are named by the rows in them.
//!
//! A file is written under a name that begins with a dot, synced, and renamed. So a name without a dot is a promise: all rows from
//! FIRST to NEXT are in it. When the sink is opened it goes on after the greatest NEXT of each shard.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headwater_core::world::{Disk, DiskFile, Open};
use headwater_core::{Sequence, ShardId};
use headwater_ingest::{Encoder, Format};

use super::config::Rolling;
use crate::connector::{Context, Cursor, Delivery, Sink};
use crate::error::{ConnectorError, Result};

/// How many encoded bytes are gathered before they are written.
const WRITE_AT: usize = 1 << 20;

/// Writes files that are named by the rows in them.
pub(super) struct RolledSink {
    context: Context,
    dir: PathBuf,
    format: Format,
    rolling: Rolling,
    parts: BTreeMap<ShardId, Part>,
}

/// A file that is being written.
struct Part {
    file: Arc<dyn DiskFile>,
    hidden: PathBuf,
    first: Sequence,
    next: Sequence,
    encoder: Encoder,
    buffer: Vec<u8>,
    written: u64,
}

impl RolledSink {
    pub(super) fn new(context: Context, dir: PathBuf, format: Format, rolling: Rolling) -> Result<Self> {
        Encoder::new(format, context.schema.clone(), &context.format_options)?;
        Ok(Self { context, dir, format, rolling, parts: BTreeMap::new() })
    }

    fn disk(&self) -> &dyn Disk {
        self.context.world.disk.as_ref()
    }

    fn failed(&self, error: io::Error) -> ConnectorError {
        ConnectorError::outage(format!("write to {}", self.dir.display()), error)
    }

    /// How the names of this sink's files begin.
    fn stem(&self) -> String {
        format!("{}-{}-", self.context.stream, self.context.stream_id)
    }

    /// Goes through the directory: removes what was never finished, and finds how far each shard is.
    fn look(&self) -> io::Result<BTreeMap<ShardId, Sequence>> {
        self.disk().create_dir(&self.dir)?;
        let stem = self.stem();
        let mut reached = BTreeMap::new();
        for entry in self.disk().list(&self.dir)? {
            if entry.name.strip_prefix('.').is_some_and(|name| name.starts_with(&stem)) {
                self.disk().remove(&self.dir.join(&entry.name))?;
            } else if let Some((shard, next)) = entry.name.strip_prefix(&stem).and_then(read_name) {
                let reached: &mut Sequence = reached.entry(shard).or_default();
                *reached = next.max(*reached);
            }
        }
        Ok(reached)
    }

    fn begin(&self, delivery: &Delivery) -> Result<Part> {
        let hidden =
            self.dir.join(format!(".{}{:05}-{:020}", self.stem(), delivery.shard.0, delivery.first.0));
        let opened = match self.disk().open(&hidden, Open::Create) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk().open(&hidden, Open::Write).and_then(|file| file.set_len(0).map(|()| file))
            }
            opened => opened,
        };
        Ok(Part {
            file: opened.map_err(|error| self.failed(error))?,
            hidden,
            first: delivery.first,
            next: delivery.first,
            encoder: Encoder::new(self.format, self.context.schema.clone(), &self.context.format_options)?,
            buffer: Vec::new(),
            written: 0,
        })
    }

    /// Ends a file and gives it its name.
    fn end(&self, shard: ShardId, mut part: Part) -> Result<()> {
        part.encoder.finish(&mut part.buffer)?;
        let (stem, extension) = (self.stem(), self.format.extension());
        let name = format!("{stem}{:05}-{:020}-{:020}.{extension}", shard.0, part.first.0, part.next.0);
        let ended = write_at(part.file.as_ref(), &part.buffer, part.written)
            .and_then(|()| part.file.sync())
            .and_then(|()| self.disk().rename(&part.hidden, &self.dir.join(name)));
        ended.map_err(|error| self.failed(error))
    }
}

/// Reads `SHARD-FIRST-NEXT.EXT`.
fn read_name(name: &str) -> Option<(ShardId, Sequence)> {
    let mut numbers = name.split_once('.')?.0.split('-');
    let (shard, _first, next) = (numbers.next()?, numbers.next()?, numbers.next()?);
    Some((ShardId(shard.parse().ok()?), Sequence(next.parse().ok()?)))
}

fn write_at(file: &dyn DiskFile, bytes: &[u8], at: u64) -> io::Result<()> {
    file.write_all_at(&mut [IoSlice::new(bytes)], at)
}

#[async_trait]
impl Sink for RolledSink {
    async fn open(&mut self, stored: Cursor) -> Result<Cursor> {
        let mut next = stored.next;
        for (shard, reached) in self.look().map_err(|error| self.failed(error))? {
            // Files may have been taken away since, so that the stored cursor is the newer one.
            let at = next.entry(shard).or_default();
            *at = reached.max(*at);
        }
        Ok(Cursor { next, note: String::new() })
    }

    async fn deliver(&mut self, delivery: Delivery) -> Result<()> {
        let mut part = match self.parts.remove(&delivery.shard) {
            Some(part) => part,
            None => self.begin(&delivery)?,
        };
        part.encoder.encode(&delivery.rows, &mut part.buffer)?;
        part.next = delivery.next();
        if part.buffer.len() >= WRITE_AT {
            write_at(part.file.as_ref(), &part.buffer, part.written).map_err(|error| self.failed(error))?;
            part.written += part.buffer.len() as u64;
            part.buffer.clear();
        }
        self.parts.insert(delivery.shard, part);
        Ok(())
    }

    async fn flush(&mut self) -> Result<String> {
        for (shard, part) in std::mem::take(&mut self.parts) {
            self.end(shard, part)?;
        }
        self.disk().sync_dir(&self.dir).map_err(|error| self.failed(error))?;
        Ok(String::new())
    }

    fn is_full(&self) -> bool {
        let size = |part: &Part| part.written + part.buffer.len() as u64 + part.encoder.buffered() as u64;
        self.parts.values().any(|part| size(part) >= self.rolling.bytes_max)
    }

    fn linger(&self) -> Duration {
        self.rolling.age_max
    }
}
