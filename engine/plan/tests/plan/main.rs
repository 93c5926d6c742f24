//! What the planner promises: what statements mean, what plans look like, what batch windows give, how mistakes are told.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batch;
mod catalog;
mod docs;
mod fixture;
mod foreign;
mod functions;
mod likely;
mod mistakes;
mod parse;
mod patterns;
mod sequences;
mod stream;
mod succession;
mod targets;
mod triggers;
mod user_functions;
