//! `DROP`, and `ALTER` of streams and tables.

use std::sync::Arc;

use headwater_log::Retention;
use headwater_plan::dataflow::Source;
use headwater_plan::statement::Kind;
use headwater_plan::{Catalog, Entry, Mistake, Parsed, SqlError, Statement, StreamDef};

use super::{Inner, spec_of, writes_into, writes_late_into};
use crate::engine::connect::inputs_of_entry;
use crate::error::Result;
use crate::job::JobHandle;

impl Inner {
    pub(super) fn drop_entry(
        self: &Arc<Self>,
        after: &Catalog,
        entry: &Entry,
        parsed: &Parsed,
    ) -> Result<()> {
        let name = entry.name();
        self.note(name, parsed)?;
        self.ingest.tell_time(name, None);
        {
            let mut state = self.state.lock();
            state.note_drop(entry);
            state.catalog = after.clone();
            state.ends.remove(name);
            state.paused.remove(name);
            state.folds.remove(name);
            state.roles.remove(name);
            state.failures.remove(name);
            state.eras.remove(name);
            state.unstarted.remove(name);
            state.rested.remove(name);
            state.undelivered.remove(name);
            state.tests.remove(name);
        }
        if let Entry::MapReduce(_) = entry {
            drop(self.state.lock().programs.remove(name));
            return Ok(());
        }
        if let Entry::Archive(archive) = entry {
            return self.remove_archive(archive);
        }
        let kind = entry.kind();
        let is_job = matches!(kind, Kind::Job | Kind::MaterializedView | Kind::Trigger);
        if kind == Kind::Trigger {
            self.retire(name)?;
        }
        if is_job || matches!(kind, Kind::Alarm | Kind::ScalingGroup) {
            self.remove_job(name)?;
        }
        if kind == Kind::MaterializedView {
            self.forget_notes(name);
        }
        if matches!(entry.kind(), Kind::Stream | Kind::Table | Kind::MaterializedView | Kind::Trigger) {
            // A view or trigger that could never start has none.
            if let Ok(info) = self.log.stream_named(name) {
                self.log.drop_stream(info.id)?;
            }
        }
        if entry.kind() == Kind::Table {
            self.connectors.forget(name, &self.ingest)?;
        }
        Ok(())
    }

    pub(super) fn alter(
        self: &Arc<Self>,
        after: &Catalog,
        from: &Arc<StreamDef>,
        to: &Arc<StreamDef>,
        parsed: &Parsed,
    ) -> Result<()> {
        if to.connector.is_some() {
            self.check_use(to)?;
        }
        let writes = |entry: &&Entry| writes_into(entry, &to.name) || writes_late_into(entry, &to.name);
        let writers: Vec<&Entry> = after.entries().filter(writes).collect();
        if from.schema != to.schema {
            self.check_readers(from, to, parsed)?;
            writers.iter().try_for_each(|writer| self.check_writer(after, writer, parsed))?;
        }
        self.note(&to.name, parsed)?;
        let info = self.log.stream_named(&to.name)?;
        if from.schema != to.schema {
            // Who writes there begins again with the columns as they are now, of which new ones are empty.
            let triggers = writers.iter().filter_map(|writer| after.trigger(writer.name()));
            triggers.into_iter().try_for_each(|trigger| self.go_alone(trigger))?;
            writers.iter().for_each(|writer| self.stop_job(writer.name()));
            let evolved = self.log.evolve(info.id, Arc::clone(&to.schema));
            if evolved.is_ok() {
                self.state.lock().catalog = after.clone();
            }
            let started = writers.into_iter().try_for_each(|writer| self.start_job(writer));
            evolved?;
            started?;
        }
        if from.retention != to.retention {
            self.log
                .set_retention(info.id, Retention { age: to.retention.age, bytes: to.retention.bytes })?;
        }
        let properties = spec_of(to)?.properties;
        if info.spec.properties != properties {
            self.log.set_properties(info.id, properties)?;
        }
        self.state.lock().catalog = after.clone();
        // Jobs that run ask anew.
        self.idle_timeouts(after);
        self.state.lock().jobs.values().for_each(JobHandle::wake);
        Ok(())
    }

    /// Refuses a change with which a job that writes there could not go on: because it cannot be planned for the new columns, or because
    /// its state does not fit that plan and what it would be built from is gone.
    fn check_writer(self: &Arc<Self>, after: &Catalog, writer: &Entry, parsed: &Parsed) -> Result<()> {
        let catalog = self.catalog();
        // What a trigger keeps does not depend on where its firings go.
        let is_trigger = matches!(writer, Entry::Trigger(_));
        let (Some(before), Statement::AlterStream(alter), false) =
            (catalog.get(writer.name()), &parsed.statement, is_trigger)
        else {
            return Ok(());
        };
        // One that could not be planned before does not run.
        let Ok(was) = self.plan_to_run(&catalog, before) else { return Ok(()) };
        let why = match self.plan_to_run(after, writer) {
            Ok(is) if was.fingerprint() == is.fingerprint() => return Ok(()),
            Ok(is) => match self.gone_for(writer, is)? {
                Some((step, what)) => format!("its state would have to be built again: step {step} {what}"),
                None => return Ok(()),
            },
            Err(error) => format!("it cannot go on: {error}"),
        };
        let message = format!(
            "{} '{}' writes into '{}', and with other columns {why}",
            writer.kind(),
            writer.name(),
            alter.name.value
        );
        Err(SqlError::new(Mistake::InUse, message)
            .at(alter.name.position, &parsed.script)
            .hint("drop it first and create it again behind the change, or write into another stream")
            .into())
    }

    /// Refuses to give columns other types that jobs read: what they keep and what they have said is of the former ones.
    fn check_readers(self: &Arc<Self>, from: &StreamDef, to: &StreamDef, parsed: &Parsed) -> Result<()> {
        let both = from.schema.fields().iter().zip(to.schema.fields()).enumerate();
        let changed: Vec<usize> = both.filter(|(_, (was, is))| was != is).map(|(place, _)| place).collect();
        let (false, Statement::AlterStream(alter)) = (changed.is_empty(), &parsed.statement) else {
            return Ok(());
        };
        let catalog = self.catalog();
        let reads_changed = |source: &Source| {
            source.stream.as_str() == from.name
                && source.projection.iter().any(|column| changed.contains(column))
        };
        let reads = |entry: &&Entry| {
            entry.has_job()
                && inputs_of_entry(&catalog, entry).contains(&from.name)
                // One that cannot be planned may be one that reads them.
                && self.plan_to_run(&catalog, entry).map_or(true, |plan| plan.sources.iter().any(reads_changed))
        };
        let readers =
            catalog.entries().filter(reads).map(|entry| format!("{} {}", entry.kind(), entry.name()));
        let readers: Vec<String> = readers.collect();
        if readers.is_empty() {
            return Ok(());
        }
        let names: Vec<String> =
            changed.iter().map(|place| format!("'{}'", from.schema.field(*place).name())).collect();
        let message = format!("{} of '{}' is read by {}", names.join(", "), from.name, readers.join(", "));
        Err(SqlError::new(Mistake::InUse, message)
            .at(alter.name.position, &parsed.script)
            .hint("drop them first and create them again behind it: what they keep is of the type that it has now")
            .into())
    }
}
