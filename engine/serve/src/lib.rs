//! The HTTP edge: appends, SQL, tails, jobs, health and metrics.
//!
//! ```text
//!  socket ─ stall guard ─ origin check ─ metrics, timeout ─ handler ─ Ingest / Engine
//! ```
//!
//! Invariants:
//! - This crate holds no state of its own but counters, and the replays that clients go through step by step: what it answers comes from
//!   the engine.
//! - Nothing here waits for a client while it holds anything of the log. A reader that takes nothing is cut.
//! - Every size, count and wait that a client can cause has a bound in [`ServeOptions`].
//! - Every route is in the document at `/v1/openapi.json`; a test compares the two.

mod append;
mod body;
mod budget;
mod error;
mod extract;
mod gate;
mod health;
mod jobs;
mod listener;
mod metrics;
mod openapi;
mod options;
mod origin;
mod replay;
mod routes;
mod rows;
mod server;
mod sql;
mod state;
mod steps;
mod streams;
#[allow(unused_qualifications, reason = "in what utoipa makes of parameters")]
mod tail;
mod tail_events;

pub use options::ServeOptions;
pub use replay::{ReplayRequest, replay_differences};
pub use server::{ServeError, Server};
pub use steps::{SteppedReplay, SteppedView};
