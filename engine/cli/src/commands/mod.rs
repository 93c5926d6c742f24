//! The commands, one file each.

pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod log;
mod log_check;
pub(crate) mod prompt;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod sql;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::Command;

/// Runs a command.
pub(crate) async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Serve(command) => command.run().await,
        Command::Run(command) => command.run().await,
        Command::Sql(command) => command.run().await,
        Command::Replay(command) => command.run().await,
        Command::Log(command) => command.run(),
        Command::Bench(command) => command.run().await,
        Command::Demo(command) => command.run().await,
        Command::Completions(command) => command.run(),
    }
}
