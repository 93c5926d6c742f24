//! What peers say to each other.

mod code;
mod decode;
mod encode;
mod ids;
mod kinds;
mod pattern;
#[cfg(test)]
mod tests;
pub mod uri;

pub use code::Code;
pub(crate) use encode::encode_event;
pub use ids::{ID_MAX, Id, Sequential, random_id};
pub use kinds::{Invocation, Message, Publish, Request};
pub use pattern::Match;
