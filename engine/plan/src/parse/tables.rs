//! CREATE STREAM and CREATE TABLE: a draft, which may still be like another table, and the definition that it becomes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::changes::{MODE, take_changes};
use super::columns::{Columns, Written, check_column, read_columns};
use super::computed::must_be_stored;
use super::create::{if_not_exists, new_name};
use super::foreign::refuse_buckets;
use super::like::read_like;
use super::options::{CLOCK_GUARD, Given, apply, read_options};
use super::reader::Reader;
use super::together::read_table_as;
use crate::definition::{Compression, Durability, RetentionDef, StreamDef};
use crate::error::{Mistake, Result, SqlError};
use crate::script::Script;
use crate::statement::{CreateStream, Name, Statement};
use crate::user_functions::Functions;

/// A stream or table as it was written.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) name: Name,
    pub(super) written: Written,
    pub(super) partition_by: Vec<Name>,
    pub(super) options: Vec<Given>,
    /// Whether it is a TABLE, which a connector reads or writes.
    pub(super) of_connector: bool,
    /// Whether it is a SOURCE, which is read only.
    pub(super) is_source: bool,
    pub(super) script: Script,
}

/// `CREATE STREAM`, `TABLE` or `SOURCE`, from that word on. A stream with a connector is one that the connector fills, from the beginning.
pub(super) fn read_table(reader: &mut Reader) -> Result<Statement> {
    let start = reader.position();
    let kind = reader.peek_word(0).unwrap_or_default();
    let (of_connector, is_source) = (kind != "STREAM", kind == "SOURCE");
    reader.next();
    let if_not_exists = if_not_exists(reader);
    let name = new_name(reader, "a name")?;
    let written = match reader.peek() {
        Token::LParen => Some(read_columns(reader)?),
        _ => None,
    };
    if reader.take_words("COMMENT") {
        reader.string("a comment")?;
    }
    refuse_buckets(reader)?;
    let has_columns = written.is_some();
    let partition_by = if reader.take_words("PARTITIONED BY") { reader.columns()? } else { Vec::new() };
    let mut options = if reader.take_words("WITH") { read_options(reader)? } else { Vec::new() };
    read_format(reader, &mut options)?;
    let is_like = reader.sees("LIKE");
    if !has_columns && !is_like && (is_source || !of_connector) {
        return Err(reader.expected("'(' and columns"));
    }
    let written = written.unwrap_or_default();
    let script = reader.script().clone();
    let draft = Draft { name: name.clone(), written, partition_by, options, of_connector, is_source, script };
    if is_like {
        let (definition, like) = read_like(reader, draft)?;
        let create = CreateStream { name, definition, if_not_exists, like: Some(Box::new(like)) };
        return Ok(if of_connector {
            Statement::CreateTable(create)
        } else {
            Statement::CreateStream(create)
        });
    }
    let (definition, is_table) = draft.build()?;
    let create = CreateStream { name, definition, if_not_exists, like: None };
    match is_table {
        true if reader.sees("AS") => read_table_as(reader, create, start),
        true => Ok(Statement::CreateTable(create)),
        false => Ok(Statement::CreateStream(create)),
    }
}

impl Draft {
    /// What it defines, and whether that is a table of a connector.
    pub(super) fn build(self) -> Result<(StreamDef, bool)> {
        let Self { name, written, partition_by, mut options, mut of_connector, mut is_source, script } = self;
        let mut columns = written.finish(&script)?;
        let written_names = std::mem::take(&mut columns.written_names);
        for name in &partition_by {
            must_be_stored(&script, &columns, name, "PARTITIONED BY")?;
            check_column(&script, &columns.fields, name)?;
        }
        let partition_by = partition_by.into_iter().map(|name| name.value).collect();
        let connector = options.iter().find(|(key, ..)| key.value == "connector");
        if !of_connector && let Some(&(Name { position, .. }, _, at)) = connector {
            (of_connector, is_source) = (true, true);
            if options.iter().all(|(key, ..)| key.value != "type") {
                options.push((Name { value: "type".to_owned(), position }, "source".to_owned(), at));
            }
        }
        let mut definition = new_stream(&name, columns, partition_by);
        if of_connector {
            definition.connector = Some(connector_of(&script, &name, &options, is_source)?);
        }
        apply(&mut definition, &options, &script)?;
        definition.keep_names(written_names);
        take_changes(&script, &name, &mut definition)?;
        if definition.schema.fields().is_empty()
            && definition.options.get("type").is_some_and(|kind| kind == "source")
        {
            let message = format!("the source '{}' has no columns", name.value);
            return Err(SqlError::new(Mistake::Definition, message).at(name.position, &script));
        }
        Ok((definition, of_connector))
    }

    /// What is known of it before it is known what it is like: its name.
    pub(super) fn unfinished(&self) -> StreamDef {
        new_stream(&self.name, Columns::default(), Vec::new())
    }
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

fn connector_of(script: &Script, name: &Name, options: &[Given], is_source: bool) -> Result<String> {
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
            .at(*at, script)
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
            .at(name.position, script)
            .hint(format!(
                "WITH (connector = 'kafka', ...); or CREATE STREAM {} for a stream of the log",
                name.value
            ))),
    }
}
