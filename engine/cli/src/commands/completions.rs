//! `headwater completions`: what a shell completes.

use std::io::Write as _;
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
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut command, "headwater", &mut text);
        // A reader that has had enough, such as head, is told apart from a failure by whoever gets the error.
        std::io::stdout().write_all(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}
