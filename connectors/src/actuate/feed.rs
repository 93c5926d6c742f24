//! Reads what a group has decided.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use headwater_core::{EventTime, Sequence, ShardId};
use headwater_log::{From as ReadFrom, Log, ReadBatch, ReadSpec, Reader, StreamInfo};

use super::actuator::Activity;
use super::settings::ActuatorDef;
use crate::blocking::next_batch;
use crate::error::{ConnectorError, Result};

/// An activity as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decided {
    pub(super) activity: Activity,
    /// Its row in the stream of activities; activity 0 has none.
    pub(super) sequence: Option<u64>,
    /// When the row came into the log.
    pub(super) arrived: EventTime,
}

/// The activities of one group.
pub(super) struct Feed {
    def: Arc<ActuatorDef>,
    reader: Option<Box<dyn Reader>>,
    /// The row after the last that was read.
    pub(super) next: u64,
}

impl Feed {
    pub(super) fn open(log: &dyn Log, info: &StreamInfo, def: Arc<ActuatorDef>, from: u64) -> Result<Self> {
        let spec =
            ReadSpec { from: ReadFrom::Sequence(Sequence(from)), ..ReadSpec::all(info.id, ShardId(0)) };
        Ok(Self { def, reader: Some(log.read(spec)?), next: from })
    }

    /// Whether [`Feed::read`] would read anything: a commit to another stream is none of its business.
    pub(super) fn has_more(&self, log: &dyn Log, info: &StreamInfo) -> Result<bool> {
        Ok(log.bounds(info.id)?[0].next.0 > self.next)
    }

    /// All that has come since, in order. Must not be dropped midway: what it has read would be lost.
    pub(super) async fn read(&mut self) -> Result<Vec<Decided>> {
        let mut all = Vec::new();
        loop {
            let batch = next_batch(&mut self.reader).await?;
            let Some(ReadBatch { first, rows, arrival, .. }) = batch else { return Ok(all) };
            self.next = first.0 + rows.num_rows() as u64;
            all.extend(self.activities(first.0, &rows, arrival.start)?);
        }
    }

    fn activities(&self, first: u64, rows: &RecordBatch, arrived: EventTime) -> Result<Vec<Decided>> {
        let missing = |name: &str| ConnectorError::refused("read activities", format!("no column '{name}'"));
        let text = |name: &str| {
            let column = rows.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            column.ok_or_else(|| missing(name))
        };
        let number = |name: &str| {
            let column = rows.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
            column.ok_or_else(|| missing(name))
        };
        let times = rows.column_by_name("at").and_then(|at| at.as_primitive_opt::<TimestampNanosecondType>());
        let times = times.ok_or_else(|| missing("at"))?;
        let (groups, by, reasons) = (text("group")?, text("by")?, text("reason")?);
        let (before, after, numbers) = (number("before")?, number("after")?, number("activity")?);
        let (min, max) = (number("min")?, number("max")?);
        let size = |number: i64| u64::try_from(number).unwrap_or(0);
        let own =
            (0..rows.num_rows()).filter(|row| groups.value(*row) == self.def.group && numbers.is_valid(*row));
        let decided = own.map(|row| Decided {
            activity: Activity {
                group: self.def.group.clone(),
                id: id_of(&self.def, size(numbers.value(row))),
                number: size(numbers.value(row)),
                at: EventTime(times.value(row)),
                by: by.value(row).to_owned(),
                before: size(before.value(row)),
                size: size(after.value(row)),
                bounds: (size(min.value(row)), size(max.value(row))),
                reason: reasons.value(row).to_owned(),
            },
            sequence: Some(first + row as u64),
            arrived,
        });
        Ok(decided.collect())
    }
}

/// The name of an activity.
pub(super) fn id_of(def: &ActuatorDef, number: u64) -> String {
    format!("{}/{}/{number}", def.group, def.identity)
}
