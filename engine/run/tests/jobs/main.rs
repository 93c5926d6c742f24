//! Jobs as their users define them, over a simulated machine: one thread, no real time, and power that can fail.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alarms;
mod alerts;
mod archives;
mod bounds;
mod changes;
mod connectors;
mod determinism;
mod differential;
mod emission;
mod functions;
mod growth;
mod idle;
mod json;
mod lasting;
mod lateness;
mod lookups;
mod machine;
mod metrics;
mod object_store;
mod over;
mod own_streams;
mod patterns;
mod procedures;
mod processing;
mod ready;
mod replace;
mod restart;
mod scaling;
mod sequences;
mod simulation;
mod spill;
mod streaming;
mod stretch;
mod timed;
mod trigger_sets;
mod triggers;
mod unsaid;
mod unstarted;
mod updating;
mod values;
mod views;
mod workers;
