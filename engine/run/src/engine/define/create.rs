//! `CREATE`: what is new is checked, noted in the catalog's stream, and started.

use std::sync::Arc;

use headwater_ingest::format_options_of;
use headwater_plan::{Action, Catalog, Entry, Parsed, StreamDef, TriggerDef};

use super::{Inner, spec_of};
use crate::error::Result;
use crate::options::Role;

impl Inner {
    pub(super) fn create(self: &Arc<Self>, after: &Catalog, entry: &Entry, parsed: &Parsed) -> Result<()> {
        match entry {
            Entry::Stream(def) => self.create_stream(after, def, parsed)?,
            Entry::Table(def) if def.is_procedure() => {
                let spec = spec_of(def)?;
                self.check_procedure(def)?;
                self.note(&def.name, parsed)?;
                self.log.create_stream(spec)?;
            }
            Entry::Table(def) => return self.create_table(after, def, parsed),
            Entry::View(view) => {
                self.planner.batch(after, &self.tables(), &view.query)?;
                self.note(&view.name, parsed)?;
            }
            Entry::ScalingPolicy(policy) => {
                self.planner.check(after, &self.tables(), parsed)?;
                self.note(&policy.name, parsed)?;
            }
            Entry::Alarm(_) => {
                self.planner.check(after, &self.tables(), parsed)?;
                self.forget_state(entry.name())?;
                self.note(entry.name(), parsed)?;
                self.state.lock().catalog = after.clone();
                self.start_job(entry)?;
                return self.use_inputs(after, entry);
            }
            Entry::ScalingGroup(group) => {
                self.planner.check(after, &self.tables(), parsed)?;
                self.check_actuator(group)?;
                self.forget_state(entry.name())?;
                self.note(entry.name(), parsed)?;
                self.state.lock().catalog = after.clone();
                self.start_group(group)?;
                return self.use_inputs(after, entry);
            }
            Entry::MapReduce(job) => {
                // Started first: what it may not do, or cannot, is told before it is written down.
                let running = self.start_programs(job, false)?;
                self.note(&job.name, parsed)?;
                self.state.lock().programs.insert(job.name.clone(), running);
            }
            Entry::Archive(archive) => {
                self.claim_archive(archive)?;
                self.note(&archive.name, parsed)?;
                self.state.lock().catalog = after.clone();
                return self.start_archive(archive);
            }
            Entry::Trigger(trigger) => return self.create_trigger(after, entry, trigger, parsed),
            Entry::Job(_) | Entry::MaterializedView(_) => return self.create_job(after, entry, parsed),
        }
        self.state.lock().catalog = after.clone();
        Ok(())
    }

    fn create_stream(self: &Arc<Self>, after: &Catalog, def: &StreamDef, parsed: &Parsed) -> Result<()> {
        self.planner.check(after, &self.tables(), parsed)?;
        let spec = spec_of(def)?;
        format_options_of(&spec)?;
        self.note(&def.name, parsed)?;
        self.log.create_stream(spec)?;
        self.tell_time(after, def)
    }

    /// Creates a connector's table, and starts what it does if that is known already.
    fn create_table(self: &Arc<Self>, after: &Catalog, def: &Arc<StreamDef>, parsed: &Parsed) -> Result<()> {
        self.planner.check(after, &self.tables(), parsed)?;
        self.roles_of(def)?;
        let spec = spec_of(def)?;
        // A former table of this name may have been dropped just before a crash.
        self.connectors.forget(&def.name, &self.ingest)?;
        self.note(&def.name, parsed)?;
        self.log.create_stream(spec)?;
        self.tell_time(after, def)?;
        self.state.lock().catalog = after.clone();
        let Some(role) = self.only_role_of(def)? else { return Ok(()) };
        self.state.lock().roles.insert(def.name.clone(), role);
        self.start_connector(def, role)
    }

    fn create_trigger(
        self: &Arc<Self>,
        after: &Catalog,
        entry: &Entry,
        trigger: &Arc<TriggerDef>,
        parsed: &Parsed,
    ) -> Result<()> {
        self.check_delivery(after, trigger)?;
        self.plan_of(after, entry, None)?;
        if let Action::Insert { target, .. } = &trigger.action {
            self.use_table(target, Role::Sink)?;
        }
        self.forget_state(entry.name())?;
        self.note(entry.name(), parsed)?;
        self.state.lock().catalog = after.clone();
        self.note_start(&trigger.name, self.start_trigger(trigger))?;
        self.start_delivery(trigger)?;
        // Only now: it judges what comes from here on.
        self.use_inputs(after, entry)
    }

    /// Creates a job or a materialized view.
    fn create_job(self: &Arc<Self>, after: &Catalog, entry: &Entry, parsed: &Parsed) -> Result<()> {
        let dataflow = self.plan_of(after, entry, None)?;
        self.check_starts(&dataflow)?;
        if let Entry::Job(job) = entry {
            self.give_columns(&job.target, &dataflow.result.schema)?;
            self.use_table(&job.target, Role::Sink)?;
        }
        self.use_inputs(after, entry)?;
        self.forget_state(entry.name())?;
        self.note(entry.name(), parsed)?;
        // The target may have got columns.
        let (after, _) = self.catalog().apply(parsed)?;
        self.state.lock().catalog = after;
        self.start_job(entry)
    }
}
