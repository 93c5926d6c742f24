//! The options of the generator.

use std::time::Duration;

use headwater_ingest::Options;

use super::field::FieldPlan;
use super::source::Datagen;
use crate::connector::{Context, Source};
use crate::error::Result;
use crate::registry::Connector;

/// The entry of the registry.
pub(crate) const CONNECTOR: Connector = Connector {
    name: "datagen",
    summary: "makes rows up, at a rate",
    source: Some(source),
    sink: None,
    gateway: None,
};

/// What is to be made.
pub(super) struct Plan {
    pub(super) fields: Vec<FieldPlan>,
    pub(super) seed: u64,
    /// Rows a second; `None` for as fast as can be.
    pub(super) rate: Option<f64>,
    /// How many rows there are, if they end.
    pub(super) rows: Option<u64>,
}

fn source(context: Context, options: &mut Options) -> Result<Box<dyn Source>> {
    let rows = options.parse::<u64>("number-of-rows")?;
    let rate = options.parse_with("rows-per-second", |text| match text.trim().parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("it is a number above 0".to_owned()),
    })?;
    let seed = options.parse("seed")?.unwrap_or(0);
    let interval = Duration::from_secs_f64(1.0 / rate.unwrap_or(10_000.0));
    let fields = context.schema.fields().iter().map(|field| FieldPlan::take(field, interval, options));
    let fields = fields.collect::<Result<Vec<_>>>()?;
    let rate = rate.or(if rows.is_none() { Some(10_000.0) } else { None });
    // The first sequence that runs out is the end.
    let rows = fields.iter().filter_map(FieldPlan::rows).chain(rows).min();
    Ok(Box::new(Datagen::new(context, Plan { fields, seed, rate, rows })))
}
