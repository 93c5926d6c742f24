//! Rows to bytes, in two steps: what does not depend on order on the submitting thread, the rest on the committing one.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use headwater_core::{EventTime, SchemaId, Sequence, ShardId, StreamId};

use super::body::Body;
use super::header::{Header, Lengths, place};
use super::limits::Limits;
use super::merge::Arrivals;
use super::stats::{ColumnStats, Value, extremes};
use crate::api::{Compression, Producer};
use crate::error::{LogError, Result};
use crate::schema::{stored_type, widen};

/// Where rows come from and how they are to be written.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The stream.
    pub stream: StreamId,
    /// The shard.
    pub shard: ShardId,
    /// The schema of the rows.
    pub schema: SchemaId,
    /// Index of the timestamp column whose range the header carries.
    pub event_time: Option<usize>,
    /// How to compress the buffers.
    pub compression: Compression,
    /// Who appends.
    pub producer: Option<Producer>,
}

/// What is known only when a batch gets its place in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Placement {
    /// The first row's sequence number.
    pub first: Sequence,
    /// When the rows arrived; ignored by a batch that was prepared with [`Arrivals::Each`].
    pub arrival: EventTime,
    /// The CRC of the batch before in the same file, or of the file's own header.
    pub chain: u32,
    /// Whether the next batch in the file belongs to the same atomic group.
    pub group_continues: bool,
}

/// A batch without a place: body, checksums and statistics are done.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    header: Vec<u8>,
    body: Vec<Buffer>,
    total: u64,
    rows: u32,
    event_time: Option<(EventTime, EventTime)>,
}

impl Prepared {
    /// Rows.
    pub(crate) fn rows(&self) -> u32 {
        self.rows
    }

    /// Bytes of the whole batch, a multiple of 64.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.total
    }

    /// Smallest and largest event time, if any row has one.
    pub(crate) fn event_time(&self) -> Option<(EventTime, EventTime)> {
        self.event_time
    }

    /// Gives the batch its place: a few fields and the header's checksum.
    pub(crate) fn finish(self, at: Placement) -> Encoded {
        let Self { mut header, body, total, .. } = self;
        let crc = place(&mut header, at.first, at.arrival, at.chain, at.group_continues);
        Encoded { header, body, total, crc }
    }
}

/// A batch as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    header: Vec<u8>,
    body: Vec<Buffer>,
    total: u64,
    crc: u32,
}

impl Encoded {
    /// CRC-32C of the header: what the next batch in the file chains from.
    pub(crate) fn crc(&self) -> u32 {
        self.crc
    }

    /// The header's bytes, as [`super::Header::parse`] takes them.
    pub(crate) fn header(&self) -> &[u8] {
        &self.header
    }

    /// Bytes of the whole batch, a multiple of 64.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.total
    }

    /// The bytes in order, header first, padding included: for one gather write.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.header.as_slice()).chain(self.body.iter().map(|buffer| buffer.as_slice()))
    }
}

/// Prepares rows (at least one) for writing. Rows merged from several appends bring each row's arrival.
///
/// The types of the columns are those of the schema that `source` names; a dictionary is stored as its values.
pub(crate) fn prepare(
    source: &Source,
    rows: &RecordBatch,
    arrivals: &Arrivals,
    limits: &Limits,
) -> Result<Prepared> {
    let count = row_count(rows, limits)?;
    let mut body = Body::new(source.compression);
    let mut stats = Vec::with_capacity(rows.num_columns());
    for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        let column = widen(column, stored_type(field.data_type()))?;
        let column_stats = ColumnStats::of(&column);
        if !field.is_nullable() && column_stats.nulls > 0 {
            let reason =
                format!("column {} is not nullable and holds {} NULLs", field.name(), column_stats.nulls);
            return Err(ArrowError::InvalidArgumentError(reason).into());
        }
        body.push(&column)?;
        stats.push(column_stats);
    }
    let arrival = match arrivals {
        Arrivals::Same(time) => (*time, *time),
        Arrivals::Each(times) => {
            let times: ArrayRef = Arc::new(times.clone());
            body.push(&times)?;
            range(&extremes(&times), times.data_type()).unwrap_or((EventTime::MIN, EventTime::MAX))
        }
    };
    let event_time = source.event_time.and_then(|index| {
        let stats = stats.get(index)?;
        range(&(stats.min.clone(), stats.max.clone()), rows.column(index).data_type())
    });
    check("bytes of a batch before compression", body.decoded, limits.total_bytes)?;

    let mut header = Header {
        crc: 0,
        chain: 0,
        stream: source.stream,
        shard: source.shard,
        first: Sequence::ZERO,
        rows: count,
        schema: source.schema,
        compression: source.compression,
        group_continues: false,
        has_arrivals: matches!(arrivals, Arrivals::Each(_)),
        event_time,
        arrival,
        producer: source.producer,
        lengths: Lengths { header: 0, total: 0 },
        decoded_bytes: body.decoded,
        stats,
        nodes: body.nodes,
        buffers: body.buffers,
        variadic: body.variadic,
    };
    let bytes = header.write(body.len);
    check("bytes of a batch's header", bytes.len() as u64, u64::from(limits.header_bytes))?;
    check("bytes of a batch", header.lengths.total, limits.total_bytes)?;
    Ok(Prepared { header: bytes, body: body.bytes, total: header.lengths.total, rows: count, event_time })
}

fn row_count(rows: &RecordBatch, limits: &Limits) -> Result<u32> {
    check("rows of a batch", rows.num_rows() as u64, u64::from(limits.rows))?;
    if rows.num_rows() == 0 {
        return Err(
            ArrowError::InvalidArgumentError("a batch without rows cannot be written".to_owned()).into()
        );
    }
    Ok(rows.num_rows() as u32)
}

fn check(what: &'static str, given: u64, most: u64) -> Result<()> {
    if given > most { Err(LogError::TooLarge { what, given, most }) } else { Ok(()) }
}

/// The range of a timestamp column as event times.
fn range(extremes: &(Option<Value>, Option<Value>), data_type: &DataType) -> Option<(EventTime, EventTime)> {
    match (data_type, extremes) {
        (DataType::Timestamp(unit, _), (Some(Value::Int(min)), Some(Value::Int(max)))) => {
            Some((EventTime::from_unit(*min, *unit), EventTime::from_unit(*max, *unit)))
        }
        _ => None,
    }
}
