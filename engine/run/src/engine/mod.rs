//! The engine: one log, one catalog, and the jobs, views and connectors that the catalog names.
//!
//! The catalog is a fold over the stream `system.catalog`, which holds the text of every statement that defined something.
//! A statement is appended there before it takes effect; on open the log is brought in line with it.

mod alarms;
mod archives;
mod connect;
mod courses;
mod define;
mod events;
mod folds;
mod functions;
mod groups;
mod handle;
mod inserts;
mod job_metrics;
mod jobs;
mod open;
mod orders;
mod procedures;
mod programs;
mod query;
mod rest;
mod rested;
mod sets;
mod settings;
mod show;
mod show_create;
mod startup;
mod state;
mod statuses;
mod times;
mod triggers;
mod written;

pub(crate) use connect::inputs_of_entry;
pub(crate) use define::writes_into;
pub use events::rows_as_shown;
pub(crate) use events::{CATALOG, Event, Replaced, appended as event_append, without_secrets};
pub use handle::{Answer, Engine};
pub(crate) use jobs::result_schema;
pub(crate) use state::Inner;
pub(crate) use triggers::{first_place, start_at};
