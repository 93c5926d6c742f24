//! What the WAMP router asks of the engine: events of the past, and rows for those who call.

mod history;
mod procedures;
mod rows;

pub(crate) use history::StreamHistory;
pub(crate) use procedures::Procedures;
