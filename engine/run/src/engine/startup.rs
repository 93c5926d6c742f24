//! Where a job begins that does not begin with the first rows of all that it reads: a trigger, or a job that says so with
//! `OPTIONS('scan.startup.mode' = ...)` behind a table.
//!
//! The first line of its journal holds the places and takes nothing. So they are looked for once; a start without a checkpoint, a replay
//! and a replacement find them there.

use headwater_core::{Sequence, ShardId};
use headwater_log::{From, ReadSpec, ShardBounds, StreamInfo};
use headwater_plan::dataflow::Source;
use headwater_plan::{Dataflow, Entry, Startup};

use super::state::Inner;
use super::triggers::first_place;
use crate::error::{Result, RunError};
use crate::job::{Journal, ShardCut, Start, begin_at, first_cut};
use crate::options::Role;

impl Inner {
    /// Where such a job starts, when there is no checkpoint.
    pub(super) fn start_late(&self, entry: &Entry, dataflow: &Dataflow, journal: &Journal) -> Result<Start> {
        let eras = self.eras_of(entry.name());
        if first_cut(&*self.log, journal, entry.name(), &eras)?.is_none() {
            let is_job = matches!(entry, Entry::Job(_));
            let of_source = |source: &Source| -> Result<Vec<ShardCut>> {
                let startup = if is_job { source.startup } else { Startup::Latest };
                let info = self.log.stream_named(source.stream.as_str())?;
                let place = |(shard, bounds)| {
                    let next = self.first_of(startup, &info, ShardId(shard), bounds)?;
                    Ok(ShardCut { next, idle: false, ended: false })
                };
                (0..).zip(self.log.bounds(info.id)?).map(place).collect()
            };
            let places = dataflow.sources.iter().map(of_source).collect::<Result<_>>()?;
            begin_at(&*self.log, journal.own(), places)?;
        }
        first_place(self, entry.name(), &eras)
    }

    /// The first row of a shard that is read.
    fn first_of(
        &self,
        startup: Startup,
        info: &StreamInfo,
        shard: ShardId,
        bounds: ShardBounds,
    ) -> Result<Sequence> {
        let time = match startup {
            Startup::Earliest => return Ok(bounds.first),
            Startup::Latest => return Ok(bounds.next),
            Startup::Arrival(time) => time,
        };
        let mut reader = self.log.read(ReadSpec {
            from: From::Arrival(time),
            until: Some(bounds.next),
            projection: Some(Vec::new()),
            arrivals: true,
            ..ReadSpec::all(info.id, shard)
        })?;
        while let Some(read) = reader.next()? {
            let arrivals = read.arrivals.iter().flat_map(|arrivals| arrivals.values());
            if let Some(first) = arrivals.into_iter().position(|arrival| *arrival >= time.0) {
                return Ok(Sequence(read.first.0 + first as u64));
            }
        }
        Ok(bounds.next)
    }

    /// Fails if a job would begin at a place of a table that the table's stream does not tell: of what is outside, some is not read yet.
    pub(super) fn check_starts(&self, dataflow: &Dataflow) -> Result<()> {
        for source in dataflow.sources.iter().filter(|source| source.startup != Startup::Earliest) {
            let (name, startup) = (source.stream.as_str(), source.startup);
            let running = {
                let state = self.state.lock();
                let is_fed = matches!(state.catalog.get(name), Some(Entry::Table(_)))
                    && state.roles.get(name) != Some(&Role::Sink);
                if !is_fed {
                    continue;
                }
                state.connectors.get(name).cloned()
            };
            let status = running.map(|running| running.status());
            let reason = match (startup, status) {
                (Startup::Arrival(_), _) => {
                    "the log knows when its rows came here, and not when they were written outside".to_owned()
                }
                (_, None) => {
                    "nothing of it has been read yet, so that all that is outside would be new".to_owned()
                }
                (_, Some(status)) => match status.lag {
                    None => continue,
                    Some(0) if status.position != "{}" => continue,
                    lag => {
                        let waiting = lag.filter(|lag| *lag > 0).map(|lag| format!("{lag} records of it"));
                        let waiting = waiting.unwrap_or_else(|| "what is outside".to_owned());
                        format!(
                            "{waiting} would be new to the job, as they are not read yet (system.connectors)"
                        )
                    }
                },
            };
            return Err(RunError::Connector {
                table: name.to_owned(),
                reason: format!(
                    "no job can begin with it at {startup}: {reason}; where the table itself begins is an option of it, \
                     'scan.startup.mode' of a topic"
                ),
            });
        }
        Ok(())
    }
}
