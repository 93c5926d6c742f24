//! INSERT INTO as a job, and statements that are done together.
//!
//! An INSERT INTO that reads what has no end would insert next to nothing if it ran once: its sources have only just begun. So it is a
//! job, as it is in Flink, with a name that is made up and told. So are all of a statement set, and CREATE TABLE AS. Each is a job by
//! itself; they begin at the first row of what they read, and one scan serves those that are at the same place.

use std::sync::Arc;

use headwater_plan::statement::{CreateJob, Insert, Kind, Name, Together};
use headwater_plan::{Catalog, Entry, JobDef, Parsed, Statement, Target, parse_one};

use super::connect::inputs_of;
use super::define::{Defined, check_new};
use super::state::Inner;
use crate::error::{Result, RunError};
use crate::options::Role;

impl Inner {
    /// Whether an INSERT INTO goes on for ever. Lets the sources begin that it reads.
    pub async fn goes_on(self: &Arc<Self>, insert: &Insert) -> Result<bool> {
        let catalog = self.catalog();
        let inputs = inputs_of(&catalog, &insert.query);
        let is_read = |name: &String| {
            let entry = catalog.get(name);
            matches!(entry, Some(Entry::Stream(_) | Entry::Table(_) | Entry::MaterializedView(_)))
        };
        if let Some(goes_on) = insert.settings.goes_on {
            return Ok(goes_on && inputs.iter().any(is_read));
        }
        let is_table = |name: &String| matches!(catalog.get(name), Some(Entry::Table(_)));
        let target = catalog.stream(&insert.target.value);
        let (Some(target), true) = (target, inputs.iter().any(is_table)) else { return Ok(false) };
        let columns: Vec<String> = insert.columns.iter().map(|column| column.value.clone()).collect();
        let into = Target::Stream(target, &columns);
        if self.planner.stream(&catalog, &self.tables(), &insert.query, into).is_err()
            && self.planner.insert(&catalog, &self.tables(), insert, target).is_err()
        {
            // Whoever runs it says what is wrong, before anything is read.
            return Ok(false);
        }
        self.read_from(inputs.clone()).await?;
        let state = self.state.lock();
        Ok(inputs.iter().any(|name| {
            let is_source = state.roles.get(name) == Some(&Role::Source);
            is_source && state.connectors.get(name).is_some_and(|running| !running.is_bounded())
        }))
    }

    /// What somebody is told whose INSERT INTO has been done once, although rows may follow in what it read.
    pub fn done_once(&self, insert: &Insert) -> Option<String> {
        if insert.settings.goes_on.is_some() {
            return None;
        }
        let catalog = self.catalog();
        let goes_on = |name: &String| match catalog.get(name) {
            Some(Entry::Stream(_) | Entry::MaterializedView(_)) => Some(name.clone()),
            _ => None,
        };
        let name = inputs_of(&catalog, &insert.query).iter().find_map(goes_on)?;
        Some(format!(
            "done once, over the rows of {name} so far; to go on with those that follow: SET 'execution.runtime-mode' = 'streaming' \
             before it, or CREATE JOB name AS INSERT INTO {} ...",
            insert.target.value
        ))
    }

    /// Makes a job of an INSERT INTO.
    pub async fn insert_on(self: &Arc<Self>, insert: &Insert, parsed: &Parsed) -> Result<Defined> {
        let job = as_job(&self.catalog(), insert, parsed);
        let note = note_of(&job);
        let mut defined = self.define(job).await?;
        defined.notes.insert(0, note);
        Ok(defined)
    }

    /// Does all of some statements, or nothing. Blocks; `defining` must be held.
    pub fn do_together(self: &Arc<Self>, together: &Together) -> Result<Defined> {
        let mut made = Vec::new();
        let done = self.make(together, &mut made);
        if done.is_err() {
            made.into_iter().rev().for_each(|(kind, name)| self.unmake(kind, &name));
        }
        let tag = if together.table.is_some() { "CREATE TABLE" } else { "STATEMENT SET" };
        Ok(Defined { tag: tag.to_owned(), notes: done? })
    }

    fn make(self: &Arc<Self>, together: &Together, made: &mut Vec<(Kind, String)>) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        if let Some(table) = &together.table {
            let before = self.catalog();
            check_new(table)?;
            notes.extend(self.define_with(table, Vec::new())?.notes);
            let after = self.catalog();
            let new = after.entries().find(|entry| before.get(entry.name()).is_none());
            match new {
                Some(entry) => made.push((entry.kind(), entry.name().to_owned())),
                // IF NOT EXISTS, and it does.
                None => return Ok(notes),
            }
        }
        let inserts = || {
            together.inserts.iter().filter_map(|parsed| match &parsed.statement {
                Statement::Insert(insert) => Some((insert, parsed)),
                _ => None,
            })
        };
        // Mistakes are told before there is any of them.
        let mut after = self.catalog();
        for (insert, parsed) in inserts() {
            let job = as_job(&after, insert, parsed);
            check_new(&job)?;
            after = after.apply(&job)?.0;
            self.planner.check(&after, &self.tables(), &job)?;
        }
        for (insert, parsed) in inserts() {
            let job = as_job(&self.catalog(), insert, parsed);
            let name = job_name(&job).to_owned();
            let defined = self.define_with(&job, Vec::new());
            if self.catalog().job(&name).is_some() {
                made.push((Kind::Job, name));
            }
            notes.push(note_of(&job));
            notes.extend(defined?.notes);
        }
        Ok(notes)
    }

    fn unmake(self: &Arc<Self>, kind: Kind, name: &str) {
        // Dropped, a connector stops.
        drop(self.state.lock().connectors.remove(name));
        let text = format!("DROP {} \"{}\"", kind.keyword(), name.replace('.', "\".\""));
        let dropped =
            parse_one(&text).map_err(RunError::from).and_then(|drop| self.define_with(&drop, Vec::new()));
        if let Err(error) = dropped {
            tracing::warn!(name, code = %error.code(), %error, "what was made with a statement that failed stays");
        }
    }
}

/// An INSERT INTO as a job of a name that nothing has.
fn as_job(catalog: &Catalog, insert: &Insert, parsed: &Parsed) -> Parsed {
    let name = free_name(catalog, insert);
    let definition = JobDef {
        name: name.clone(),
        target: insert.target.value.clone(),
        columns: insert.columns.iter().map(|column| column.value.clone()).collect(),
        query: insert.query.clone(),
    };
    let job = CreateJob {
        name: Name { value: name.clone(), position: parsed.position },
        target: insert.target.clone(),
        definition,
        or_replace: false,
        if_not_exists: false,
    };
    Parsed { statement: Statement::CreateJob(job), text: insert.as_job(&name), ..parsed.clone() }
}

/// What the script calls it, or `insert_into_` and the target; with a number behind it, if that is taken.
fn free_name(catalog: &Catalog, insert: &Insert) -> String {
    let fit = |text: &str| -> String {
        let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        text.trim().chars().map(fits).take(80).collect()
    };
    let named = insert.settings.name.as_deref().map(fit).filter(|name| !name.is_empty());
    let starts_well = |name: &String| name.starts_with(|c: char| c.is_ascii_alphabetic());
    let first = match named {
        Some(name) if starts_well(&name) => name,
        Some(name) => format!("job_{name}"),
        None => format!("insert_into_{}", fit(&insert.target.value)),
    };
    let numbered = (2_u64..).map(|nth| format!("{first}_{nth}"));
    let mut names = std::iter::once(first.clone()).chain(numbered);
    names.find(|name| catalog.get(name).is_none()).unwrap_or(first)
}

fn job_name(job: &Parsed) -> &str {
    match &job.statement {
        Statement::CreateJob(job) => &job.name.value,
        _ => "",
    }
}

fn note_of(job: &Parsed) -> String {
    let name = job_name(job);
    match &job.statement {
        Statement::CreateJob(job) => {
            format!("INSERT INTO {} goes on as job {name}; DROP JOB {name} ends it", job.target.value)
        }
        _ => String::new(),
    }
}
