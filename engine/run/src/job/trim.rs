//! Which lines of a journal may go.
//!
//! ```text
//!   checkpoints                        oldest kept          newest
//!   journal     | 1 2 … | 41* 42 … 57 | 58* 59 … |  … 73 …             * whole lines
//!               '- sealed files -------'
//!               '-- may go --'
//! ```
//!
//! A job goes on from a checkpoint, so all lines behind the oldest one that is kept stay. A replay takes the lines from the first one on:
//! so one may go only when a replay that needs it would come to rows that are gone, or when the journal's own retention says so. A step
//! is told by what differs from the one before, so that what stays begins with a whole line. Files of the log go as a whole, so lines are
//! looked at where files end, and nothing is read of a journal that lies within one file.
//!
//! The journal of a set of triggers also has who its triggers are ([`super::membership`]). Before a line goes, these are written down again
//! behind the newest.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use headwater_core::{EventTime, Sequence, ShardId};
use headwater_log::{From, Log, ReadSpec, StreamInfo};

use super::driver::Driver;
use super::eras::Eras;
use super::journal::{cut_of_row, is_whole, member_of};
use super::pipeline::ShardCut;
use crate::error::Result;

/// A whole line is looked for in so many rows of steps behind a file's end; journals of earlier versions have none.
const ROWS_MAX: u64 = 65_536;

impl Driver {
    /// Lets lines of the journal go that nobody needs, now that the oldest checkpoint is that of step `oldest`.
    pub(super) fn trim_journal(&self, oldest: u64) -> Result<()> {
        let first = |stream| -> Result<Vec<Sequence>> {
            Ok(self.log.bounds(stream)?.iter().map(|bounds| bounds.first).collect())
        };
        let first = self.pipeline.streams().into_iter().map(first).collect::<Result<Vec<_>>>()?;
        let oldest_line = self.plan.settings.keep_journal.map(|keep| self.world.clock.now().minus(keep));
        let members = self.members();
        let needed = members.as_ref().map(|members| members.needed_from(&*self.log)).transpose()?.flatten();
        let checkpoint = needed.map_or(oldest, |needed| needed.min(oldest));
        let bound = Bound { checkpoint, first: &first, oldest: oldest_line };
        let journal = self.plan.journal.own();
        let Some(begins) = beginning(&*self.log, journal, &self.plan.eras, &bound)? else { return Ok(()) };
        if let Some(members) = members
            && !members.carry_over(&*self.log, begins, self.step)?
        {
            return Ok(());
        }
        Ok(self.log.trim(journal.id, ShardId(0), begins)?)
    }
}

/// What decides whether a line may go.
struct Bound<'a> {
    /// The step behind which every line is needed: that of the oldest checkpoint which is kept.
    checkpoint: u64,
    /// The first rows that are kept of the sources' shards.
    first: &'a [Vec<Sequence>],
    /// What arrived before this may go though its rows are there.
    oldest: Option<EventTime>,
}

/// A line that names all shards.
struct Whole {
    step: u64,
    at: Sequence,
    /// When it had arrived, at the latest.
    arrived: EventTime,
    cut: Vec<Vec<ShardCut>>,
}

impl Bound<'_> {
    fn lets_go_before(&self, line: &Whole, eras: &Eras) -> bool {
        let is_old = self.oldest.is_some_and(|oldest| line.arrived < oldest);
        line.step <= self.checkpoint && (is_old || self.has_lost_rows_behind(line, eras))
    }

    /// Whether rows are gone that were taken after this line: a replay from it or from an earlier one would come to them.
    fn has_lost_rows_behind(&self, line: &Whole, eras: &Eras) -> bool {
        let Some(cut) = eras.translate(line.step, &line.cut) else { return false };
        let mut shards = cut.iter().zip(self.first).flat_map(|(cuts, first)| cuts.iter().zip(first));
        shards.any(|(cut, first)| cut.next < *first)
    }
}

/// The line before which all may go; `None`: they stay.
fn beginning(log: &dyn Log, info: &StreamInfo, eras: &Eras, bound: &Bound<'_>) -> Result<Option<Sequence>> {
    let segments = log.segments(info.id)?;
    let mut ends: Vec<Sequence> =
        segments.iter().filter(|segment| segment.sealed).map(|segment| segment.rows.end).collect();
    ends.sort_unstable();
    let mut begins = None;
    for end in ends {
        match whole_line(log, info, end)? {
            Some(line) if bound.lets_go_before(&line, eras) => begins = Some(line.at),
            _ => break,
        }
    }
    Ok(begins)
}

/// The first whole line from a place on.
fn whole_line(log: &dyn Log, info: &StreamInfo, from: Sequence) -> Result<Option<Whole>> {
    let until = log.bounds(info.id)?[0].next;
    let mut found: Option<Whole> = None;
    if from >= until {
        return Ok(found);
    }
    let mut left = ROWS_MAX;
    let spec =
        ReadSpec { from: From::Sequence(from), until: Some(until), ..ReadSpec::all(info.id, ShardId(0)) };
    let mut reader = log.read(spec)?;
    while let Some(read) = reader.next()? {
        for row in (0..read.rows.num_rows()).filter(|row| member_of(&read.rows, *row).is_none()) {
            let step = read.rows.column(0).as_primitive::<Int64Type>().value(row).cast_unsigned();
            match &mut found {
                None if is_whole(&read.rows, row) => {
                    let at = Sequence(read.first.0 + row as u64);
                    found = Some(Whole { step, at, arrived: read.arrival.end, cut: Vec::new() });
                }
                None if left == 0 => return Ok(None),
                None => left -= 1,
                Some(line) if line.step == step => line.add(&read.rows, row),
                Some(_) => return Ok(found),
            }
        }
    }
    Ok(found)
}

impl Whole {
    fn add(&mut self, rows: &RecordBatch, row: usize) {
        let source = rows.column(1).as_primitive::<Int32Type>().value(row);
        let Some((shard, cut)) = cut_of_row(rows, row) else { return };
        let unread = ShardCut { next: Sequence::ZERO, idle: false, ended: false };
        let source = source.cast_unsigned() as usize;
        self.cut.resize(self.cut.len().max(source + 1), Vec::new());
        let shards = &mut self.cut[source];
        shards.resize(shards.len().max(shard + 1), unread);
        shards[shard] = cut;
    }
}
