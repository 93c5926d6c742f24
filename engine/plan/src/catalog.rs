//! What there is: streams, connector tables, views, jobs, archives and functions, as an immutable value.
//!
//! The catalog is a fold: starting from [`Catalog::default`] and applying the same statements in the same order gives the
//! same catalog. Nothing can be dropped while something else refers to it.

mod alter;
mod create;
mod modify;
mod references;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::ast::ObjectName;
use rpds::RedBlackTreeMapSync;

use crate::decision::AlarmDef;
use crate::definition::{ArchiveDef, JobDef, MapReduceDef, StreamDef, ViewDef};
use crate::error::{Mistake, Result, SqlError, did_you_mean, did_you_mean_relation};
use crate::scaling::{GroupDef, PolicyDef};
use crate::statement::{Kind, Name, Parsed, Query, Statement};
use crate::trigger::TriggerDef;
use crate::user_functions::Functions;
use crate::walk::relations;

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

    /// Whether a job reads streams for it, step by step.
    pub fn has_job(&self) -> bool {
        matches!(
            self,
            Self::Job(_)
                | Self::MaterializedView(_)
                | Self::Trigger(_)
                | Self::Alarm(_)
                | Self::ScalingGroup(_)
        )
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
        match &parsed.statement {
            Statement::CreateFunction(create) => self.create_function(create, parsed),
            Statement::DropFunction(drop) => self.drop_function(drop, parsed),
            Statement::Drop(drop) => self.drop_entry(drop, parsed),
            Statement::AlterStream(alter) => self.alter(alter, parsed),
            Statement::AlterScalingGroup(alter) => self.alter_group(alter, parsed),
            _ => match self.new_entry(parsed)? {
                Some(new) => self.create(new, parsed),
                None => Ok((self.clone(), Change::Unchanged("the statement defines nothing".to_owned()))),
            },
        }
    }

    fn with(&self, entry: Entry) -> Self {
        let entries = self.entries.insert(entry.name().to_owned(), entry);
        Self { entries, functions: self.functions.clone() }
    }

    fn without(&self, name: &str) -> Self {
        Self { entries: self.entries.remove(name), functions: self.functions.clone() }
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

    /// The error for a name that nothing has, or nothing that would do.
    pub fn unknown(&self, name: &Name, what: &str) -> SqlError {
        if let Some(other) = self.get(&name.value) {
            let found = other.kind().with_article();
            return SqlError::new(Mistake::UnknownName, format!("'{}' is {found}, not a {what}", name.value));
        }
        SqlError::new(Mistake::UnknownName, format!("there is no {what} '{}'", name.value))
            .hint_if(did_you_mean_relation(&name.value, self.names().collect::<Vec<_>>()))
    }
}

/// The tables that a query names, as they are written there; names of its own WITH queries included.
pub(crate) fn tables_of(query: &Query) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let _ = relations(&*query.ast, |relation: &ObjectName| {
        names.insert(crate::parse::name_of(relation));
        ControlFlow::<()>::Continue(())
    });
    names
}
