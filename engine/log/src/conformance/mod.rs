//! What every log must do. One suite for all implementations: each case gets a maker of empty logs and panics where the log
//! does not keep its promise.
//!
//! ```
//! use headwater_core::World;
//! use headwater_log::{MemoryLog, conformance};
//!
//! for (name, case) in conformance::CASES {
//!     println!("{name}");
//!     case(&|| MemoryLog::new(World::real()));
//! }
//! ```

#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

mod append;
mod cases;
mod conditions;
mod fixture;
mod notify;
mod read;
mod streams;

pub use cases::{CASES, Case, Make};
