//! From appends to a group that only lacks its place: all that does not depend on order is done here, on the thread of
//! whoever submits. Encoding, checksums and statistics of a thousand producers run side by side.

use arrow::array::RecordBatch;
use headwater_core::EventTime;
use headwater_core::size::bytes_of_rows;
use parking_lot::RwLock;

use crate::admit::admit;
use crate::api::{Append, Durability};
use crate::batch::{Arrivals, Limits, Source, prepare};
use crate::error::{LogError, Result};
use crate::pending::Promise;
use crate::queue::{Group, Part, Rows};
use crate::sequencer::Ask;
use crate::streams::Stream;
use crate::view::View;

/// An append that was found to fit its stream.
struct Admitted {
    rows: RecordBatch,
    durability: Durability,
    source: Source,
}

/// Checks and encodes appends. What one batch cannot take within `limits` becomes several.
pub(crate) fn make_group(
    view: &RwLock<View>,
    appends: &[Append],
    limits: &Limits,
    promise: Promise,
) -> Result<Group> {
    let admitted = {
        let view = view.read();
        let one = |append: &Append| admit_one(view.streams.get(append.stream)?, append);
        appends.iter().map(one).collect::<Result<Vec<_>>>()?
    };
    let mut parts = Vec::with_capacity(admitted.len());
    let mut needs_sync = false;
    for (ask, one) in admitted.iter().enumerate() {
        needs_sync |= one.durability == Durability::Disk;
        match one.durability {
            _ if one.rows.num_rows() == 0 => {}
            Durability::Memory => {
                let rows = Rows::Memory { rows: one.rows.clone(), event_time: one.source.event_time };
                parts.push(Part { ask, skip: 0, rows });
            }
            Durability::Disk | Durability::Process => encode(ask, one, &one.rows, 0, limits, &mut parts)?,
        }
    }
    let bytes = parts.iter().map(Part::bytes).sum();
    let asks = appends.iter().map(Ask::from).collect();
    Ok(Group { asks, parts, bytes, needs_sync, promise })
}

fn admit_one(stream: &Stream, append: &Append) -> Result<Admitted> {
    let spec = &stream.info.spec;
    Ok(Admitted {
        rows: admit(stream, append)?,
        durability: spec.durability,
        source: Source {
            stream: append.stream,
            shard: append.shard,
            schema: stream.info.schema_id,
            event_time: stream.event_time,
            compression: spec.compression,
            producer: append.producer,
        },
    })
}

/// Encodes rows as one batch, or as two halves if they are too many for one.
fn encode(
    ask: usize,
    from: &Admitted,
    rows: &RecordBatch,
    skip: u64,
    limits: &Limits,
    parts: &mut Vec<Part>,
) -> Result<()> {
    // When a batch gets its arrival it gets its place; until then it is any time.
    let arrivals = Arrivals::Same(EventTime(0));
    match prepare(&from.source, rows, &arrivals, limits) {
        Ok(prepared) => {
            parts.push(Part { ask, skip, rows: Rows::File(prepared) });
            Ok(())
        }
        Err(LogError::TooLarge { .. }) if rows.num_rows() > 1 => {
            let half = rows.num_rows() / 2;
            encode(ask, from, &rows.slice(0, half), skip, limits, parts)?;
            let rest = rows.slice(half, rows.num_rows() - half);
            encode(ask, from, &rest, skip + half as u64, limits, parts)
        }
        Err(error) => Err(error),
    }
}

impl Part {
    fn bytes(&self) -> u64 {
        match &self.rows {
            Rows::File(prepared) => prepared.total_bytes(),
            Rows::Memory { rows, .. } => bytes_of_rows(rows) as u64,
        }
    }
}
