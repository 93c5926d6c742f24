//! A session with a broker elsewhere.

mod connection;
mod error;
mod target;

pub use connection::Client;
pub use error::ClientError;
pub use target::{Login, Target};
