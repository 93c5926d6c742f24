//! `DROP`, and `ALTER` of streams and tables.

use std::sync::Arc;

use headwater_log::Retention;
use headwater_plan::statement::Kind;
use headwater_plan::{Catalog, Entry, Parsed, StreamDef};

use super::{Inner, spec_of, writes_into};
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
        self.note(&to.name, parsed)?;
        let info = self.log.stream_named(&to.name)?;
        if from.schema != to.schema {
            // Who writes there begins again with the new columns, which are empty.
            let writers: Vec<&Entry> = after.entries().filter(|entry| writes_into(entry, &to.name)).collect();
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
}
