//! SHOW CREATE: the statement that defines something, as it was written, without the secrets in it.

use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use headwater_core::StreamName;
use headwater_plan::statement::{GroupChange, Kind, ShowCreate};
use headwater_plan::{Entry, Parsed, Statement, parse_one, without_secrets};

use super::events::{self, Event};
use super::show::lines;
use super::state::Inner;
use crate::error::{Result, RunError};

/// The statements that made something what it is.
struct Made {
    /// The one that created it.
    created: Parsed,
    /// Those that have altered it since.
    altered: Vec<String>,
}

impl Inner {
    /// `SHOW CREATE TABLE name`. A stream that was altered since it was made, or was made like another, is written anew from what it is.
    pub fn show_create(
        self: &Arc<Self>,
        show: &ShowCreate,
        parsed: &Parsed,
    ) -> Result<SendableRecordBatchStream> {
        let no_statement =
            || RunError::Invalid(format!("no statement made '{}': it is the engine's own", show.name.value));
        if StreamName::new(&show.name.value).is_ok_and(|name| name.is_system()) {
            return Err(no_statement());
        }
        let kind = self.kind_of(show, parsed)?;
        let made = self.made(kind, &show.name.value)?;
        let catalog = self.catalog();
        let text = match (made, catalog.get(&show.name.value)) {
            (None, _) => return Err(no_statement()),
            (Some(made), Some(Entry::Stream(stream) | Entry::Table(stream)))
                if kind.is_some()
                    && (!made.altered.is_empty() || made.created.statement.is_like_another()) =>
            {
                stream.statement()
            }
            (Some(made), _) => [vec![made.created.text], made.altered].concat().join(";\n"),
        };
        lines("statement", std::iter::once(&*without_secrets(&text, headwater_ingest::is_secret)))
    }

    /// The kind of what is meant, if there is such a thing. To Flink's scripts a stream is a table, and what is materialized a view.
    fn kind_of(&self, show: &ShowCreate, parsed: &Parsed) -> Result<Option<Kind>> {
        let (catalog, name) = (self.catalog(), &show.name);
        let wanted = match show.kind {
            None if catalog.functions().get(&name.value).is_some() => return Ok(None),
            None => return Err(catalog.unknown_function(name).at(name.position, &parsed.script).into()),
            Some(wanted) => wanted,
        };
        match (wanted, catalog.get(&name.value).map(Entry::kind)) {
            (Kind::Table, Some(kind @ Kind::Stream)) | (Kind::View, Some(kind @ Kind::MaterializedView)) => {
                Ok(Some(kind))
            }
            (wanted, Some(kind)) if wanted == kind => Ok(Some(kind)),
            (_, found) => {
                let hint = found.map(|kind| format!("SHOW CREATE {} {}", kind.keyword(), name.value));
                let error = catalog.not_a(name, wanted).at(name.position, &parsed.script);
                Err(error.hint_if(hint).into())
            }
        }
    }

    fn made(&self, kind: Option<Kind>, name: &str) -> Result<Option<Made>> {
        let mut made: Option<Made> = None;
        for event in events::read(&*self.log)? {
            let (Event::Statement { text, .. }
            | Event::Replace { replaced: events::Replaced { statement: text, .. }, .. }) = event
            else {
                continue;
            };
            let parsed = parse_one(&text)?;
            match &parsed.statement {
                Statement::AlterStream(alter) if alter.name.value == name && kind.is_some() => {
                    made.iter_mut().for_each(|made| made.altered.push(text.clone()));
                }
                Statement::AlterScalingGroup(alter)
                    if alter.name.value == name
                        && kind.is_some()
                        && matches!(alter.change, GroupChange::Rules { .. }) =>
                {
                    made.iter_mut().for_each(|made| made.altered.push(text.clone()));
                }
                statement => {
                    let is_it = statement
                        .creates()
                        .is_some_and(|(created, of)| of.value == name && created.is_none() == kind.is_none());
                    if is_it {
                        // With what was set for it, which stands before it.
                        let created = Parsed { text, ..parsed };
                        made = Some(Made { created, altered: Vec::new() });
                    }
                }
            }
        }
        Ok(made)
    }
}
