//! What a new entry may refer to: it exists, and is of a kind that the entry can use.

use std::collections::BTreeSet;

use super::{Catalog, Entry};
use crate::error::{Mistake, Result, SqlError};
use crate::statement::{CreateTrigger, Kind, Name, Parsed, Statement};
use crate::trigger::Action;

impl Catalog {
    /// What a new entry refers to must exist; a job's target must be something that takes rows.
    pub(super) fn check_references(&self, entry: &Entry, parsed: &Parsed) -> Result<()> {
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
        let Action::Insert { target, position, .. } = &create.definition.action else { return Ok(()) };
        if self.stream(target).is_some() {
            return Ok(());
        }
        let name = Name { value: target.clone(), position: *position };
        Err(self.unknown(&name, "stream or table").at(*position, &parsed.script))
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
}
