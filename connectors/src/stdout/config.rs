//! What the connector is called, and its options: those of the format, and Flink's `print-identifier`.

use headwater_ingest::{Encoder, Format, Options};

use super::sink::Stdout;
use crate::connector::{Context, Sink};
use crate::error::Result;
use crate::registry::Connector;

/// The entry of the registry.
pub(crate) const CONNECTOR: Connector = Connector {
    name: "stdout",
    summary: "writes rows to standard output",
    source: None,
    sink: Some(sink),
    gateway: None,
};

/// The same under the name that Flink gives it.
pub(crate) const PRINT: Connector = Connector { name: "print", ..CONNECTOR };

fn sink(context: Context, options: &mut Options) -> Result<Box<dyn Sink>> {
    let prefix = options.get("print-identifier").map(|name| format!("{name}> ")).unwrap_or_default();
    let format = context.format.unwrap_or(Format::JsonLines);
    if !format.is_lines() {
        return Err(options.bad("format", format.name(), "standard output takes json, csv or raw").into());
    }
    let encoder = Encoder::new(format, context.schema, &context.format_options)?;
    Ok(Box::new(Stdout::new(encoder, prefix, Box::new(std::io::stdout()))))
}
