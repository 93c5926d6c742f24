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
    /// Look at a data directory that no server has open, or at a log on Kafka
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

    /// What a shell hands over of a line: its words, up to a redirection. What explains the line stands behind several blanks.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted, mut blanks) = (Vec::new(), None::<String>, false, 0);
        for c in line.chars() {
            match c {
                '\'' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                ' ' if !quoted => {
                    words.extend(word.take());
                    blanks += 1;
                    if blanks > 1 {
                        return words;
                    }
                    continue;
                }
                '<' | '>' | '|' if !quoted => return words,
                _ => word.get_or_insert_default().push(c),
            }
            blanks = 0;
        }
        words.extend(word);
        words
    }

    #[test]
    fn every_example_can_be_typed() {
        fn examples(command: &clap::Command, found: &mut Vec<String>) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let lines = help.lines().filter_map(|line| line.strip_prefix("  "));
            found.extend(lines.filter(|line| line.contains("headwater ")).map(str::to_owned));
            command.get_subcommands().for_each(|sub| examples(sub, found));
        }
        let mut found = Vec::new();
        examples(&Cli::command(), &mut found);
        assert!(found.len() > 30, "{found:?}");
        for line in found {
            let mut words = words(&line);
            words.drain(..words.iter().position(|word| word == "headwater").unwrap());
            let cli = Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{line}\n{error}"));
            if let Command::Sql(_) = cli.command
                && let Some(at) = words.iter().position(|word| word == "-c")
            {
                headwater_plan::parse(&words[at + 1]).unwrap_or_else(|error| panic!("{line}\n{error}"));
            }
        }
    }

    #[test]
    fn words_are_those_of_a_shell() {
        assert_eq!(
            words("headwater sql -c 'SELECT  1 < 2' --x < a.sql     b"),
            ["headwater", "sql", "-c", "SELECT  1 < 2", "--x"]
        );
        assert_eq!(words("headwater demo     in a directory"), ["headwater", "demo"]);
    }
}
