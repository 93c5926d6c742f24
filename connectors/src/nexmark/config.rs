//! The options of the `nexmark` source, which makes up an auction.

use arrow::datatypes::{DataType, Fields, TimeUnit};
use headwater_ingest::{Options, read_timestamp};

use super::events::{Auction, EVENT_TYPE, Shares, Table};
use super::source::Nexmark;
use crate::connector::{Context, Source};
use crate::error::{ConnectorError, Result};
use crate::registry::Connector;

/// The most events of a kind in a round.
const SHARE_MAX: u64 = 1_000_000;

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
    let above_zero = |text: &str| match text.trim().parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("it is a number above 0".to_owned()),
    };
    let events = options.parse::<u64>("events.num")?;
    let per_second = options.parse_with("first-event.rate", above_zero)?.unwrap_or(10_000.0);
    let later = options.parse_with("next-event.rate", above_zero)?.unwrap_or(per_second);
    if later != per_second {
        let why =
            "'next-event.rate' differs from 'first-event.rate': the rate of events does not change here";
        return Err(ConnectorError::refused("make the auction", why));
    }
    let shares = shares(options)?;
    let rate = options.parse_with("rows-per-second", above_zero)?;
    let seed = options.parse("seed")?.unwrap_or(0);
    let start = options.parse_with("start-time", |text| {
        read_timestamp(text).ok_or_else(|| "it is a time such as 2026-01-01T00:00:00Z".to_owned())
    })?;
    match table {
        Some(table) => check(table, context.schema.fields())?,
        None => check_all(context.schema.fields())?,
    }
    let auction = Auction { seed, shares, nanos_per_event: 1e9 / per_second };
    Ok(Box::new(Nexmark::new(context, table, auction, events, rate, start)))
}

/// How many events of each kind there are beside those of the others.
fn shares(options: &mut Options) -> Result<Shares> {
    let usual = Shares::USUAL;
    let shares = Shares {
        people: options.parse("person.proportion")?.unwrap_or(usual.people),
        auctions: options.parse("auction.proportion")?.unwrap_or(usual.auctions),
        bids: options.parse("bid.proportion")?.unwrap_or(usual.bids),
    };
    let counts = [shares.people, shares.auctions, shares.bids];
    // Bids name an auction, and auctions a person.
    if counts[..2].contains(&0) || counts.iter().any(|count| *count > SHARE_MAX) {
        let why = format!(
            "there is at least one person and one auction in a round, and no more than {SHARE_MAX} events of each kind"
        );
        return Err(ConnectorError::refused("make the auction", why));
    }
    Ok(shares)
}

/// Checks the columns of one kind of event.
fn check(table: Table, fields: &Fields) -> Result<()> {
    for field in fields {
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
    Ok(())
}

/// Checks the columns of a table of all events.
fn check_all(fields: &Fields) -> Result<()> {
    let refused = |why: String| Err(ConnectorError::refused("make the auction", why));
    let mut kinds = 0;
    for field in fields {
        match (Table::named(field.name()), field.data_type()) {
            (Some(table), DataType::Struct(parts)) => {
                check(table, parts)?;
                kinds += 1;
            }
            (None, kind) if field.name().eq_ignore_ascii_case(EVENT_TYPE) && *kind != DataType::Int32 => {
                return refused(format!("the column '{}' is {kind}, not INT", field.name()));
            }
            _ => {}
        }
    }
    match kinds {
        0 => refused(
            "it has neither the option 'table' (person, auction or bid) nor columns person, auction and bid, each a ROW"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}
