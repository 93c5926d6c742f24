//! From a parsed command line to the command.

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
        Command::Archive(command) => command.run().await,
        Command::Mapreduce(command) => command.run().await,
        Command::Bench(command) => command.run().await,
        Command::Demo(command) => command.run().await,
        Command::Completions(command) => command.run(),
    }
}
