//! Messages with an envelope to rows, and rows to messages.
//!
//! A column with `METADATA FROM` holds what the envelope says, or makes it up; the others are the body. What cannot be decoded goes
//! to the dead letters with its body and with the place that it had outside.

mod delivered;
mod envelope;
mod formats;
mod keys;
mod read;
mod write;

pub(crate) use self::delivered::Delivered;
pub(crate) use self::envelope::{About, AboutField, column_for, millis, number, text};
pub(crate) use self::keys::KeyColumns;
pub(crate) use self::read::{Bodies, MessageReader};
pub(crate) use self::write::MessageWriter;

#[cfg(test)]
mod tests;
