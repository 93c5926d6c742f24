//! Appends to one file.
//!
//! ```text
//!  0 ..................... noted length ............ end of the file
//!   rows up to the cursor |  rows after the cursor  |
//!                         |  cut off when opened    |
//! ```
//!
//! Cutting is safe: the cursor is stored after the file was synced, so what lies beyond the noted length will be delivered again.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use headwater_core::world::{DiskFile, Open, create_durable_dir};
use headwater_ingest::{CsvHeader, Encoder, Format};

use crate::connector::{Context, Cursor, Delivery, Sink};
use crate::error::{ConnectorError, Result};

/// Appends to one file.
pub(super) struct SingleSink {
    context: Context,
    path: PathBuf,
    format: Format,
    open: Option<Growing>,
}

/// The file, open.
struct Growing {
    file: Arc<dyn DiskFile>,
    encoder: Encoder,
    len: u64,
}

impl SingleSink {
    pub(super) fn new(context: Context, path: PathBuf, format: Format) -> Result<Self> {
        let sink = Self { context, path, format, open: None };
        sink.encoder(true)?;
        Ok(sink)
    }

    /// Only the beginning of the file has a header.
    fn encoder(&self, is_beginning: bool) -> Result<Encoder> {
        let mut options = self.context.format_options.clone();
        if !is_beginning {
            options.csv.header = CsvHeader::Absent;
        }
        Ok(Encoder::new(self.format, self.context.schema.clone(), &options)?)
    }

    fn open_file(&self, len: u64) -> io::Result<Arc<dyn DiskFile>> {
        let disk = &self.context.world.disk;
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        create_durable_dir(&**disk, dir)?;
        let file = match disk.open(&self.path, Open::Create) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.open(&self.path, Open::Write)?
            }
            opened => opened?,
        };
        if file.len()? < len {
            let reason = format!("it is shorter than the {len} bytes that were written to it");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        file.set_len(len)?;
        file.sync()?;
        disk.sync_dir(dir)?;
        Ok(file)
    }

    fn failed(&self, error: io::Error) -> ConnectorError {
        let what = format!("write to {}", self.path.display());
        match error.kind() {
            io::ErrorKind::InvalidData => ConnectorError::refused(what, error),
            _ => ConnectorError::outage(what, error),
        }
    }

    fn growing(&mut self) -> Result<&mut Growing> {
        let path = &self.path;
        self.open
            .as_mut()
            .ok_or_else(|| ConnectorError::refused(format!("write to {}", path.display()), "it is not open"))
    }
}

#[async_trait]
impl Sink for SingleSink {
    async fn open(&mut self, stored: Cursor) -> Result<Cursor> {
        let len = stored.note.parse().unwrap_or(0);
        let file = self.open_file(len).map_err(|error| self.failed(error))?;
        self.open = Some(Growing { file, encoder: self.encoder(len == 0)?, len });
        Ok(stored)
    }

    async fn deliver(&mut self, delivery: Delivery) -> Result<()> {
        let growing = self.growing()?;
        let mut bytes = Vec::new();
        growing.encoder.encode(&delivery.rows, &mut bytes)?;
        let written = growing.file.write_all_at(&mut [IoSlice::new(&bytes)], growing.len);
        growing.len += bytes.len() as u64;
        written.map_err(|error| self.failed(error))
    }

    async fn flush(&mut self) -> Result<String> {
        let growing = self.growing()?;
        let (synced, len) = (growing.file.sync(), growing.len);
        synced.map_err(|error| self.failed(error))?;
        Ok(len.to_string())
    }
}
