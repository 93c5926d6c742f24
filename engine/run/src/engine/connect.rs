//! Tables with connectors: what each is used as, started when that is known, stopped and forgotten when it is dropped.
//!
//! A table that is inserted into is a sink, one that is selected from is a source. Often its connector or its options leave no
//! choice, and it starts when it is created. Otherwise the first use decides, for good: it is noted in `system.catalog`. What was
//! written into a sink can be read all the same, as the rows of its stream; into a source nothing can be written. A table without
//! columns has those of what is first written into it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use headwater_core::EventTime;
use headwater_log::LogError;
use headwater_plan::statement::{Kind, Name};
use headwater_plan::{Catalog, Entry, Parsed, Query, StreamDef};

use super::events::{self, Event};
use super::state::Inner;
use crate::blocking::on_thread;
use crate::error::{Result, RunError};
use crate::options::{ConnectorStatus, ConnectorTable, Role};

impl Inner {
    /// What a table that is to be created can be used as: at least one thing, or its options are wrong.
    pub fn roles_of(&self, def: &Arc<StreamDef>) -> Result<Vec<Role>> {
        let validate = |role| {
            if role == Role::Source && def.schema.fields().is_empty() {
                return Err("a source needs columns".to_owned());
            }
            self.connectors.validate(&ConnectorTable::unused(Arc::clone(def), role))
        };
        let (source, sink) = (validate(Role::Source), validate(Role::Sink));
        let reason = match (source, sink) {
            (Ok(()), Ok(())) => return Ok(vec![Role::Source, Role::Sink]),
            (Ok(()), Err(_)) => return Ok(vec![Role::Source]),
            (Err(_), Ok(())) => return Ok(vec![Role::Sink]),
            (Err(source), Err(sink)) if source == sink => source,
            (Err(source), Err(sink)) => match self.connectors.only_role(def) {
                Some(Role::Source) => source,
                Some(Role::Sink) => sink,
                None => format!("as a source: {source}; as a sink: {sink}"),
            },
        };
        Err(RunError::Connector { table: def.name.clone(), reason })
    }

    /// What a table is used as before anybody has used it: what its connector and its options leave no choice of. One without columns waits
    /// for those of what is written into it, and one of a database may be there to look rows up in.
    pub fn only_role_of(&self, def: &Arc<StreamDef>) -> Result<Option<Role>> {
        if def.is_procedure() || def.is_database() || def.schema.fields().is_empty() {
            return Ok(None);
        }
        Ok(match self.roles_of(def)?.as_slice() {
            [role] => Some(*role),
            _ => None,
        })
    }

    /// Whether a table can still be used as it is with these options.
    pub fn check_use(&self, def: &Arc<StreamDef>) -> Result<()> {
        if def.is_procedure() {
            return self.check_procedure(def);
        }
        let used = self.state.lock().roles.get(&def.name).copied();
        let Some(role) = used else { return self.roles_of(def).map(drop) };
        self.connectors
            .validate(&ConnectorTable::unused(Arc::clone(def), role))
            .map_err(|reason| RunError::Connector { table: def.name.clone(), reason })
    }

    /// Whether a table has a connector that can be started again.
    pub fn known_connector(&self, name: &Name, parsed: &Parsed) -> Result<()> {
        let catalog = self.catalog();
        if !matches!(catalog.get(&name.value), Some(Entry::Table(_))) {
            return Err(catalog.not_a(name, Kind::Table).at(name.position, &parsed.script).into());
        }
        if self.state.lock().roles.contains_key(&name.value) {
            return Ok(());
        }
        let reason = "nothing reads from it or writes into it yet, so nothing was started".to_owned();
        Err(RunError::Connector { table: name.value.clone(), reason })
    }

    /// Starts a table's connector again, from where it stands, if it was ever started. `defining` must be held.
    pub async fn start_again(self: &Arc<Self>, name: &str) -> Result<()> {
        let (def, role) = {
            let state = self.state.lock();
            let Some(Entry::Table(def)) = state.catalog.get(name) else { return Ok(()) };
            let Some(role) = state.roles.get(name).copied() else { return Ok(()) };
            if role == Role::Source && state.ends.contains_key(name) {
                return Ok(());
            }
            (Arc::clone(def), role)
        };
        self.stop_connector(name).await;
        let inner = Arc::clone(self);
        on_thread(move || inner.start_connector(&def, role)).await?
    }

    /// Makes a table what it is used as, if that was still open. Blocks; `defining` must be held.
    pub fn use_table(self: &Arc<Self>, name: &str, role: Role) -> Result<()> {
        let (def, used) = {
            let state = self.state.lock();
            let Some(Entry::Table(def)) = state.catalog.get(name) else { return Ok(()) };
            (Arc::clone(def), state.roles.get(name).copied())
        };
        if def.is_procedure() {
            let reason = format!(
                "its rows are what a procedure answers for a key: nothing is written into it, and a job asks by \
                 JOIN {name} FOR SYSTEM_TIME AS OF PROCTIME() AS t ON s.key = t.key"
            );
            return Err(RunError::Connector { table: name.to_owned(), reason });
        }
        match (used, role) {
            (Some(Role::Source), Role::Sink) => {
                let reason = "it is read from, so nothing can be written into it; create another table on the same \
                              place, with type = 'sink'";
                Err(RunError::Connector { table: name.to_owned(), reason: reason.to_owned() })
            }
            (Some(_), _) => Ok(()),
            (None, role) => {
                self.connectors
                    .validate(&ConnectorTable::unused(Arc::clone(&def), role))
                    .map_err(|reason| RunError::Connector { table: name.to_owned(), reason })?;
                events::append(&self.world, &*self.log, &Event::Use { name: name.to_owned(), role })?;
                self.state.lock().roles.insert(name.to_owned(), role);
                self.start_connector(&def, role)
            }
        }
    }

    /// Makes the tables that a definition reads sources, if that was still open. Blocks; `defining` must be held.
    pub fn use_inputs(self: &Arc<Self>, catalog: &Catalog, entry: &Entry) -> Result<()> {
        inputs_of_entry(catalog, entry).iter().try_for_each(|input| self.use_table(input, Role::Source))
    }

    /// Gives a table that was created without columns those of what is to be written into it. Blocks; `defining` must be held.
    pub fn give_columns(&self, table: &str, found: &Schema) -> Result<()> {
        let catalog = self.catalog();
        let is_bare = |def: &StreamDef| def.connector.is_some() && def.schema.fields().is_empty();
        if !catalog.stream(table).is_some_and(|def| is_bare(def)) {
            return Ok(());
        }
        let field = |field: &Arc<Field>| Field::new(field.name(), field.data_type().clone(), true);
        let schema: SchemaRef = Arc::new(Schema::new(found.fields().iter().map(field).collect::<Vec<_>>()));
        let info = self.log.stream_named(table)?;
        self.log.evolve(info.id, Arc::clone(&schema))?;
        let mut state = self.state.lock();
        state.catalog = state.catalog.with_columns(table, schema);
        Ok(())
    }

    /// Makes sources of the tables among these whose use was open until now.
    pub async fn read_from(self: &Arc<Self>, tables: Vec<String>) -> Result<()> {
        let is_open = |name: &String| {
            let state = self.state.lock();
            matches!(state.catalog.get(name), Some(Entry::Table(_))) && !state.roles.contains_key(name)
        };
        let open: Vec<String> = tables.into_iter().filter(is_open).collect();
        if open.is_empty() {
            return Ok(());
        }
        self.alone(move |inner| open.iter().try_for_each(|table| inner.use_table(table, Role::Source))).await
    }

    /// Makes a sink of a table into which rows of these columns are written, or fails if it is a source.
    pub async fn write_to(self: &Arc<Self>, table: &str, columns: &Schema) -> Result<()> {
        {
            let state = self.state.lock();
            let is_table = matches!(state.catalog.get(table), Some(Entry::Table(_)));
            if !is_table || state.roles.get(table) == Some(&Role::Sink) {
                return Ok(());
            }
        }
        let (table, columns) = (table.to_owned(), columns.clone());
        self.alone(move |inner| {
            inner.give_columns(&table, &columns)?;
            inner.use_table(&table, Role::Sink)
        })
        .await
    }

    /// Does something that blocks while nobody else changes what there is.
    async fn alone(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let _one_at_a_time = self.defining.lock().await;
        self.check_open()?;
        let inner = Arc::clone(self);
        on_thread(move || work(&inner)).await?
    }

    /// Starts what pulls into a table's stream, or delivers from it.
    pub fn start_connector(self: &Arc<Self>, def: &Arc<StreamDef>, role: Role) -> Result<()> {
        let ended = self.state.lock().ends.contains_key(&def.name);
        if role == Role::Source && ended {
            return Ok(());
        }
        let (engine, name) = (Arc::downgrade(self), def.name.clone());
        let watermark = Arc::new(move || match engine.upgrade() {
            Some(engine) => engine.state.lock().watermark_into(&name),
            None => Some(EventTime::MIN),
        });
        let table = ConnectorTable { def: Arc::clone(def), role, watermark };
        let (engine, name) = (Arc::downgrade(self), def.name.clone());
        let runtime = self.runtime.clone();
        let on_end = Box::new(move || {
            // The connector calls this from within the runtime, where nothing may block.
            runtime.spawn_blocking(move || {
                let Some(engine) = engine.upgrade() else { return };
                // Of a log that is closed meanwhile it is noted when the source has ended again.
                if let Err(error) = engine.end_stream(&name)
                    && !matches!(error, RunError::Log(LogError::Closed))
                {
                    tracing::error!(table = name, code = %error.code(), %error, "a source's end could not be noted");
                }
            });
        });
        let running = self.connectors.start(table, Arc::clone(&self.ingest), on_end)?;
        let mut state = self.state.lock();
        state.connectors.insert(def.name.clone(), Arc::from(running));
        state.unstarted.remove(&def.name);
        Ok(())
    }

    /// Stops a table's connector.
    pub async fn stop_connector(&self, name: &str) {
        let running = self.state.lock().connectors.remove(name);
        if let Some(running) = running {
            running.stop().await;
        }
    }

    /// Waits for the bounded sources among these tables. A source that has failed will not deliver what is missing.
    pub async fn await_bounded_sources(&self, tables: &[String]) -> Result<()> {
        for name in tables {
            let running = self.state.lock().connectors.get(name).map(Arc::clone);
            if let Some(running) = running
                && running.is_bounded()
            {
                running.settled().await;
                check(name, &running.status())?;
            }
        }
        Ok(())
    }

    /// Waits until the source of one of these tables has failed; for ever, if none does.
    pub async fn failure_of(&self, tables: &[String]) -> RunError {
        let waits = tables.iter().map(|name| async move {
            let running = self.state.lock().connectors.get(name).map(Arc::clone);
            if let Some(running) = running {
                running.settled().await;
                if let Err(error) = check(name, &running.status()) {
                    return error;
                }
            }
            std::future::pending().await
        });
        let waits: Vec<_> = waits.map(Box::pin).collect();
        if waits.is_empty() {
            return std::future::pending().await;
        }
        futures::future::select_all(waits).await.0
    }

    /// How the tables fare, by name.
    pub fn connectors(&self) -> Vec<(String, Option<ConnectorStatus>)> {
        let state = self.state.lock();
        let tables = state.catalog.entries().filter_map(|entry| match entry {
            Entry::Table(def) => Some(def.name.clone()),
            _ => None,
        });
        let status = |name: &String| state.connectors.get(name).map(|running| running.status());
        tables.map(|name| (name.clone(), status(&name))).collect()
    }
}

/// An error if a connector has failed for good.
pub(super) fn check(table: &str, status: &ConnectorStatus) -> Result<()> {
    if !status.is_failed {
        return Ok(());
    }
    let reason = status.last_error.clone().unwrap_or_default();
    Err(RunError::Connector { table: table.to_owned(), reason: format!("it has failed: {reason}") })
}

/// The streams and tables that a query reads, through views.
pub(super) fn inputs_of(catalog: &Catalog, query: &Query) -> Vec<String> {
    let view = headwater_plan::ViewDef { name: String::new(), columns: Vec::new(), query: query.clone() };
    inputs_of_entry(catalog, &Entry::View(Arc::new(view)))
}

/// The streams and tables that a job or view reads, through views; an alarm, through the alarms that it names, too.
pub(crate) fn inputs_of_entry(catalog: &Catalog, entry: &Entry) -> Vec<String> {
    let mut pending: Vec<String> = reads(catalog, entry).into_iter().collect();
    let mut inputs = Vec::new();
    while let Some(name) = pending.pop() {
        match catalog.get(&name) {
            Some(inner @ (Entry::View(_) | Entry::Alarm(_) | Entry::ScalingPolicy(_))) => {
                pending.extend(reads(catalog, inner));
            }
            _ => inputs.push(name),
        }
    }
    inputs
}

/// What a definition reads by name; what it writes is not read, unless its query reads it, too.
fn reads(catalog: &Catalog, entry: &Entry) -> BTreeSet<String> {
    let mut names = entry.references();
    // A table in which rows are looked up is not read as a stream.
    let mut but_not_by = |query: &Query| {
        let looked_up = headwater_plan::looked_up(query, catalog);
        names.retain(|name| !looked_up.contains(name));
    };
    match entry {
        Entry::View(view) | Entry::MaterializedView(view) => but_not_by(&view.query),
        Entry::Stream(_) | Entry::Table(_) | Entry::MapReduce(_) => names.clear(),
        Entry::Job(job) => {
            let view = headwater_plan::ViewDef {
                name: String::new(),
                columns: Vec::new(),
                query: job.query.clone(),
            };
            return reads(catalog, &Entry::View(Arc::new(view)));
        }
        Entry::Alarm(_) => {
            names.remove(headwater_plan::ALARM_HISTORY);
        }
        Entry::ScalingGroup(group) => {
            names.remove(headwater_plan::SCALING_ACTIVITIES);
            if group.actuator == headwater_plan::Actuator::DryRun {
                names.remove(headwater_plan::SCALING_PROGRESS);
            }
        }
        Entry::Trigger(trigger) => return [trigger.on.clone()].into(),
        _ => {}
    }
    names
}
