//! Which triggers a set has had, by its journal.
//!
//! A trigger comes between two steps. It has a row for each shard, with the number of the step before: `next` is the first row that
//! it judges, `watermark` the shard's own clock. It goes with a row of source -1.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch,
    TimestampNanosecondArray,
};
use arrow::datatypes::Int64Type;
use headwater_core::{EventTime, Sequence, ShardId};
use headwater_log::{ColumnBound, Log, ReadSpec, StreamInfo};

use super::clock::ShardClock;
use super::journal::{cut_of_row, member_of, schema, times};
use super::pipeline::ShardCut;
use crate::error::Result;

/// What a journal of a set says of one of its triggers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Membership {
    /// The number of the trigger's stream.
    pub id: i64,
    /// The step after which it came.
    pub step: u64,
    /// For each shard: the first row that it judges, and the shard's clock after that step.
    pub shards: Vec<(Sequence, ShardClock)>,
    /// The step after which it left, if it has.
    pub left: Option<u64>,
}

/// The rows that say that a trigger has come.
pub(crate) fn encode_coming(membership: &Membership) -> Result<RecordBatch> {
    let shards = &membership.shards;
    let row = |(nth, (next, clock)): (usize, &(Sequence, ShardClock))| {
        (0, nth as i32, ShardCut { next: *next, idle: clock.idle, ended: clock.ended }, clock.watermark)
    };
    member_rows(membership.id, membership.step, &shards.iter().enumerate().map(row).collect::<Vec<_>>())
}

/// The row that says that a trigger has gone.
pub(crate) fn encode_going(id: i64, step: u64) -> Result<RecordBatch> {
    let nothing = ShardCut { next: Sequence::ZERO, idle: false, ended: false };
    member_rows(id, step, &[(-1, -1, nothing, EventTime::MIN)])
}

fn member_rows(id: i64, step: u64, rows: &[(i32, i32, ShardCut, EventTime)]) -> Result<RecordBatch> {
    let count = rows.len();
    let clocks = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.3.0));
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(Int64Array::from_value(step as i64, count)),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2.next.0 as i64))),
            Arc::new(rows.iter().map(|row| Some(row.2.idle)).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|row| Some(row.2.ended)).collect::<BooleanArray>()),
            Arc::new(TimestampNanosecondArray::new_null(count).with_timezone("UTC")),
            Arc::new(clocks.with_timezone("UTC")),
            Arc::new(BinaryArray::new_null(count)),
            Arc::new(Int64Array::from_value(id, count)),
        ],
    )?)
}

/// All triggers that a set has had, in the order in which they came.
pub(crate) fn memberships(log: &dyn Log, info: &StreamInfo) -> Result<Vec<Membership>> {
    let mut all: Vec<Membership> = Vec::new();
    let Ok(column) = info.spec.schema.index_of("member") else { return Ok(all) };
    let bounds = log.bounds(info.id)?[0];
    let any: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN]));
    let mut reader = log.read(ReadSpec {
        until: Some(bounds.next),
        bounds: vec![ColumnBound { column, min: Some(any), max: None }],
        ..ReadSpec::all(info.id, ShardId(0))
    })?;
    while let Some(read) = reader.next()? {
        for row in 0..read.rows.num_rows() {
            let Some(id) = member_of(&read.rows, row) else { continue };
            let step = read.rows.column(0).as_primitive::<Int64Type>().value(row) as u64;
            let known = all.iter_mut().rfind(|membership| membership.id == id);
            let Some((shard, cut)) = cut_of_row(&read.rows, row) else {
                known.into_iter().for_each(|membership| membership.left = Some(step));
                continue;
            };
            let clock = ShardClock { watermark: times(&read.rows, row).1, idle: cut.idle, ended: cut.ended };
            match known {
                Some(membership) if membership.shards.len() == shard => {
                    membership.shards.push((cut.next, clock))
                }
                _ => all.push(Membership { id, step, shards: vec![(cut.next, clock)], left: None }),
            }
        }
    }
    Ok(all)
}
