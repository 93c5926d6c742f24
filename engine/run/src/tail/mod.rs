//! Tails: rows of a stream or of a query, as they come.

mod handle;
mod query;
mod since;
mod stream;
mod wake;

pub use handle::{Tail, TailBatch, TailFrom};
pub(crate) use query::of_query;
pub(crate) use stream::of_stream;
