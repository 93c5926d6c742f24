//! Options to a sink. The table of them is in the module's own page.

use headwater_connectors::{Connector, Context, Result, Sink};
use headwater_ingest::Options;

use super::sink::Writing;
use crate::access::Access;
use crate::message::column_for;

/// The entry of the registry.
pub const CONNECTOR: Connector = Connector {
    name: "dynamodb",
    summary: "writes items of DynamoDB tables",
    source: None,
    sink: Some(sink),
    gateway: None,
};

/// How rows are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// Each row changes its item, if it is newer.
    Update,
    /// Rows replace items, many at a time.
    Batch,
}

/// What a sink's options say.
pub(super) struct SinkOptions {
    pub table: String,
    pub mode: Mode,
    /// Columns whose values are added.
    pub add: Vec<String>,
    pub parallelism: usize,
}

fn sink(context: Context, options: &mut Options) -> Result<Box<dyn Sink>> {
    column_for(&context, "", &[])?;
    let table = options.require("table-name")?;
    let access = Access::take(options, None)?;
    let mode = options.parse_with("sink.mode", |text| match text.trim().to_ascii_lowercase().as_str() {
        "update" => Ok(Mode::Update),
        "batch" => Ok(Mode::Batch),
        _ => Err("it is update or batch".to_owned()),
    })?;
    let mode = mode.unwrap_or(Mode::Update);
    let add = options.parse_with("sink.add", |text| {
        let column = |name: &str| {
            let name = name.trim();
            let field = context.schema.field_with_name(name);
            match field.map(|field| field.data_type()) {
                Ok(kind) if kind.is_numeric() && mode == Mode::Update => Ok(name.to_owned()),
                Ok(kind) if kind.is_numeric() => {
                    Err("sink.mode = 'batch' replaces, and adds nothing".to_owned())
                }
                Ok(kind) => Err(format!("column {name} is {kind}, no number")),
                Err(_) => Err(format!("the table has no column {name}")),
            }
        };
        text.split(',').map(column).collect()
    })?;
    let parallelism = options.parse_with("sink.parallelism", |text| match text.trim().parse::<usize>() {
        Ok(number) if (1..=256).contains(&number) => Ok(number),
        _ => Err("it is a number from 1 to 256".to_owned()),
    })?;
    let options =
        SinkOptions { table, mode, add: add.unwrap_or_default(), parallelism: parallelism.unwrap_or(16) };
    Ok(Box::new(Writing::new(context, access, options)?))
}
