//! Reads files in the order of their names.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use headwater_core::causes;
use headwater_ingest::{Format, Payload};
use tokio::runtime::Handle;

use super::input::{Input, Place};
use super::listing::{Found, Place as Where};
use super::unpack::packed;
use crate::connector::{Context, Mark, Pulled, Source};
use crate::error::{ConnectorError, Result};

/// What the mark of a file says that was read to its end.
const DONE: &str = "done";

/// Reads files in the order of their names.
pub(super) struct FileSource {
    path: Where,
    monitor: Option<Duration>,
    /// `None` while it is on another thread.
    reading: Option<Reading>,
}

/// What has been read, and what is being read.
struct Reading {
    context: Context,
    marks: BTreeMap<String, String>,
    /// Files that are still to be read, the next one last.
    waiting: Vec<Found>,
    current: Option<(Found, Input)>,
}

impl FileSource {
    pub(super) fn new(context: Context, path: Where, monitor: Option<Duration>) -> Result<Self> {
        // A schema that a format cannot carry is told at once, not when the first file is there.
        if let Some(format) = context.format.or_else(|| {
            let path = path.to_string();
            Format::from_path(packed(&path).unwrap_or(&path))
        }) {
            headwater_ingest::Decoder::new(format, context.schema.clone(), &context.format_options)?;
        }
        let reading = Reading { context, marks: BTreeMap::new(), waiting: Vec::new(), current: None };
        Ok(Self { path, monitor, reading: Some(reading) })
    }
}

impl FileSource {
    /// Finds the files that are not done, on a thread where that may wait.
    async fn look(&mut self) -> Result<()> {
        let mut reading = self.reading.take().ok_or_else(lost)?;
        let (path, runtime) = (self.path.clone(), Handle::current());
        let look = tokio::task::spawn_blocking(move || {
            let looked = reading.look(&path, &runtime);
            (reading, looked)
        });
        let (reading, looked) = look.await.map_err(|error| ConnectorError::outage("list files", error))?;
        self.reading = Some(reading);
        looked
    }
}

impl Reading {
    /// Finds the files that are not done.
    fn look(&mut self, path: &Where, runtime: &Handle) -> Result<()> {
        let found = path.list(self.context.world.disk.as_ref(), runtime)?;
        let is_open = |found: &Found| self.marks.get(&found.name).is_none_or(|mark| mark != DONE);
        self.waiting = found.into_iter().rev().filter(is_open).collect();
        Ok(())
    }

    /// The next rows of the current file, or of the next one; `None` when all are done.
    fn next(&mut self, path: &Where, runtime: &Handle) -> Result<Option<Pulled>> {
        loop {
            if let Some((found, input)) = &mut self.current {
                let name = found.name.clone();
                let (payload, position) = match input.next()? {
                    Some((decoded, place)) => (decoded, place.to_string()),
                    None => {
                        self.current = None;
                        (headwater_ingest::Decoded::empty(&self.context.schema), DONE.to_owned())
                    }
                };
                self.marks.insert(name.clone(), position.clone());
                let marks = vec![Mark { partition: name, position }];
                return Ok(Some(Pulled::Records { payload: Payload::Decoded(payload), marks }));
            }
            let Some(found) = self.waiting.pop() else { return Ok(None) };
            let place =
                self.marks.get(&found.name).and_then(|mark| Place::read(mark)).unwrap_or(Place::START);
            let context = &self.context;
            let shown = path.show(&found);
            let file = path.open(&found, context.world.disk.as_ref(), runtime);
            let file =
                file.map_err(|error| ConnectorError::outage(format!("open {shown}"), causes(&error)))?;
            let input =
                Input::open(file, shown, context.format, &context.format_options, &context.schema, place)?;
            self.current = Some((found, input));
        }
    }
}

#[async_trait]
impl Source for FileSource {
    async fn open(&mut self, marks: BTreeMap<String, String>) -> Result<()> {
        self.reading.as_mut().ok_or_else(lost)?.marks = marks;
        self.look().await
    }

    async fn pull(&mut self) -> Result<Pulled> {
        let mut reading = self.reading.take().ok_or_else(lost)?;
        // Reading and decoding: computation and waiting for the disk, so not on a thread of the runtime.
        let (path, runtime) = (self.path.clone(), Handle::current());
        let read = tokio::task::spawn_blocking(move || {
            let next = reading.next(&path, &runtime);
            (reading, next)
        });
        // The readers of Arrow and Parquet panic at some kinds of damage: trying again does not help.
        let (reading, next) = read.await.map_err(|error| match error.is_panic() {
            true => ConnectorError::refused("read files", "a file is damaged"),
            false => ConnectorError::outage("read files", error),
        })?;
        self.reading = Some(reading);
        if let Some(pulled) = next? {
            return Ok(pulled);
        }
        let Some(interval) = self.monitor else { return Ok(Pulled::End) };
        self.look().await?;
        if self.reading.as_ref().is_none_or(|reading| reading.waiting.is_empty()) {
            tokio::time::sleep(interval).await;
        }
        Ok(Pulled::Nothing)
    }

    fn is_bounded(&self) -> bool {
        self.monitor.is_none()
    }
}

/// A pull was dropped while it was reading: this source is of no more use.
fn lost() -> ConnectorError {
    ConnectorError::outage("read files", "an earlier read was given up")
}
