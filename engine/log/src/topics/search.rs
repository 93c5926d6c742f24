//! Finds a batch in a partition by what it says: a few messages are looked at, as in a sorted list, and then a stretch is read.

use std::ops::Range;

use super::batch::Batch;
use crate::error::Result;

/// A stretch of so many offsets is read rather than halved again.
const STRETCH: i64 = 64;

/// Reads batches in a range of offsets: the first of them, or none if there are none.
pub(crate) type Read<'a> = &'a dyn Fn(Range<i64>) -> Result<Vec<Batch>>;

/// The first batch in a range that meets a condition, which all batches after it meet, too.
pub(crate) fn first_where(
    read: Read<'_>,
    range: Range<i64>,
    meets: impl Fn(&Batch) -> Result<bool>,
) -> Result<Option<Batch>> {
    let Range { start: mut low, end: mut high } = range;
    let mut found = None;
    while high - low > STRETCH {
        let middle = low + (high - low) / 2;
        match read(middle..high)?.into_iter().next() {
            Some(batch) if !meets(&batch)? => low = batch.offset + 1,
            // No message lies between the middle and this one.
            Some(batch) => {
                high = middle;
                found = Some(batch);
            }
            None => high = middle,
        }
    }
    while low < high {
        let batches = read(low..high)?;
        let Some(last) = batches.last() else { break };
        low = last.offset + 1;
        for batch in batches {
            if meets(&batch)? {
                return Ok(Some(batch));
            }
        }
    }
    Ok(found)
}

/// The last batch in a range.
pub(crate) fn last(read: Read<'_>, range: Range<i64>) -> Result<Option<Batch>> {
    let mut back = 2;
    loop {
        let start = (range.end - back).max(range.start);
        let (mut at, mut last) = (start, None);
        loop {
            let batches = read(at..range.end)?;
            let Some(batch) = batches.into_iter().next_back() else { break };
            at = batch.offset + 1;
            last = Some(batch);
        }
        if last.is_some() || start == range.start {
            return Ok(last);
        }
        // What lies there are marks of transactions, or what was aborted.
        back *= 8;
    }
}
