//! Streams and tables of changes: what makes one, and what follows from that.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use crate::definition::{StreamDef, WEIGHT};
use crate::error::{Mistake, Result, SqlError};
use crate::script::Script;
use crate::statement::Name;

/// The option in which a table says that each of its records is the newest row of its key; Confluent spells it so.
pub(super) const MODE: &str = "changelog.mode";

/// The option that names the columns which the format fills from a change itself, as `column=what,…`.
pub(crate) const CHANGE_METADATA: &str = "debezium-json.metadata";

/// What the format of Debezium knows of a change, besides the row.
const OF_A_CHANGE: [&str; 5] =
    ["ingestion-timestamp", "source.timestamp", "source.database", "source.schema", "source.table"];

/// Gives a stream or table that holds changes its last column, and what its key asks for.
pub(super) fn take_changes(script: &Script, name: &Name, stream: &mut StreamDef) -> Result<()> {
    let wrong = |message: String, hint: &str| {
        let error = SqlError::new(Mistake::Definition, message);
        Err(error.at(name.position, script).hint(hint))
    };
    let upserts = is_upsert(stream);
    if let Some(mode) = stream.options.get(MODE)
        && !upserts
    {
        let hint = "upsert; or leave it out: rows are only ever added, and with format = 'debezium_json' they change";
        return wrong(format!("'{mode}' is no value for the option '{MODE}'"), hint);
    }
    let is_read = stream.options.get("type").is_some_and(|kind| is(kind, &["source", "lookup"]));
    let of_database = stream.is_database() && !stream.primary_key.is_empty() && !is_read;
    if !(upserts || is_debezium(stream) || of_database) || stream.schema.fields().is_empty() {
        return Ok(());
    }
    let key = &stream.primary_key;
    if key.is_empty() && (upserts || stream.connector.is_none()) {
        return wrong(
            format!("'{}' holds changes, and nothing says of which rows", name.value),
            "PRIMARY KEY (...) NOT ENFORCED names the columns by which a row is known",
        );
    }
    if !key.is_empty() && !of_database {
        if stream.partition_by.is_empty() {
            stream.partition_by.clone_from(key);
        }
        if let Some(column) = stream.partition_by.iter().find(|column| !key.contains(column)) {
            let message = format!("'{}' is partitioned by '{column}', which is not in its key", name.value);
            return wrong(
                message,
                "the changes of a row stay in one shard: PARTITIONED BY columns of the PRIMARY KEY",
            );
        }
    }
    let of_key = |field: &Field| key.is_empty() || of_database || key.contains(field.name());
    let fields = stream.schema.fields().iter().map(|field| match of_key(field) {
        true => Arc::clone(field),
        // A row that is deleted may be known by its key alone.
        false => Arc::new(field.as_ref().clone().with_nullable(true)),
    });
    let weight = Arc::new(Field::new(WEIGHT, DataType::Int64, false));
    stream.schema = Arc::new(Schema::new(fields.chain([weight]).collect::<Vec<_>>()));
    if is_debezium(stream) {
        hand_metadata_on(stream);
    }
    if let Some(time) = stream.watermark.as_ref().filter(|time| stream.is_computed(&time.column)) {
        let message = format!("the time '{}' of the changes of '{}' is computed", time.column, name.value);
        return wrong(
            message,
            "declare a column that each change has: TIMESTAMP(3) METADATA FROM 'source.timestamp', or one of the record",
        );
    }
    Ok(())
}

fn is(text: &str, names: &[&str]) -> bool {
    names.contains(&&*text.to_lowercase().replace('-', "_"))
}

fn is_debezium(stream: &StreamDef) -> bool {
    let format = stream.format.as_ref().or_else(|| stream.options.get("value.format"));
    format.is_some_and(|format| is(format, &["debezium_json"]))
}

fn is_upsert(stream: &StreamDef) -> bool {
    stream.options.get(MODE).is_some_and(|mode| is(mode, &["upsert"]))
        || stream.connector.as_ref().is_some_and(|connector| is(connector, &["upsert_kafka"]))
}

/// Columns that the format fills are not the connector's to fill.
fn hand_metadata_on(stream: &mut StreamDef) {
    let of_change = |what: &str| {
        let what = what.strip_prefix("value.").unwrap_or(what);
        OF_A_CHANGE.into_iter().find(|known| *known == what)
    };
    let taken: Vec<(String, &str)> = stream
        .metadata
        .iter()
        .filter_map(|(column, what)| Some((column.clone(), of_change(what)?)))
        .collect();
    if taken.is_empty() {
        return;
    }
    taken.iter().for_each(|(column, _)| drop(stream.metadata.remove(column)));
    let pairs = taken.iter().map(|(column, what)| format!("{column}={what}"));
    stream.options.insert(CHANGE_METADATA.to_owned(), pairs.collect::<Vec<_>>().join(","));
}
