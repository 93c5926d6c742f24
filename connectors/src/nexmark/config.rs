//! The options of the `nexmark` source, which makes up an auction.

use arrow::datatypes::{DataType, TimeUnit};
use headwater_ingest::{Options, read_timestamp};

use super::events::{Auction, Table};
use super::source::Nexmark;
use crate::connector::{Context, Source};
use crate::error::{ConnectorError, Result};
use crate::registry::Connector;

/// The entry of the registry.
pub(crate) const CONNECTOR: Connector = Connector {
    name: "nexmark",
    summary: "events of an online auction, made up",
    source: Some(source),
    sink: None,
    gateway: None,
};

fn source(context: Context, options: &mut Options) -> Result<Box<dyn Source>> {
    let table = options.parse_with("table", |text| {
        Table::named(text.trim()).ok_or_else(|| "it is person, auction or bid".to_owned())
    })?;
    let Some(table) = table else {
        return Err(ConnectorError::refused(
            "make the auction",
            "the option 'table' is missing: person, auction or bid",
        ));
    };
    let above_zero = |text: &str| match text.trim().parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("it is a number above 0".to_owned()),
    };
    let events = options.parse::<u64>("events.num")?;
    let per_second = options.parse_with("first-event.rate", above_zero)?.unwrap_or(10_000.0);
    let rate = options.parse_with("rows-per-second", above_zero)?;
    let seed = options.parse("seed")?.unwrap_or(0);
    let start = options.parse_with("start-time", |text| {
        read_timestamp(text).ok_or_else(|| "it is a time such as 2026-01-01T00:00:00Z".to_owned())
    })?;
    for field in context.schema.fields() {
        let Some(wanted) = table.kind_of(field.name()) else { continue };
        let fits = match wanted {
            "STRING" => *field.data_type() == DataType::Utf8,
            "BIGINT" => *field.data_type() == DataType::Int64,
            _ => *field.data_type() == DataType::Timestamp(TimeUnit::Millisecond, None),
        };
        if !fits {
            let why = format!("the column '{}' is {}, not {wanted}", field.name(), field.data_type());
            return Err(ConnectorError::refused("make the auction", why));
        }
    }
    let auction = Auction { seed, nanos_per_event: 1e9 / per_second };
    Ok(Box::new(Nexmark::new(context, table, auction, events, rate, start)))
}
