//! How messages are written: three serializers behind one type.
//!
//! A message is a list. Reading it is in two steps: [`Serializer::split`] finds where the items lie and checks that all of
//! it is well-formed; then the items that the router needs are read, each by itself. The payload is not among them: it
//! stays the slice of bytes that it came as, and is spliced into what goes out by the same serializer.

mod cbor;
mod encoder;
mod json;
mod malformed;
mod msgpack;
mod payload;
mod reader;
mod serializer;
mod value;

pub use encoder::Encoder;
pub use malformed::Malformed;
pub use payload::Payload;
pub use serializer::{Parts, Serializer};
pub use value::{Dict, Value};
