//! What queries read: streams, materialized views and system tables as tables of DataFusion.

mod archived;
mod bounds;
mod catalog;
mod scan;
mod spill;
mod stream;
mod system;
mod text;
mod view;

pub(crate) use catalog::CatalogTable;
pub(crate) use spill::bounded_runtime;
pub(crate) use stream::StreamTable;
pub(crate) use system::{SYSTEM_TABLES, system_table};
pub(crate) use text::ReadText;
pub(crate) use view::{ViewFold, ViewTable};
