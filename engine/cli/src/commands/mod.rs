//! The commands, one file each.

pub(crate) mod archive;
pub(crate) mod completions;
pub(crate) mod demo;
mod dispatch;
pub(crate) mod log;
mod log_check;
pub(crate) mod mapreduce;
pub(crate) mod prompt;
pub(crate) mod replay;
mod replay_steps;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod sql;
mod typed;

pub(crate) use dispatch::run;
