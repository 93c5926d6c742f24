//! Statements that create something: it gets its name, unless that is taken, and may take the place of another of its kind.

use std::sync::Arc;

use super::{Catalog, Change, Entry};
use crate::error::{Mistake, Result, SqlError};
use crate::job_metrics::JOB_METRICS;
use crate::own_streams::own_streams;
use crate::scaling::{GroupDef, PolicyWhat};
use crate::statement::{CreateScalingGroup, Name, Parsed, Statement};
use crate::trigger::TriggerDef;

/// Something that a statement creates.
pub(super) struct New<'a> {
    name: &'a Name,
    entry: Entry,
    /// `IF NOT EXISTS`
    may_exist: bool,
    /// `OR REPLACE`
    or_replace: bool,
}

impl Catalog {
    /// What a statement creates; `None`: it creates nothing that has a name here.
    pub(super) fn new_entry<'a>(&self, parsed: &'a Parsed) -> Result<Option<New<'a>>> {
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
            _ => return Ok(None),
        };
        let entry = entry.bound(&self.functions);
        Ok(Some(New { name, entry, may_exist, or_replace }))
    }

    /// Gives a new entry its name, if nothing else has it or it may take the place of what has.
    pub(super) fn create(&self, new: New<'_>, parsed: &Parsed) -> Result<(Self, Change)> {
        let New { name, entry, may_exist, or_replace } = new;
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
}
