//! Reads the statements that begin with CREATE.

use datafusion::sql::sqlparser::tokenizer::Token;
use headwater_core::StreamName;

use super::alarms::read_alarm;
use super::archive::read_archive;
use super::functions::read_function;
use super::mapreduce::read_mapreduce;
use super::options::read_options;
use super::reader::Reader;
use super::scaling::read_scaling;
use super::statements::read_insert;
use super::tables::read_table;
use super::trigger::read_trigger;
use crate::definition::{JobDef, ViewDef};
use crate::error::{Mistake, Result, SqlError, did_you_mean};
use crate::statement::{CreateJob, CreateView, Name, Statement};

const KINDS: [&str; 14] = [
    "STREAM",
    "TABLE",
    "SOURCE",
    "VIEW",
    "MATERIALIZED VIEW",
    "JOB",
    "FUNCTION",
    "MAPREDUCE JOB",
    "TRIGGER",
    "ALARM",
    "COMPOSITE ALARM",
    "SCALING POLICY",
    "SCALING GROUP",
    "ARCHIVE",
];

pub(super) fn read_create(reader: &mut Reader) -> Result<Statement> {
    reader.expect_words("CREATE")?;
    let or_replace = reader.take_words("OR REPLACE");
    read_new(reader, or_replace)
}

/// What scripts of Flink's say before their tables, behind `CREATE DATABASE`.
fn read_database(reader: &mut Reader) -> Result<Statement> {
    reader.take_words("IF NOT EXISTS");
    let name = reader.name("a database")?;
    if reader.take_words("COMMENT") {
        reader.string("a comment")?;
    }
    if reader.take_words("WITH") {
        read_options(reader)?;
    }
    let why = "there is one catalog here, and a name is what stands there, with dots or without";
    Ok(Statement::PassedOver(format!("'{}' is passed over: {why}", name.value)))
}

/// What follows on `CREATE [OR REPLACE]`.
pub(super) fn read_new(reader: &mut Reader, or_replace: bool) -> Result<Statement> {
    // There are no sessions whose end anything could be gone with.
    let temporary = reader.take_words("TEMPORARY") || reader.take_words("TEMP");
    if reader.take_words("MATERIALIZED VIEW") {
        return Ok(Statement::CreateMaterializedView(read_view(reader, or_replace)?));
    }
    if reader.take_words("VIEW") {
        return Ok(Statement::CreateView(read_view(reader, or_replace)?));
    }
    if temporary {
        reader.take_words("SYSTEM");
    } else if reader.take_words("DATABASE") {
        return read_database(reader);
    }
    if reader.sees("FUNCTION") {
        return read_function(reader, or_replace);
    }
    let word = reader.peek_word(0);
    if temporary && word.as_deref() != Some("TABLE") {
        return Err(reader.expected("VIEW, TABLE or FUNCTION"));
    }
    if or_replace && !matches!(word.as_deref(), Some("JOB" | "TRIGGER" | "ALARM" | "COMPOSITE" | "SCALING")) {
        return Err(reader.expected(
            "JOB, FUNCTION, TRIGGER, ALARM, SCALING POLICY, SCALING GROUP, MATERIALIZED VIEW or VIEW",
        ));
    }
    match word.as_deref() {
        Some("STREAM" | "TABLE" | "SOURCE") => read_table(reader),
        Some("JOB") => read_job(reader, or_replace),
        Some("ALARM" | "COMPOSITE") => read_alarm(reader, or_replace),
        Some("SCALING") => read_scaling(reader, or_replace),
        Some("ARCHIVE") => read_archive(reader),
        Some("MAPREDUCE") => read_mapreduce(reader),
        Some("TRIGGER") => read_trigger(reader, or_replace),
        Some("SINK") => Err(SqlError::new(Mistake::Syntax, "there is no CREATE SINK")
            .at(reader.position(), reader.script())
            .hint("CREATE TABLE name WITH (connector = ...), then CREATE JOB ... AS INSERT INTO name SELECT ...")),
        Some("EXTERNAL") => Err(SqlError::new(Mistake::Syntax, "there is no CREATE EXTERNAL TABLE")
            .at(reader.position(), reader.script())
            .hint("CREATE TABLE name (...) WITH (connector = 'filesystem', path = ..., format = ...)")),
        word => {
            let near = did_you_mean(word.unwrap_or_default(), KINDS);
            Err(reader.expected(&format!("one of {}", KINDS.join(", "))).hint_if(near))
        }
    }
}

pub(super) fn if_not_exists(reader: &mut Reader) -> bool {
    reader.take_words("IF NOT EXISTS")
}

/// A name that something new can have.
pub(super) fn new_name(reader: &mut Reader, what: &str) -> Result<Name> {
    let name = reader.name(what)?;
    let refused = match StreamName::new(&name.value) {
        Ok(fits) if fits.is_system() => Some("names under 'system.' are the engine's own".to_owned()),
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    };
    match refused {
        Some(why) => Err(SqlError::new(Mistake::Definition, why).at(name.position, reader.script())),
        None => Ok(name),
    }
}

fn read_view(reader: &mut Reader, or_replace: bool) -> Result<CreateView> {
    let if_not_exists = if_not_exists(reader);
    let name = new_name(reader, "a name")?;
    let columns = match reader.peek() {
        Token::LParen => reader.columns()?.into_iter().map(|column| column.value).collect(),
        _ => Vec::new(),
    };
    if reader.take_words("COMMENT") {
        reader.string("a comment")?;
    }
    reader.expect_words("AS")?;
    let query = reader.query()?;
    query.check_begins_early("a view")?;
    let definition = ViewDef { name: name.value.clone(), columns, query };
    Ok(CreateView { name, definition, or_replace, if_not_exists })
}

fn read_job(reader: &mut Reader, or_replace: bool) -> Result<Statement> {
    reader.expect_words("JOB")?;
    let if_not_exists = if_not_exists(reader);
    let name = new_name(reader, "a name")?;
    reader.expect_words("AS")?;
    if !reader.sees("INSERT") {
        return Err(reader.expected("INSERT INTO").hint(format!(
            "a job writes into a stream: CREATE JOB {0} AS INSERT INTO ... SELECT ...; \
             for a result to look at, CREATE MATERIALIZED VIEW {0} AS SELECT ...",
            name.value
        )));
    }
    let insert = read_insert(reader)?;
    let definition = JobDef {
        name: name.value.clone(),
        target: insert.target.value.clone(),
        columns: insert.columns.into_iter().map(|column| column.value).collect(),
        query: insert.query,
    };
    let target = insert.target;
    Ok(Statement::CreateJob(CreateJob { name, target, definition, or_replace, if_not_exists }))
}
