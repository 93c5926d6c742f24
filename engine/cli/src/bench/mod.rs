//! `headwater bench`: what this machine and this build can do, measured side by side in one run.

mod alarms;
mod append;
mod archive;
mod command;
mod json;
mod kafka;
mod latency;
mod nexmark;
mod open;
mod patterns;
mod replay;
mod report;
mod sequences;

pub(crate) use command::Bench;
