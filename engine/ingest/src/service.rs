//! The way in: one request, one atomic group in the log.
//!
//! Decode, admit, route, submit. Decoding is computation: call [`Ingest::append`] where computing is allowed
//! (a blocking pool), and wait for or await the [`PendingReport`] wherever.
//!
//! The promise of an idempotency key: among the requests that the log remembers (the last few of each producer,
//! and as many producers as [`headwater_log`] says), a request with a key that was used before on the same stream appends
//! nothing, and its report is that of the first with `duplicate` set. The body is expected to be the same; it is not compared.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use headwater_core::{Epoch, ShardId, World};
use headwater_log::Log;

use crate::error::Result;
use crate::format::{Decoded, Format, FormatOptions};
use crate::position::Mark;
use crate::report::{PendingReport, Report};

/// What is to be appended.
pub enum Payload {
    /// Bytes that hold any number of records.
    Bytes {
        /// The bytes.
        body: Bytes,
        /// What they are.
        format: Format,
        /// How exactly; `None` as the stream's properties say.
        options: Option<FormatOptions>,
    },
    /// Messages, each of them a record.
    Messages {
        /// The messages.
        messages: Vec<Bytes>,
        /// What they are.
        format: Format,
        /// How exactly; `None` as the stream's properties say.
        options: Option<FormatOptions>,
    },
    /// Rows whose columns are matched to the stream's by name, or cast, or NULL.
    Rows(RecordBatch),
    /// What a decoder of the caller's made, in the stream's schema.
    Decoded(Decoded),
}

/// The place of a source in the outside world, kept in the same group as the rows.
#[derive(Clone, Debug)]
pub struct SourceStep {
    /// The name of the source, unique in the log.
    pub source: String,
    /// Which incarnation of the source; a newer one fences off the older.
    pub epoch: Epoch,
    /// Which append of that incarnation; grows.
    pub step: u64,
    /// Where each partition that has moved is to be resumed.
    pub marks: Vec<Mark>,
}

/// A request to append to one stream.
pub struct AppendRequest {
    /// The stream.
    pub stream: String,
    /// What to append.
    pub payload: Payload,
    /// Where it came from, for the dead letters: `http`, or a connector's name.
    pub source: String,
    /// Under which key a repeat of this request is recognised.
    pub idempotency_key: Option<String>,
    /// The shard, where the stream is not partitioned by columns; `None`: one is chosen.
    pub shard: Option<ShardId>,
    /// Where the source stands after these rows.
    pub step: Option<SourceStep>,
}

impl AppendRequest {
    /// A request without key, shard or step.
    pub fn new(stream: impl Into<String>, source: impl Into<String>, payload: Payload) -> Self {
        Self {
            stream: stream.into(),
            payload,
            source: source.into(),
            idempotency_key: None,
            shard: None,
            step: None,
        }
    }
}

/// The way in. Cheap to share; one per log.
pub struct Ingest {
    world: World,
    log: Arc<dyn Log>,
}

impl Ingest {
    /// Opens the way into a log and creates the engine's streams that it needs.
    pub fn new(world: World, log: Arc<dyn Log>) -> Result<Self> {
        Ok(Self { world, log })
    }

    /// The log behind.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// The world that this lives in.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Decodes, admits and routes a request, and submits it as one group.
    pub fn append(&self, request: AppendRequest) -> Result<PendingReport> {
        let _ = request;
        unimplemented!()
    }

    /// Appends rows that are already decoded, and waits: `INSERT INTO`, generators.
    pub fn append_batch(&self, stream: &str, source: &str, rows: RecordBatch) -> Result<Report> {
        self.append(AppendRequest::new(stream, source, Payload::Rows(rows)))?.wait()
    }
}
