//! Statements that change what is there, or drop it.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};

use super::modify::modify_column;
use super::{Catalog, Change, Entry};
use crate::definition::{JobDef, StreamDef};
use crate::error::{Mistake, Result, SqlError};
use crate::parse::{fills_others, named_columns};
use crate::scaling::GroupDef;
use crate::statement::{AlterScalingGroup, AlterStream, Drop, GroupChange, Kind, Parsed, StreamChange};
use crate::trigger::TriggerDef;

impl Catalog {
    pub(super) fn drop_entry(&self, drop: &Drop, parsed: &Parsed) -> Result<(Self, Change)> {
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

    pub(super) fn alter(&self, alter: &AlterStream, parsed: &Parsed) -> Result<(Self, Change)> {
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
            StreamChange::AddColumn(field, names) => {
                add_column(&mut to, field).map_err(place)?;
                to.keep_names(names.clone());
            }
            StreamChange::ModifyColumns(columns, names) => {
                for column in columns {
                    modify_column(&mut to, column)
                        .map_err(|error| error.at(column.name.position, &parsed.script))?;
                }
                if to.schema == from.schema {
                    let is_so = format!("the columns of {} are of these types", from.name);
                    return Ok((self.clone(), Change::Unchanged(is_so)));
                }
                to.keep_names(names.clone());
            }
            StreamChange::SetOptions(options) => {
                crate::parse::set_options(&mut to, options, &parsed.script)?;
            }
        }
        let to = Arc::new(to);
        let has_more = to.schema.fields().len() > from.schema.fields().len();
        let before = if has_more { self.with_named_columns(&from) } else { self.clone() };
        Ok((before.with(Entry::Stream(Arc::clone(&to))), Change::Altered { from, to }))
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
        let own = stream.own_schema();
        let columns: Vec<&str> = own.fields().iter().map(|field| field.name().as_str()).collect();
        let seen = stream.column_names();
        self.entries().fold(self.clone(), |catalog, entry| match entry {
            Entry::Job(job) if job.target == stream.name && fills_others(&job.columns) => {
                let job = JobDef { columns: named_columns(&columns, &job.columns), ..(**job).clone() };
                catalog.with(Entry::Job(Arc::new(job)))
            }
            Entry::Trigger(trigger) if trigger.on == stream.name && trigger.columns.is_none() => {
                let trigger = TriggerDef { columns: Some(seen.clone()), ..(**trigger).clone() };
                catalog.with(Entry::Trigger(Arc::new(trigger)))
            }
            _ => catalog,
        })
    }

    /// Changes the rules of a scaling group. Its size is a decision, and not in the catalog.
    pub(super) fn alter_group(&self, alter: &AlterScalingGroup, parsed: &Parsed) -> Result<(Self, Change)> {
        let AlterScalingGroup { name, change } = alter;
        let GroupChange::Rules { cooldown, warmup } = change else {
            return Ok((self.clone(), Change::Unchanged("a size is the group's decision".to_owned())));
        };
        let Some(Entry::ScalingGroup(former)) = self.get(&name.value) else {
            return Err(self.not_a(name, Kind::ScalingGroup).at(name.position, &parsed.script));
        };
        let (cooldown, warmup) = (cooldown.unwrap_or(former.cooldown), warmup.or(former.warmup));
        let entry = Entry::ScalingGroup(Arc::new(GroupDef { cooldown, warmup, ..(**former).clone() }));
        Ok((self.with(entry.clone()), Change::Replaced(entry)))
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
