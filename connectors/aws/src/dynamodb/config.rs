//! Options to a sink. The table of them is in the module's own page.

use headwater_connectors::{Connector, Context, Result, Sink};
use headwater_ingest::Options;

use super::sink::Writing;
use crate::access::Access;
use crate::message::{KeyColumns, column_for};

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
    /// As `Update`, and rows that belong together change their items all at once.
    Transaction,
}

/// What a sink's options say.
pub(super) struct SinkOptions {
    pub table: String,
    pub mode: Mode,
    /// Columns whose values are added.
    pub add: Vec<String>,
    /// The columns by whose values rows belong together.
    pub together: Option<KeyColumns>,
    pub parallelism: usize,
}

fn sink(context: Context, options: &mut Options) -> Result<Box<dyn Sink>> {
    column_for(&context, "", &[])?;
    let table = options.require("table-name")?;
    let access = Access::take(options, None)?;
    let mode = options.parse_with("sink.mode", |text| match text.trim().to_ascii_lowercase().as_str() {
        "update" => Ok(Mode::Update),
        "batch" => Ok(Mode::Batch),
        "transaction" => Ok(Mode::Transaction),
        _ => Err("it is update, batch or transaction".to_owned()),
    })?;
    let mode = mode.unwrap_or(Mode::Update);
    let add = options.parse_with("sink.add", |text| {
        let column = |name: &str| {
            let name = name.trim();
            let field = context.schema.field_with_name(name);
            match field.map(|field| field.data_type()) {
                Ok(kind) if kind.is_numeric() && mode == Mode::Update => Ok(name.to_owned()),
                Ok(kind) if kind.is_numeric() => Err("only sink.mode = 'update' adds".to_owned()),
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
    let together =
        options.parse_with("sink.transaction-by", |names| KeyColumns::find(&context.schema, names, "|"))?;
    if together.is_some() != (mode == Mode::Transaction) {
        let reason =
            "it and sink.mode = 'transaction' go together: rows with the same value are written whole";
        return Err(options.bad("sink.transaction-by", "", reason).into());
    }
    let options = SinkOptions {
        table,
        mode,
        add: add.unwrap_or_default(),
        together,
        parallelism: parallelism.unwrap_or(16),
    };
    Ok(Box::new(Writing::new(context, access, options)?))
}
