//! Rows that belong together, written as a whole.
//!
//! ```text
//!  rows of a delivery    w=1 w=1 w=1 | w=2 w=2 | w=3
//!  transactions          '---------'   '-----'   '-'      one after the other
//! ```
//!
//! Each update in a transaction has the condition that it would have alone. So when a transaction comes again of which nobody knows
//! whether it was done, all its conditions fail, and that is how it is known.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use bytes::Bytes;
use headwater_connectors::{ConnectorError, Result};

use super::change::{CONDITION, Change};
use super::sink::Row;
use crate::access::{failed, is_passing};

/// How many items a transaction changes at most, by the service's limit.
pub(super) const ITEMS_MAX: usize = 100;

/// Why an item kept a transaction from being done.
const CONDITION_FAILED: &str = "ConditionalCheckFailed";

/// Reasons that pass.
const PASSING: [&str; 3] = ["TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"];

/// What became of a transaction.
pub(super) enum Outcome {
    /// It is done, now or before.
    Done,
    /// These items have seen their rows already, and the others have not: somebody else has changed items meanwhile.
    Seen(Vec<usize>),
    /// Something was in the way for a moment.
    Busy(ConnectorError),
    /// It never will be.
    Unfit(ConnectorError),
}

/// The rows of each transaction: those that follow each other with the same value of what they belong together by. Of the rows of one
/// item in it the last counts, as it replaces the others.
pub(super) fn runs(rows: Vec<(Bytes, String, Row)>) -> Vec<Vec<Row>> {
    let mut runs: Vec<(String, HashMap<Bytes, usize>, Vec<Row>)> = Vec::new();
    for (item, by, row) in rows {
        if runs.last().is_none_or(|(of, _, _)| *of != by) {
            runs.push((by, HashMap::new(), Vec::new()));
        }
        let Some((_, places, run)) = runs.last_mut() else { continue };
        match places.get(&item) {
            Some(at) => run[*at] = row,
            None => {
                places.insert(item, run.len());
                run.push(row);
            }
        }
    }
    runs.into_iter().map(|(_, _, run)| run).collect()
}

/// Writes rows as a whole. `offset` names the attribute in which an item remembers the row.
pub(super) async fn write(
    client: &Client,
    table: &str,
    what: &str,
    rows: &[Row],
    offset: impl Fn(&Row) -> String,
) -> Result<Outcome> {
    let update = |row: &Row| {
        let change = Change::of(&row.item, offset(row), row.delivered.sequence, &[]);
        let update = Update::builder()
            .table_name(table)
            .set_key(Some(row.item.key.clone()))
            .update_expression(change.expression)
            .condition_expression(CONDITION)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values))
            .build();
        let update = update.map_err(|error| ConnectorError::refused(what, error))?;
        Ok(TransactWriteItem::builder().update(update).build())
    };
    let items = rows.iter().map(update).collect::<Result<Vec<_>>>()?;
    match client.transact_write_items().set_transact_items(Some(items)).send().await {
        Ok(_) => Ok(Outcome::Done),
        Err(error) => judge(what, rows.len(), &error),
    }
}

fn judge(what: &str, rows: usize, error: &SdkError<TransactWriteItemsError>) -> Result<Outcome> {
    let told = failed(what, error);
    let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error()
    else {
        let code = error.as_service_error().and_then(|error| error.code());
        return match code {
            Some(code) if is_passing(code) => Ok(Outcome::Busy(told)),
            Some("TransactionInProgressException") => Ok(Outcome::Busy(told)),
            Some("ValidationException") => Ok(Outcome::Unfit(told)),
            _ => Err(told),
        };
    };
    let codes: Vec<&str> =
        canceled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or("None")).collect();
    let seen: Vec<usize> = (0..codes.len()).filter(|at| codes[*at] == CONDITION_FAILED).collect();
    let others = codes.iter().find(|code| ![CONDITION_FAILED, "None"].contains(code));
    match others {
        Some(code) if PASSING.contains(code) => Ok(Outcome::Busy(told)),
        Some(_) => Ok(Outcome::Unfit(told)),
        None if seen.len() == rows => Ok(Outcome::Done),
        None if seen.is_empty() => Ok(Outcome::Busy(told)),
        None => Ok(Outcome::Seen(seen)),
    }
}
