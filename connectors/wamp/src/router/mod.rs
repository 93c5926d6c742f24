//! The router: its realms, and how sessions come to them.

mod connection;
mod history;
mod options;
mod realms;
#[cfg(test)]
mod tests;

pub use connection::{Connection, Next};
pub use history::{Answer, History};
pub use options::{RealmSetup, RouterOptions};
pub(crate) use realms::Filling;
pub use realms::{RealmHandle, Router};
