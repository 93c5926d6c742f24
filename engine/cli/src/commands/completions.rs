//! `headwater completions`: what a shell completes.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Write completions for a shell.
#[derive(Args)]
#[command(after_help = "Example:\n  headwater completions bash > /etc/bash_completion.d/headwater")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> Result<ExitCode> {
        let mut command = crate::args::Cli::command();
        clap_complete::generate(self.shell, &mut command, "headwater", &mut std::io::stdout());
        Ok(ExitCode::SUCCESS)
    }
}
