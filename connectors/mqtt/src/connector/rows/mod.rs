//! Messages to rows, and rows to messages.

mod about;
mod read;
mod write;

pub(super) use read::RowReader;
pub(super) use write::RowWriter;
