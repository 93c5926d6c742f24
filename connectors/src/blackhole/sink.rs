//! Takes rows and forgets them.

use async_trait::async_trait;

use crate::connector::{Cursor, Delivery, Sink};
use crate::error::Result;

/// Takes rows and forgets them.
pub(super) struct Blackhole;

#[async_trait]
impl Sink for Blackhole {
    async fn open(&mut self, stored: Cursor) -> Result<Cursor> {
        Ok(stored)
    }

    async fn deliver(&mut self, _delivery: Delivery) -> Result<()> {
        Ok(())
    }

    async fn flush(&mut self) -> Result<String> {
        Ok(String::new())
    }

    fn rows_max(&self) -> usize {
        usize::MAX
    }
}
