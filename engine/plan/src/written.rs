//! A stream or table as the statement that defines it, from what it is.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field};
use headwater_functions::sql_type;

use crate::definition::{StreamDef, WatermarkDef};
use crate::parse::CHANGE_METADATA;
/// What is said by the definition itself, as options may say it in several ways.
const RETENTION: [&str; 3] = ["retention", "retention.age", "retention.bytes"];

const IDLE: &str = "scan.watermark.idle-timeout";

impl StreamDef {
    /// The statement that defines the same.
    pub fn statement(&self) -> String {
        let kind = if self.connector.is_some() { "TABLE" } else { "STREAM" };
        let name: Vec<_> = self.name.split('.').map(quoted).collect();
        let mut text = format!("CREATE {kind} {}", name.join("."));
        let within = self.within();
        if !within.is_empty() {
            text += &format!(" (\n  {}\n)", within.join(",\n  "));
        }
        if !self.partition_by.is_empty() {
            text += &format!("\nPARTITIONED BY ({})", names(&self.partition_by));
        }
        let options = self.written_options();
        if !options.is_empty() {
            let pairs = options.iter().map(|(key, value)| format!("{} = {}", literal(key), literal(value)));
            text += &format!("\nWITH (\n  {}\n)", pairs.collect::<Vec<_>>().join(",\n  "));
        }
        text
    }

    /// What stands in the parentheses: columns, time, key.
    fn within(&self) -> Vec<String> {
        let schema = self.own_schema();
        let column = |name: String| match self.computed.iter().find(|column| column.name == name) {
            Some(column) => match &column.kind {
                Some(kind) => {
                    let kind = declared(kind);
                    format!("{} {kind} GENERATED ALWAYS AS ({})", quoted(&name), column.text)
                }
                None => format!("{} AS {}", quoted(&name), column.text),
            },
            None => schema.field_with_name(&name).map(|field| self.stored(field)).unwrap_or_default(),
        };
        let mut all: Vec<String> = self.column_names().into_iter().map(column).collect();
        all.extend(self.proctime.iter().map(|name| format!("{} AS PROCTIME()", quoted(name))));
        if let Some(WatermarkDef { column, expr, per }) = &self.watermark {
            let per = if per.is_empty() { String::new() } else { format!(" PER ({})", names(per)) };
            all.push(format!("WATERMARK FOR {} AS {expr}{per}", quoted(column)));
        }
        if !self.primary_key.is_empty() {
            all.push(format!("PRIMARY KEY ({}) NOT ENFORCED", names(&self.primary_key)));
        }
        all
    }

    fn stored(&self, field: &Field) -> String {
        let mut text = field_of(field);
        let handed_on = self.handed_on();
        let handed_on = handed_on.iter().find(|(column, _)| column == field.name()).map(|(_, from)| from);
        if let Some(from) = self.metadata.get(field.name()).or(handed_on) {
            text += &format!(" METADATA FROM {}", literal(from));
            if self.read_only.contains(field.name()) {
                text += " VIRTUAL";
            }
        }
        text
    }

    /// The columns that the format fills from a change's metadata, and the names of that.
    fn handed_on(&self) -> Vec<(String, String)> {
        let pairs = self.options.get(CHANGE_METADATA).map_or("", String::as_str).split(',');
        pairs.filter_map(|pair| pair.split_once('=')).map(|(to, from)| (to.into(), from.into())).collect()
    }

    fn written_options(&self) -> BTreeMap<String, String> {
        let mut options = self.options.clone();
        options.retain(|key, _| !RETENTION.contains(&key.as_str()) && key != CHANGE_METADATA);
        let age = self.retention.age.map(|age| format!("{} ms", age.as_millis()));
        options.extend(age.map(|age| ("retention.age".to_owned(), age)));
        let bytes = self.retention.bytes.map(|bytes| bytes.to_string());
        options.extend(bytes.map(|bytes| ("retention.bytes".to_owned(), bytes)));
        if let Some(idle) = self.idle_timeout.filter(|_| !options.contains_key(IDLE)) {
            options.insert(IDLE.to_owned(), format!("{} ms", idle.as_millis()));
        }
        options
    }
}

fn field_of(field: &Field) -> String {
    let null = if field.is_nullable() { "" } else { " NOT NULL" };
    format!("{} {}{null}", quoted(field.name()), declared(field.data_type()))
}

/// A type as a column is declared with it: with the names and NOT NULL of its fields.
fn declared(kind: &DataType) -> String {
    match kind {
        DataType::List(item) => format!("ARRAY<{}>", declared(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields.iter().map(|field| field_of(field)).collect();
            format!("ROW<{}>", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("MAP<{}, {}>", declared(pair[0].data_type()), declared(pair[1].data_type()))
            }
            _ => sql_type(kind),
        },
        _ => sql_type(kind),
    }
}

fn names(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalog, parse};

    fn made(sql: &str, name: &str) -> StreamDef {
        let catalog = parse(sql).unwrap().iter().fold(Catalog::default(), |catalog, parsed| {
            catalog.apply(parsed).unwrap_or_else(|error| panic!("{error}\n{sql}")).0
        });
        (**catalog.stream(name).unwrap()).clone()
    }

    /// All of a definition, but for the places at which it was written.
    fn told(def: &StreamDef) -> String {
        let mut def = def.clone();
        let computed: Vec<_> =
            def.computed.drain(..).map(|one| (one.name, one.place, one.text, one.kind)).collect();
        def.options.retain(|key, _| !RETENTION.contains(&key.as_str()) && key != IDLE);
        format!("{computed:#?} {def:#?}")
    }

    #[test]
    fn a_statement_that_is_run_again_defines_the_same() {
        for sql in [
            "CREATE STREAM t (a INT)",
            "CREATE STREAM t (\"A b\" STRING NOT NULL, ts TIMESTAMP(3), n AS UPPER(\"A b\"), d DECIMAL(10, 2), \
               k BIGINT GENERATED ALWAYS AS (d * 2), p AS PROCTIME(), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND PER \"A b\") \
               PARTITIONED BY (\"A b\") WITH (shards = 4, retention = '7 days', compression = lz4, 'clock.guard' = none, durability = process)",
            "CREATE STREAM t (a INT UNSIGNED, b TINYINT UNSIGNED, c SMALLINT UNSIGNED, d BIGINT UNSIGNED, e TIME, f BYTES, g FLOAT, \
               h TIMESTAMP_LTZ(6), i ROW<x INT NOT NULL, \"Y\" ARRAY<STRING>>, j MAP<STRING, ROW<z DOUBLE>>, k DECIMAL(50, 3), l INTERVAL)",
            "CREATE STREAM t (id BIGINT, v STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('changelog.mode' = 'upsert')",
            "CREATE TABLE t (id BIGINT PRIMARY KEY NOT ENFORCED, at TIMESTAMP(3) METADATA FROM 'value.source.timestamp' VIRTUAL, v STRING) \
               WITH (connector = 'kafka', topic = 'it''s', 'value.format' = 'debezium-json', 'properties.sasl.password' = 'x')",
            "CREATE TABLE t (v STRING, topic_name STRING METADATA FROM 'topic' VIRTUAL) WITH (connector = 'mqtt', topic = 'a')",
            "CREATE SOURCE t (v STRING) WITH (connector = 'generator')",
            "CREATE TABLE t WITH (connector = 'print')",
            "CREATE STREAM a.b.t (x INT)",
            "CREATE STREAM t (a INT) WITH ('retention.age' = '1 day', 'retention.bytes' = '10 MB'); ALTER STREAM t SET (retention = none); \
               ALTER STREAM t ADD COLUMN b STRING; ALTER STREAM t MODIFY a BIGINT; ALTER STREAM t SET ('clock.guard' = '1 h')",
            "SET 'table.exec.source.idle-timeout' = '30 s'; CREATE STREAM t (ts TIMESTAMP(3), WATERMARK FOR ts AS ts)",
            "CREATE STREAM base (id INT NOT NULL, ms BIGINT, ts AS TO_TIMESTAMP_LTZ(ms, 3), WATERMARK FOR ts AS ts) WITH (shards = 2); \
               CREATE STREAM t (note STRING) WITH (shards = 3) LIKE base",
        ] {
            let name = if sql.contains("a.b.t") { "a.b.t" } else { "t" };
            let def = made(sql, name);
            let again = made(&def.statement(), name);
            assert_eq!(told(&again), told(&def), "{}", def.statement());
            assert_eq!(again.statement(), def.statement());
        }
    }

    #[test]
    fn it_reads_as_somebody_would_write_it() {
        let def = made(
            "CREATE STREAM s (device STRING NOT NULL, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) \
             PARTITIONED BY (device) WITH (shards = 4); ALTER STREAM s ADD COLUMN temp DOUBLE",
            "s",
        );
        let expected = "CREATE STREAM \"s\" (\n  \"device\" STRING NOT NULL,\n  \"ts\" TIMESTAMP(3),\n  \"temp\" DOUBLE,\n  \
            WATERMARK FOR \"ts\" AS ts - INTERVAL '5' SECOND\n)\nPARTITIONED BY (\"device\")\nWITH (\n  'shards' = '4'\n)";
        assert_eq!(def.statement(), expected);
    }
}
