//! Tables of DynamoDB.
//!
//! | option | meaning |
//! |---|---|
//! | `table-name` | the table |
//! | `sink.mode` | `update` (unless set), `batch` or `transaction` |
//! | `sink.transaction-by` | for `transaction`: the columns by whose values rows belong together, with commas between |
//! | `sink.add` | for `update`: columns whose values are added to what is there instead of replacing it, with commas between |
//! | `sink.parallelism` | requests at a time; 16 unless set |
//!
//! and those of [`access`](crate::access).
//!
//! ## Rows and items
//!
//! A row is an item; its columns are attributes of the same names. The table says which of them are the hash key and the range key. Numbers
//! are numbers, with all their digits; bytes are binary; lists and structs are lists and maps; times are texts as RFC 3339; NULL
//! is no attribute. What an item has besides is left as it is.
//!
//! ## What is promised
//!
//! In the mode `update` a row changes its item exactly once: the item keeps, for each shard of ours that has written it, the sequence
//! number of the last row, in an attribute `_offset_…` named by stream and shard, and an update is conditional on being newer. So
//! a row that comes again does nothing, also if it is added (`sink.add`), and an older row never replaces a newer one of its shard.
//! Of the rows of a delivery that belong to one item only the last is written, unless something is added.
//!
//! In the mode `transaction` rows that belong together are written whole or not at all, so that nobody reads a part of them: the rows of a
//! window, say, by `sink.transaction-by = 'window_end'`. Those are rows of one shard that were appended together, as a job's step does it,
//! and follow each other with the same values. Each is conditional as in `update`. It costs twice as much, transactions go one after the
//! other, and one takes at most 100 items, as the service has it: more rows than that, and rows of which one is not taken, are parked
//! together.
//!
//! A row without a key, or that the table does not take, is parked.
//!
//! In the mode `batch` rows replace whole items, 25 in a request, and nothing is kept beside them. After a crash some rows are written
//! again, in their order; so an item that others read meanwhile may go back for a moment, and is right in the end.

mod change;
mod config;
mod item;
mod sink;
mod transaction;

pub use config::CONNECTOR;
