//! Formats: bytes to rows and rows to bytes.
//!
//! A [`Decoder`] turns bytes into rows of a given schema, record by record: what does not fit becomes a
//! [`BadRecord`], and its neighbours are kept. An [`Encoder`] turns rows into bytes.
//!
//! | name            | in | out | records told apart by                |
//! |-----------------|----|-----|--------------------------------------|
//! | `json`          | x  | x   | line feed                            |
//! | `json_array`    | x  | x   | the array's elements                 |
//! | `csv`           | x  | x   | line feed outside quotes             |
//! | `arrow`         | x  | x   | rows of an IPC stream or file        |
//! | `parquet`       | x  | x   | rows                                 |
//! | `raw`           | x  | x   | line feed, or each message is one    |
//! | `debezium_json` | x  | x   | line feed; a change each             |
//! | `avro`          | x  | x   | each message is one datum            |
//! | `avro_confluent` | x | x   | the same, with its schema's number   |
//! | `protobuf`      | x  | x   | each message is one                  |
//! | `protobuf_confluent` | x | x | the same, with its schema's number |
//!
//! How JSON and text become values, in all formats of text:
//! - a number column takes a number or a text that holds one; an integer column a number without a fraction; what does
//!   not fit is bad, never wrapped or rounded, except that a decimal is rounded to its scale half away from zero;
//! - a text column takes any JSON value, as its JSON text if it is no text itself (Flink does so too);
//! - a timestamp is RFC 3339 or `YYYY-MM-DD hh:mm:ss[.f]`, without an offset UTC; or a number, if `timestamp-format` says so;
//! - binary is base64 (standard alphabet, padding optional);
//! - a missing field, or null, is NULL, and bad where the column is NOT NULL; a field given twice is bad;
//! - a byte order mark before JSON or CSV is passed over; a column that the header of a CSV names twice makes all of its records bad;
//! - in CSV an empty field without quotes is NULL, as is the text `csv.null-literal`; `""` is the empty text.

mod arrow_claims;
mod arrow_ipc;
mod avro;
mod column;
mod csv;
#[cfg(test)]
mod csv_tests;
mod debezium;
#[cfg(test)]
mod debezium_tests;
mod decode;
mod encode;
mod fault;
mod field_names;
#[cfg(test)]
mod fuzz_tests;
mod json;
mod json_cursor;
#[cfg(test)]
mod json_tests;
mod kind;
mod message;
#[cfg(test)]
mod message_tests;
mod parquet;
mod protobuf;
mod raw;
mod schemas;
#[cfg(test)]
mod schemas_tests;
mod settings;
mod text;
mod type_name;
mod untrusted;
mod weights;

pub use decode::{Decoded, Decoder, Origin};
pub use encode::Encoder;
pub use encode::json_cells;
pub(crate) use encode::row_as_json;
pub use field_names::FieldNames;
pub use kind::Format;
pub use message::{KeyFormat, MessageDecoder, Messages};
pub use schemas::{RegisteredSchema, Schemas};
pub use settings::{CsvHeader, CsvOptions, FormatOptions, JsonOptions, Limits, TimestampFormat};
pub use text::read_timestamp;
pub use type_name::type_name;
pub(crate) use weights::{WEIGHT, filled};
