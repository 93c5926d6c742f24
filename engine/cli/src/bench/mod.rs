//! `headwater bench`: what this machine and this build can do, measured side by side in one run.

mod alarms;
mod append;
mod archive;
mod command;
mod growth;
mod json;
mod kafka;
mod latency;
mod nexmark;
mod open;
mod patterns;
mod process;
mod replay;
mod report;
mod sequences;
mod triggers;

pub(crate) use command::Bench;
