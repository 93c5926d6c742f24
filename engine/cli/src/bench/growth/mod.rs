//! Growth: what an event costs as keys become many, and as jobs over one stream do.

mod command;
mod jobs;
mod keys;

pub(super) use command::{Growth, run};
