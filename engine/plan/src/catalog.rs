//! What there is: streams, connector tables, views, jobs, archives and functions, as an immutable value.
//!
//! The catalog is a fold: starting from [`Catalog::default`] and applying the same statements in the same order gives the
//! same catalog. Nothing can be dropped while something else refers to it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{ObjectName, visit_relations};
use rpds::RedBlackTreeMapSync;

use crate::decision::AlarmDef;
use crate::definition::{ArchiveDef, JobDef, MapReduceDef, StreamDef, ViewDef};
use crate::error::{Mistake, Result, SqlError, did_you_mean};
use crate::job_metrics::JOB_METRICS;
use crate::own_streams::own_streams;
use crate::scaling::{GroupDef, PolicyDef, PolicyWhat};
use crate::statement::{
    AlterScalingGroup, AlterStream, CreateScalingGroup, CreateTrigger, Drop, GroupChange, Kind, Name, Parsed,
    Query, Statement, StreamChange,
};
use crate::trigger::{Action, TriggerDef};
use crate::user_functions::Functions;

/// Everything that has a name. Cheap to clone; a clone never changes.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Shares with its clones what has not changed, so that a statement costs the same however much there is.
    entries: RedBlackTreeMapSync<String, Entry>,
    functions: Functions,
}

/// Something that has a name.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A stream of the log.
    Stream(Arc<StreamDef>),
    /// A table of a connector.
    Table(Arc<StreamDef>),
    /// A view.
    View(Arc<ViewDef>),
    /// A materialized view.
    MaterializedView(Arc<ViewDef>),
    /// A job.
    Job(Arc<JobDef>),
    /// A MapReduce job.
    MapReduce(Arc<MapReduceDef>),
    /// An alarm.
    Alarm(Arc<AlarmDef>),
    /// A scaling policy.
    ScalingPolicy(Arc<PolicyDef>),
    /// A scaling group.
    ScalingGroup(Arc<GroupDef>),
    /// An archive of a stream.
    Archive(Arc<ArchiveDef>),
    /// A trigger.
    Trigger(Arc<TriggerDef>),
}

/// What a statement did to the catalog.
#[derive(Debug, Clone)]
pub enum Change {
    /// Something new.
    Created(Entry),
    /// Something took the place of another of its name.
    Replaced(Entry),
    /// Something is gone.
    Dropped(Entry),
    /// A stream has another definition.
    Altered {
        /// Before.
        from: Arc<StreamDef>,
        /// After.
        to: Arc<StreamDef>,
    },
    /// A function of the user's is new, another one, or gone: which.
    Function(String),
    /// `IF [NOT] EXISTS` made it a statement without effect; why.
    Unchanged(String),
}

impl Entry {
    /// What kind of thing it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Stream(_) => Kind::Stream,
            Self::Table(_) => Kind::Table,
            Self::View(_) => Kind::View,
            Self::MaterializedView(_) => Kind::MaterializedView,
            Self::Job(_) | Self::MapReduce(_) => Kind::Job,
            Self::Alarm(_) => Kind::Alarm,
            Self::ScalingPolicy(_) => Kind::ScalingPolicy,
            Self::ScalingGroup(_) => Kind::ScalingGroup,
            Self::Archive(_) => Kind::Archive,
            Self::Trigger(_) => Kind::Trigger,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Stream(stream) | Self::Table(stream) => &stream.name,
            Self::View(view) | Self::MaterializedView(view) => &view.name,
            Self::Job(job) => &job.name,
            Self::MapReduce(job) => &job.name,
            Self::Alarm(alarm) => &alarm.name,
            Self::ScalingPolicy(policy) => &policy.name,
            Self::ScalingGroup(group) => &group.name,
            Self::Archive(archive) => &archive.name,
            Self::Trigger(trigger) => &trigger.name,
        }
    }

    /// Whether a query can read it.
    pub fn has_rows(&self) -> bool {
        matches!(self, Self::Stream(_) | Self::Table(_) | Self::View(_) | Self::MaterializedView(_))
    }

    /// The names that it refers to.
    pub fn references(&self) -> BTreeSet<String> {
        match self {
            Self::Stream(_) | Self::Table(_) | Self::MapReduce(_) => BTreeSet::new(),
            Self::View(view) => tables_of(&view.query),
            Self::MaterializedView(view) => {
                let late = view.query.options.late.iter().map(|late| late.value.clone());
                tables_of(&view.query).into_iter().chain(late).collect()
            }
            Self::Job(job) => {
                let late = job.query.options.late.iter().map(|late| late.value.clone());
                let written = late.chain([job.target.clone()]);
                tables_of(&job.query).into_iter().chain(written).collect()
            }
            Self::Alarm(alarm) => alarm.references(),
            Self::ScalingPolicy(policy) => policy.references(),
            Self::ScalingGroup(group) => group.references(),
            Self::Archive(archive) => BTreeSet::from([archive.stream.clone()]),
            Self::Trigger(trigger) => trigger.references(),
        }
    }
}

impl Catalog {
    /// What has this name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// The stream or connector table of this name.
    pub fn stream(&self, name: &str) -> Option<&Arc<StreamDef>> {
        match self.get(name) {
            Some(Entry::Stream(stream) | Entry::Table(stream)) => Some(stream),
            _ => None,
        }
    }

    /// The view of this name, materialized or not.
    pub fn view(&self, name: &str) -> Option<&Arc<ViewDef>> {
        match self.get(name) {
            Some(Entry::View(view) | Entry::MaterializedView(view)) => Some(view),
            _ => None,
        }
    }

    /// The job of this name.
    pub fn job(&self, name: &str) -> Option<&Arc<JobDef>> {
        match self.get(name) {
            Some(Entry::Job(job)) => Some(job),
            _ => None,
        }
    }

    /// The trigger of this name.
    pub fn trigger(&self, name: &str) -> Option<&Arc<TriggerDef>> {
        match self.get(name) {
            Some(Entry::Trigger(trigger)) => Some(trigger),
            _ => None,
        }
    }

    /// The functions of the user's.
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    pub(crate) fn with_functions(&self, functions: Functions) -> Self {
        Self { entries: self.entries.clone(), functions }
    }

    /// Everything, by name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The catalog with a stream of the engine itself (`system.…`), which no statement creates.
    #[must_use]
    pub fn with_stream(&self, stream: StreamDef) -> Self {
        self.with(Entry::Stream(Arc::new(stream)))
    }

    /// The catalog in which a table that was created without columns has those of what is written into it.
    #[must_use]
    pub fn with_columns(&self, table: &str, schema: SchemaRef) -> Self {
        match self.get(table) {
            Some(Entry::Table(def)) if def.schema.fields().is_empty() => {
                self.with(Entry::Table(Arc::new(StreamDef { schema, ..(**def).clone() })))
            }
            _ => self.clone(),
        }
    }

    /// Who refers to a name.
    pub fn dependents(&self, name: &str) -> Vec<&Entry> {
        self.entries().filter(|entry| entry.references().contains(name)).collect()
    }

    /// Applies a statement. One that defines nothing leaves the catalog as it is.
    pub fn apply(&self, parsed: &Parsed) -> Result<(Self, Change)> {
        self.apply_statement(parsed).map_err(|error| error.at(parsed.position, &parsed.script))
    }

    fn apply_statement(&self, parsed: &Parsed) -> Result<(Self, Change)> {
        if let Statement::CreateStream(create) | Statement::CreateTable(create) = &parsed.statement
            && let Some(like) = &create.like
        {
            let statement = like.resolve(create, self)?;
            return self.apply_statement(&Parsed { statement, ..parsed.clone() });
        }
        let (name, entry, may_exist, or_replace) = match &parsed.statement {
            Statement::CreateStream(create) => (
                &create.name,
                Entry::Stream(Arc::new(create.definition.clone())),
                create.if_not_exists,
                false,
            ),
            Statement::CreateTable(create) => {
                (&create.name, Entry::Table(Arc::new(create.definition.clone())), create.if_not_exists, false)
            }
            Statement::CreateView(create) => {
                let entry = Entry::View(Arc::new(create.definition.clone()));
                (&create.name, entry, create.if_not_exists, create.or_replace)
            }
            Statement::CreateMaterializedView(create) => {
                let entry = Entry::MaterializedView(Arc::new(create.definition.clone()));
                (&create.name, entry, create.if_not_exists, create.or_replace)
            }
            Statement::CreateJob(create) => {
                let entry = Entry::Job(Arc::new(create.definition.clone()));
                (&create.name, entry, create.if_not_exists, create.or_replace)
            }
            Statement::CreateAlarm(create) => {
                let entry = Entry::Alarm(Arc::new(create.definition.clone()));
                (&create.name, entry, create.if_not_exists, create.or_replace)
            }
            Statement::CreateScalingPolicy(create) => {
                let entry = Entry::ScalingPolicy(Arc::new(create.definition.clone()));
                (&create.name, entry, create.if_not_exists, create.or_replace)
            }
            Statement::CreateScalingGroup(create) => {
                let entry = Entry::ScalingGroup(Arc::new(self.in_place_of_group(create, parsed)?));
                (&create.name, entry, create.if_not_exists, create.or_replace)
            }
            Statement::AlterScalingGroup(AlterScalingGroup { name, change }) => {
                let GroupChange::Rules { cooldown, warmup } = change else {
                    return Ok((
                        self.clone(),
                        Change::Unchanged("a size is the group's decision".to_owned()),
                    ));
                };
                let Some(Entry::ScalingGroup(former)) = self.get(&name.value) else {
                    return Err(self.not_a(name, Kind::ScalingGroup).at(name.position, &parsed.script));
                };
                let (cooldown, warmup) = (cooldown.unwrap_or(former.cooldown), warmup.or(former.warmup));
                let entry =
                    Entry::ScalingGroup(Arc::new(GroupDef { cooldown, warmup, ..(**former).clone() }));
                return Ok((self.with(entry.clone()), Change::Replaced(entry)));
            }
            Statement::CreateArchive(create) => {
                let entry = Entry::Archive(Arc::new(create.definition.clone()));
                (&create.name, entry, create.if_not_exists, false)
            }
            Statement::CreateMapReduce(create) => {
                let entry = Entry::MapReduce(Arc::new(create.definition.clone()));
                (&create.name, entry, create.if_not_exists, false)
            }
            Statement::CreateTrigger(create) => {
                let entry = Entry::Trigger(Arc::new(self.in_place_of_former(&create.definition)));
                (&create.name, entry, create.if_not_exists, create.or_replace)
            }
            Statement::CreateFunction(create) => return self.create_function(create, parsed),
            Statement::DropFunction(drop) => return self.drop_function(drop, parsed),
            Statement::Drop(drop) => return self.drop_entry(drop, parsed),
            Statement::AlterStream(alter) => return self.alter(alter, parsed),
            _ => return Ok((self.clone(), Change::Unchanged("the statement defines nothing".to_owned()))),
        };
        self.create(name, entry.bound(&self.functions), may_exist, or_replace, parsed)
    }

    fn with(&self, entry: Entry) -> Self {
        let entries = self.entries.insert(entry.name().to_owned(), entry);
        Self { entries, functions: self.functions.clone() }
    }

    fn without(&self, name: &str) -> Self {
        Self { entries: self.entries.remove(name), functions: self.functions.clone() }
    }

    fn create(
        &self,
        name: &Name,
        entry: Entry,
        may_exist: bool,
        or_replace: bool,
        parsed: &Parsed,
    ) -> Result<(Self, Change)> {
        if let Some(there) = self.get(&name.value) {
            if may_exist && there.kind() == entry.kind() {
                return Ok((
                    self.clone(),
                    Change::Unchanged(format!("{} {} exists already", there.kind(), name.value)),
                ));
            }
            if !(or_replace && there.kind() == entry.kind()) {
                return Err(SqlError::new(
                    Mistake::NameTaken,
                    format!("the name '{}' is taken by {}", name.value, there.kind().with_article()),
                )
                .at(name.position, &parsed.script)
                .hint(format!(
                    "choose another name, or DROP {} {} first",
                    there.kind().keyword(),
                    name.value
                )));
            }
        }
        let whole = self.with_own_streams(&entry);
        whole.check_references(&entry, parsed)?;
        let replaced = self.get(&name.value).is_some();
        let change = if replaced { Change::Replaced(entry.clone()) } else { Change::Created(entry.clone()) };
        Ok((whole.with(entry), change))
    }

    /// With the engine's own streams that an entry writes to, or reads.
    fn with_own_streams(&self, entry: &Entry) -> Self {
        let mut named = entry.references();
        if let Entry::ScalingGroup(group) = entry
            && self.has_schedules_alone(group)
        {
            named.insert(JOB_METRICS.to_owned());
        }
        let missing = own_streams()
            .into_iter()
            .filter(|stream| named.contains(&stream.name) && self.get(&stream.name).is_none());
        missing.fold(self.clone(), |catalog, stream| catalog.with_stream(stream))
    }

    /// Whether no policy of a group has a metric: then what the engine measures of itself tells it the time.
    fn has_schedules_alone(&self, group: &GroupDef) -> bool {
        let is_schedule = |name: &String| match self.get(name) {
            Some(Entry::ScalingPolicy(policy)) => matches!(policy.what, PolicyWhat::Schedule { .. }),
            _ => false,
        };
        group.policies.iter().all(is_schedule)
    }

    /// An archive is of something that has a stream, which has no other one.
    fn check_archive(&self, stream: &Name, parsed: &Parsed) -> Result<()> {
        let refuse = |message: String| {
            Err(SqlError::new(Mistake::Definition, message).at(stream.position, &parsed.script))
        };
        match self.get(&stream.value) {
            Some(Entry::Stream(_) | Entry::Table(_) | Entry::MaterializedView(_)) => {}
            Some(other) => {
                return refuse(format!(
                    "the {} '{}' has no rows of its own to archive",
                    other.kind(),
                    stream.value
                ));
            }
            None => return Err(self.unknown(stream, "stream").at(stream.position, &parsed.script)),
        }
        match self
            .entries()
            .find(|entry| matches!(entry, Entry::Archive(archive) if archive.stream == stream.value))
        {
            Some(other) => {
                refuse(format!("stream '{}' has the archive {} already", stream.value, other.name()))
            }
            None => Ok(()),
        }
    }

    /// What a new entry refers to must exist; a job's target must be something that takes rows.
    fn check_references(&self, entry: &Entry, parsed: &Parsed) -> Result<()> {
        let create = match &parsed.statement {
            Statement::CreateTrigger(create) => return self.check_trigger(create, parsed),
            Statement::CreateJob(create) => create,
            Statement::CreateScalingGroup(create) => {
                let of_kind = |name| self.check_kind(name, Kind::ScalingPolicy, parsed);
                return create.policies.iter().try_for_each(of_kind);
            }
            Statement::CreateArchive(create) => return self.check_archive(&create.stream, parsed),
            _ => return self.check_cycle(entry, parsed),
        };
        match self.get(&create.target.value) {
            Some(Entry::Stream(_) | Entry::Table(_)) => Ok(()),
            Some(other) => Err(SqlError::new(
                Mistake::Definition,
                format!("a job cannot write into the {} '{}'", other.kind(), create.target.value),
            )
            .at(create.target.position, &parsed.script)
            .hint("write into a stream: CREATE STREAM")),
            None => Err(self
                .unknown(&create.target, "stream or table")
                .at(create.target.position, &parsed.script)),
        }
    }

    fn check_kind(&self, name: &Name, kind: Kind, parsed: &Parsed) -> Result<()> {
        match self.get(&name.value) {
            Some(entry) if entry.kind() == kind => Ok(()),
            _ => Err(self.not_a(name, kind).at(name.position, &parsed.script)),
        }
    }

    /// What a trigger looks at has rows, and what it inserts into takes them.
    fn check_trigger(&self, create: &CreateTrigger, parsed: &Parsed) -> Result<()> {
        match self.get(&create.on.value) {
            Some(Entry::Stream(_) | Entry::Table(_) | Entry::View(_) | Entry::MaterializedView(_)) => {}
            Some(other) => {
                let message = format!("'{}' is a {}, not a stream or view", create.on.value, other.kind());
                return Err(SqlError::new(Mistake::Definition, message)
                    .at(create.on.position, &parsed.script)
                    .hint("write into a stream, and put the trigger ON that"));
            }
            None => {
                let error = self.unknown(&create.on, "stream or view");
                return Err(error.at(create.on.position, &parsed.script));
            }
        }
        let Action::Insert { target, .. } = &create.definition.action else { return Ok(()) };
        if self.stream(target).is_some() {
            return Ok(());
        }
        let name = Name { value: target.clone(), position: parsed.position };
        Err(self.unknown(&name, "stream or table").at(parsed.position, &parsed.script))
    }

    /// A replaced view must not come to refer to itself.
    fn check_cycle(&self, entry: &Entry, parsed: &Parsed) -> Result<()> {
        let mut pending: Vec<String> = entry.references().into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = pending.pop() {
            if name == entry.name() {
                return Err(SqlError::new(
                    Mistake::Definition,
                    format!("the {} '{name}' would refer to itself", entry.kind()),
                )
                .at(parsed.position, &parsed.script));
            }
            if seen.insert(name.clone())
                && let Some(next) = self.get(&name)
            {
                pending.extend(next.references());
            }
        }
        Ok(())
    }

    fn drop_entry(&self, drop: &Drop, parsed: &Parsed) -> Result<(Self, Change)> {
        let Some(entry) = self.get(&drop.name.value) else {
            if drop.if_exists {
                return Ok((
                    self.clone(),
                    Change::Unchanged(format!("there is no {} {}", drop.kind, drop.name.value)),
                ));
            }
            return Err(self
                .unknown(&drop.name, &drop.kind.to_string())
                .at(drop.name.position, &parsed.script));
        };
        if entry.kind() != drop.kind {
            return Err(SqlError::new(
                Mistake::UnknownName,
                format!(
                    "'{}' is {}, not {}",
                    drop.name.value,
                    entry.kind().with_article(),
                    drop.kind.with_article()
                ),
            )
            .at(drop.name.position, &parsed.script)
            .hint(format!("DROP {} {}", entry.kind().keyword(), drop.name.value)));
        }
        let users: Vec<_> = self
            .dependents(&drop.name.value)
            .iter()
            .map(|user| format!("{} {}", user.kind(), user.name()))
            .collect();
        if !users.is_empty() {
            return Err(SqlError::new(
                Mistake::InUse,
                format!("{} '{}' is used by {}", drop.kind, drop.name.value, users.join(", ")),
            )
            .at(drop.name.position, &parsed.script)
            .hint("drop what uses it first"));
        }
        Ok((self.without(&drop.name.value), Change::Dropped(entry.clone())))
    }

    fn alter(&self, alter: &AlterStream, parsed: &Parsed) -> Result<(Self, Change)> {
        if alter.if_exists && self.get(&alter.name.value).is_none() {
            return Ok((self.clone(), Change::Unchanged(format!("there is no stream {}", alter.name.value))));
        }
        let place = |error: SqlError| error.at(alter.name.position, &parsed.script);
        let from = match self.get(&alter.name.value) {
            Some(Entry::Table(table)) => return self.alter_table(table, alter, parsed).map_err(place),
            Some(Entry::Stream(stream)) => Arc::clone(stream),
            Some(other) => {
                let message = format!("'{}' is a {}, not a stream", alter.name.value, other.kind());
                return Err(place(SqlError::new(Mistake::UnknownName, message)));
            }
            None => return Err(place(self.unknown(&alter.name, "stream"))),
        };
        let mut to = (*from).clone();
        match &alter.change {
            StreamChange::AddColumn(field) => add_column(&mut to, field).map_err(place)?,
            StreamChange::SetOptions(options) => {
                crate::parse::set_options(&mut to, options, &parsed.script)?;
            }
        }
        let to = Arc::new(to);
        let grown = self.with_named_columns(&from).with(Entry::Stream(Arc::clone(&to)));
        Ok((grown, Change::Altered { from, to }))
    }

    /// Changes what a table's connector is to do.
    fn alter_table(
        &self,
        from: &Arc<StreamDef>,
        alter: &AlterStream,
        parsed: &Parsed,
    ) -> Result<(Self, Change)> {
        let StreamChange::SetOptions(options) = &alter.change else {
            let message = format!("'{}' has the columns of what its connector reads or writes", from.name);
            return Err(SqlError::new(Mistake::Definition, message).hint("create another table"));
        };
        let mut to = (**from).clone();
        crate::parse::set_connector_options(&mut to, options, &parsed.script)?;
        let to = Arc::new(to);
        Ok((self.with(Entry::Table(Arc::clone(&to))), Change::Altered { from: Arc::clone(from), to }))
    }

    /// The catalog in which jobs that fill all columns of a stream name them, and so do triggers whose firings have all of them: what is
    /// added to the stream later is not theirs.
    fn with_named_columns(&self, stream: &StreamDef) -> Self {
        let columns: Vec<String> =
            stream.own_schema().fields().iter().map(|field| field.name().clone()).collect();
        let seen = stream.column_names();
        self.entries().fold(self.clone(), |catalog, entry| match entry {
            Entry::Job(job) if job.target == stream.name && job.columns.is_empty() => {
                let job = JobDef { columns: columns.clone(), ..(**job).clone() };
                catalog.with(Entry::Job(Arc::new(job)))
            }
            Entry::Trigger(trigger) if trigger.on == stream.name && trigger.columns.is_none() => {
                let trigger = TriggerDef { columns: Some(seen.clone()), ..(**trigger).clone() };
                catalog.with(Entry::Trigger(Arc::new(trigger)))
            }
            _ => catalog,
        })
    }

    /// A trigger that may take the place of another, whose firings it goes on with: it knows the same columns.
    fn in_place_of_former(&self, trigger: &TriggerDef) -> TriggerDef {
        let former = match self.get(&trigger.name) {
            Some(Entry::Trigger(former)) if former.on == trigger.on => former.columns.clone(),
            _ => None,
        };
        TriggerDef { columns: former, ..trigger.clone() }
    }

    /// A group that may take the place of another, whose decisions it goes on with: who carries them out is the same, and it began where
    /// that one did.
    fn in_place_of_group(&self, create: &CreateScalingGroup, parsed: &Parsed) -> Result<GroupDef> {
        let new = &create.definition;
        let Some(Entry::ScalingGroup(former)) = self.get(&new.name).filter(|_| create.or_replace) else {
            return Ok(new.clone());
        };
        let (was, is) = (former.actuator.as_str(), new.actuator.as_str());
        if was != is {
            let message = format!("the decisions of '{}' are carried out by {was}, not by {is}", new.name);
            return Err(SqlError::new(Mistake::Definition, message)
                .at(create.name.position, &parsed.script)
                .hint("an actuator's options can be replaced; for another one DROP SCALING GROUP, and create it anew"));
        }
        Ok(GroupDef { start: former.start, ..new.clone() })
    }

    /// The entries whose jobs are others once an entry is another one: its own, and those of all who compute an alarm or ask a policy.
    pub fn computed_in(&self, entry: &Entry) -> Vec<Entry> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        let mut pending = vec![entry];
        while let Some(next) = pending.pop() {
            if !seen.insert(next.name()) {
                continue;
            }
            if matches!(next, Entry::Alarm(_) | Entry::ScalingPolicy(_)) {
                pending.extend(self.dependents(next.name()));
            }
            if !matches!(next, Entry::ScalingPolicy(_)) {
                found.push(next.clone());
            }
        }
        found
    }

    /// The error for a name that nothing of this kind has.
    pub fn not_a(&self, name: &Name, kind: Kind) -> SqlError {
        match self.get(&name.value) {
            Some(other) => {
                let (found, wanted) = (other.kind().with_article(), kind.with_article());
                SqlError::new(Mistake::UnknownName, format!("'{}' is {found}, not {wanted}", name.value))
            }
            None => {
                let own = self.entries().filter(|entry| entry.kind() == kind).map(Entry::name);
                SqlError::new(Mistake::UnknownName, format!("there is no {kind} '{}'", name.value))
                    .hint_if(did_you_mean(&name.value, own))
            }
        }
    }

    /// The error for a name that nothing has.
    pub fn unknown(&self, name: &Name, what: &str) -> SqlError {
        SqlError::new(Mistake::UnknownName, format!("there is no {what} '{}'", name.value))
            .hint_if(did_you_mean(&name.value, self.names()))
    }
}

fn add_column(stream: &mut StreamDef, field: &Field) -> Result<()> {
    if stream.column_names().contains(field.name()) {
        let message = format!("stream '{}' has a column '{}' already", stream.name, field.name());
        return Err(SqlError::new(Mistake::NameTaken, message));
    }
    if stream.is_changelog() {
        let message = format!("'{}' holds changes, which have no columns added", stream.name);
        return Err(SqlError::new(Mistake::Definition, message).hint("create another stream"));
    }
    if !field.is_nullable() {
        let message =
            format!("a column added to a stream cannot be NOT NULL: its old rows have no '{}'", field.name());
        return Err(SqlError::new(Mistake::Definition, message).hint("leave NOT NULL out"));
    }
    let mut fields: Vec<Arc<Field>> = stream.schema.fields().to_vec();
    fields.push(Arc::new(field.clone()));
    stream.schema = Arc::new(Schema::new(fields));
    Ok(())
}

/// The tables that a query names, as they are written there; names of its own WITH queries included.
pub(crate) fn tables_of(query: &Query) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let _ = visit_relations(&*query.ast, |relation: &ObjectName| {
        names.insert(crate::parse::name_of(relation));
        ControlFlow::<()>::Continue(())
    });
    names
}
