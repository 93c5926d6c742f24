//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bench::Bench;
use crate::commands::{archive, completions, demo, log, mapreduce, replay, run, serve, sql};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    the command line is wrong
  3    data is damaged, or was refused
  4    the broker that keeps the log could not be reached; nothing is damaged
  130  interrupted

Start here:
  headwater demo";

/// An event-sourced stream processing engine for IoT: one log, SQL jobs over it, replay.
#[derive(Parser)]
#[command(name = "headwater", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub logging: Logging,
    #[command(subcommand)]
    pub command: Command,
}

/// How the program talks about itself, on standard error.
#[derive(Args, Clone)]
pub(crate) struct Logging {
    /// How log lines are written
    #[arg(long, global = true, value_enum, default_value = "text", env = "HEADWATER_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or per module as in RUST_LOG, which wins
    #[arg(long, global = true, env = "HEADWATER_LOG_LEVEL")]
    pub log_level: Option<String>,
}

/// How log lines are written.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the engine and serve HTTP until told to stop
    Serve(serve::Serve),
    /// Run SQL files; jobs over bounded inputs run to their end, others until Ctrl-C
    Run(run::Run),
    /// Run SQL, or start a prompt
    Sql(sql::Sql),
    /// Run a job over a stretch of history again, or another definition of it
    Replay(replay::Replay),
    /// Look at a data directory that no server has open
    Log(log::Log),
    /// Look at an archive where it lies, check it, tidy it, put it back
    Archive(archive::Archive),
    /// Run a mapper and a reducer, programs of yours, over files or objects
    Mapreduce(mapreduce::MapReduce),
    /// Measure this machine
    Bench(Bench),
    /// Replay a year of real weather through the engine, and show what was found and decided
    Demo(demo::Demo),
    /// Write completions for a shell
    Completions(completions::Completions),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command) {
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Example"), "{} has no example", sub.get_name());
                check(sub);
            }
        }
        check(&Cli::command());
    }
}
