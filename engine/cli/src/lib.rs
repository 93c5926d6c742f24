//! The `headwater` binary: commands, configuration, wiring. The only place that knows everything.
//!
//! Exit codes: 0 done; 1 failed; 2 the command line is wrong; 3 data is damaged or was refused; 4 the broker that keeps
//! the log could not be reached; 130 interrupted.

mod args;
mod bench;
mod client;
mod commands;
mod config;
mod demo;
mod exit;
mod gateways;
mod host;
mod log_mark;
mod log_place;
mod logging;
mod memory;
mod open;
mod output;
mod programs;
mod signals;
mod wamp;

use std::process::ExitCode;

use clap::Parser;

/// Parses the command line, runs the command, and says how it went.
pub fn main() -> ExitCode {
    memory::keep_freed();
    let cli = args::Cli::parse();
    logging::start(&cli.logging);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&anyhow::Error::new(error).context("cannot start the runtime")),
    };
    let ended = runtime.block_on(commands::run(cli.command));
    // Threads that still read standard input must not keep the process.
    runtime.shutdown_background();
    match ended {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
