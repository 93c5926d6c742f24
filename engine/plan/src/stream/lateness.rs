//! `ALLOW LATENESS`: for how long rows that come too late are taken.
//!
//! Windows, and joins by time, take them. What is made of such rows is changed by them, or waits for them if it is only said once. Whatever
//! else calls rows late by itself refuses the clause, and so does a query in which no row is ever late.

use datafusion::common::Result;

use super::flow::Flow;
use super::lower::Lower;
use crate::error::{Mistake, SqlError, refused};

impl Lower<'_> {
    /// For how many nanoseconds rows are taken that come too late.
    pub(super) fn lateness(&self) -> i64 {
        self.options.lateness.unwrap_or(0)
    }

    /// By how much later than their ends say the rows of a flow may come. Of rows that change the ends say it themselves.
    pub(super) fn lateness_of(&self, flow: &Flow) -> i64 {
        if flow.is_append_only() { self.lateness() } else { 0 }
    }

    /// For what puts rows in the order of event time, of which the late ones have no place.
    pub(super) fn refuse_lateness(&self, what: &str) -> Result<()> {
        if self.options.lateness.is_none() {
            return Ok(());
        }
        let message = format!("{what} takes no late rows, so that ALLOW LATENESS would not hold for it");
        Err(refused(SqlError::new(Mistake::NotStreaming, message).hint(
            "leave ALLOW LATENESS out, and let the watermark of the stream wait as long: WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE",
        )))
    }

    /// Refuses the clause where nothing asks for it.
    pub(super) fn check_lateness(&self) -> Result<()> {
        if self.options.lateness.is_none() || self.takes_late {
            return Ok(());
        }
        let message =
            "ALLOW LATENESS is for windows and joins by time, and no row is ever late for this query";
        Err(refused(SqlError::new(Mistake::NotStreaming, message).hint("leave ALLOW LATENESS out")))
    }
}
