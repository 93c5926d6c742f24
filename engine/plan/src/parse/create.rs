//! CREATE.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::sql::sqlparser::tokenizer::Token;
use headwater_core::StreamName;

use super::alarms::read_alarm;
use super::archive::read_archive;
use super::changes::{MODE, take_changes};
use super::columns::{Columns, check_column, read_columns};
use super::computed::must_be_stored;
use super::functions::read_function;
use super::mapreduce::read_mapreduce;
use super::options::{CLOCK_GUARD, Given, apply, read_options};
use super::reader::Reader;
use super::scaling::read_scaling;
use super::statements::read_insert;
use super::trigger::read_trigger;
use crate::definition::{Compression, Durability, JobDef, RetentionDef, StreamDef, ViewDef};
use crate::error::{Mistake, Result, SqlError, did_you_mean};
use crate::user_functions::Functions;
use crate::statement::{CreateJob, CreateStream, CreateView, Name, Statement};

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
    }
    if reader.sees("FUNCTION") {
        return read_function(reader, or_replace);
    }
    let word = reader.peek_word(0);
    if temporary && word.as_deref() != Some("TABLE") {
        return Err(reader.expected("VIEW, TABLE or FUNCTION"));
    }
    if or_replace && !matches!(word.as_deref(), Some("JOB" | "TRIGGER" | "ALARM")) {
        return Err(reader.expected("JOB, FUNCTION, TRIGGER, ALARM, MATERIALIZED VIEW or VIEW"));
    }
    match word.as_deref() {
        Some("STREAM") => read_stream(reader, false),
        Some("TABLE" | "SOURCE") => read_stream(reader, true),
        Some("JOB") => read_job(reader, or_replace),
        Some("ALARM" | "COMPOSITE") => read_alarm(reader, or_replace),
        Some("SCALING") => read_scaling(reader),
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

/// `CREATE STREAM`, `TABLE` or `SOURCE`. A stream with a connector is one that the connector fills, from the beginning.
fn read_stream(reader: &mut Reader, mut of_connector: bool) -> Result<Statement> {
    let mut is_source = reader.peek_word(0).as_deref() == Some("SOURCE");
    reader.next();
    let if_not_exists = if_not_exists(reader);
    let name = new_name(reader, "a name")?;
    let columns = match reader.peek() {
        Token::LParen => read_columns(reader)?,
        _ if of_connector && !is_source => Columns::default(),
        _ => return Err(reader.expected("'(' and columns")),
    };
    let partition_by = read_partition(reader, &columns)?;
    let mut options = if reader.take_words("WITH") { read_options(reader)? } else { Vec::new() };
    read_format(reader, &mut options)?;
    let connector = options.iter().find(|(key, ..)| key.value == "connector");
    if !of_connector && let Some(&(Name { position, .. }, _, at)) = connector {
        (of_connector, is_source) = (true, true);
        if options.iter().all(|(key, ..)| key.value != "type") {
            options.push((Name { value: "type".to_owned(), position }, "source".to_owned(), at));
        }
    }
    let mut definition = new_stream(&name, columns, partition_by);
    if of_connector {
        definition.connector = Some(connector_of(reader, &name, &options, is_source)?);
    }
    apply(&mut definition, &options, reader.script())?;
    take_changes(reader, &name, &mut definition)?;
    if definition.schema.fields().is_empty()
        && definition.options.get("type").is_some_and(|kind| kind == "source")
    {
        return Err(SqlError::new(
            Mistake::Definition,
            format!("the source '{}' has no columns", name.value),
        )
        .at(name.position, reader.script()));
    }
    let create = CreateStream { name, definition, if_not_exists };
    Ok(if of_connector { Statement::CreateTable(create) } else { Statement::CreateStream(create) })
}

fn new_stream(name: &Name, columns: Columns, partition_by: Vec<String>) -> StreamDef {
    StreamDef {
        name: name.value.clone(),
        schema: Arc::new(Schema::new(columns.fields)),
        metadata: columns.metadata,
        read_only: columns.read_only,
        computed: columns.computed,
        functions: Functions::default(),
        clock_guard: columns.watermark.is_some().then_some(CLOCK_GUARD),
        watermark: columns.watermark,
        partition_by,
        primary_key: columns.primary_key,
        proctime: columns.proctime,
        shards: 1,
        retention: RetentionDef::default(),
        durability: Durability::default(),
        compression: Compression::default(),
        idle_timeout: None,
        format: None,
        connector: None,
        options: BTreeMap::new(),
    }
}

fn read_partition(reader: &mut Reader, columns: &Columns) -> Result<Vec<String>> {
    if !reader.take_words("PARTITIONED BY") {
        return Ok(Vec::new());
    }
    let names = reader.columns()?;
    for name in &names {
        must_be_stored(reader, columns, name, "PARTITIONED BY")?;
        check_column(reader, &columns.fields, name)?;
    }
    Ok(names.into_iter().map(|name| name.value).collect())
}

/// RisingWave's `FORMAT PLAIN ENCODE JSON`; with `UPSERT` a record is the newest row of its key, with `DEBEZIUM` a change.
fn read_format(reader: &mut Reader, options: &mut Vec<Given>) -> Result<()> {
    if !reader.take_words("FORMAT") {
        return Ok(());
    }
    let is_upsert = reader.take_words("UPSERT");
    let is_debezium = !is_upsert && reader.take_words("DEBEZIUM");
    if !(is_upsert || is_debezium || reader.take_words("PLAIN")) {
        return Err(reader.expected("PLAIN, UPSERT or DEBEZIUM"));
    }
    reader.expect_words("ENCODE")?;
    if is_debezium && !reader.sees("JSON") {
        return Err(reader.expected("JSON"));
    }
    let name = reader.column()?;
    let given = |key: &str, value: String| {
        let key = Name { value: key.to_owned(), position: name.position };
        (key, value, name.position)
    };
    let format = if is_debezium { "debezium_json".to_owned() } else { name.value.clone() };
    options.push(given("format", format));
    if is_upsert {
        options.push(given(MODE, "upsert".to_owned()));
    }
    Ok(())
}

fn connector_of(reader: &Reader, name: &Name, options: &[Given], is_source: bool) -> Result<String> {
    let find = |wanted: &str| options.iter().find(|(key, ..)| key.value == wanted);
    if let Some((_, value, at)) = find("type") {
        let fits = match value.to_lowercase().as_str() {
            "source" => true,
            "sink" | "lookup" => !is_source,
            _ => false,
        };
        if !fits {
            return Err(SqlError::new(
                Mistake::Option,
                format!("'{value}' is no value for the option 'type'"),
            )
            .at(*at, reader.script())
            .hint(if is_source {
                "source; or CREATE TABLE, which can be a sink"
            } else {
                "source or sink"
            }));
        }
    }
    match find("connector") {
        Some((_, connector, _)) => Ok(connector.clone()),
        None => Err(SqlError::new(Mistake::Option, format!("the table '{}' has no connector", name.value))
            .at(name.position, reader.script())
            .hint(format!(
                "WITH (connector = 'kafka', ...); or CREATE STREAM {} for a stream of the log",
                name.value
            ))),
    }
}

fn read_view(reader: &mut Reader, or_replace: bool) -> Result<CreateView> {
    let if_not_exists = if_not_exists(reader);
    let name = new_name(reader, "a name")?;
    let columns = match reader.peek() {
        Token::LParen => reader.columns()?.into_iter().map(|column| column.value).collect(),
        _ => Vec::new(),
    };
    reader.expect_words("AS")?;
    let query = reader.query()?;
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
