//! `headwater sql`: one statement, or a prompt, here or on a server.

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use headwater_plan::Parsed;
use headwater_run::{Answer, Engine};

use super::prompt;
use crate::client::{Answered, Client};
use crate::open::{Local, Tuning};
use crate::output::{self, OutputFormat};

const EXAMPLE: &str = "\
Example:
  headwater sql                                   a prompt on the server of this machine
  headwater sql -c 'SELECT COUNT(*) FROM weather' --format json
  headwater sql < weather.sql                     all of a file; it stops at the first error
  headwater sql --data /tmp/weather               without a server, on a data directory
  headwater sql --config fleet.toml               on what a server's settings name, such as its log on Kafka

On a data directory a session looks: queries read, streams take rows, and what is defined there (jobs, triggers, alarms,
connectors, archives) stays at rest until it is served. With --jobs it runs as long as the session does. In a directory where
nothing is defined that runs, what the session defines does.

A log on Kafka is looked at as it is when the session begins, beside the server that writes it; there queries only read.";

/// Run SQL from the command line or standard input, or start a prompt.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Sql {
    /// The statements to run, separated by ';'; without them those of standard input, on a terminal a prompt
    #[arg(short, long, value_name = "SQL", allow_hyphen_values = true)]
    command: Option<String>,
    #[command(flatten)]
    local: Local,
    /// Run the jobs, triggers and connectors of the data directory during the session
    #[arg(long, requires = "local")]
    jobs: bool,
    /// Ask this server [default: what HEADWATER_URL says, or http://127.0.0.1:8585]
    #[arg(long, value_name = "URL", conflicts_with_all = ["local", "LogArgs"])]
    url: Option<String>,
    /// How rows are shown [default: table on a terminal, json elsewhere]
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,
    #[command(flatten)]
    tuning: Tuning,
}

impl Sql {
    pub async fn run(self) -> Result<ExitCode> {
        let format = self.format.unwrap_or_else(OutputFormat::usual);
        let session = match self.local.engine(self.tuning)? {
            Some(engine) => Session::Local(engine.open_here(self.jobs)?),
            None => Session::Remote(Client::of(self.url.as_deref())?),
        };
        let ended = match &self.command {
            Some(sql) => session.show(sql, format).await,
            None if std::io::stdin().is_terminal() => prompt::run(&session, format).await,
            None => match script() {
                Ok(sql) => session.show(&sql, format).await,
                Err(error) => Err(error),
            },
        };
        session.close().await?;
        ended.map(|()| ExitCode::SUCCESS)
    }
}

/// Who answers.
pub(crate) enum Session {
    /// An engine of this process.
    Local(Engine),
    /// A server.
    Remote(Client),
}

impl Session {
    /// Runs statements and shows what they answer.
    pub async fn show(&self, sql: &str, format: OutputFormat) -> Result<()> {
        match self {
            Self::Local(engine) => {
                for parsed in headwater_plan::parse(sql)? {
                    match Box::pin(engine.run(parsed)).await? {
                        Answer::Rows(rows) => show_count(output::write_stream(rows, format).await?, format)?,
                        Answer::Done { tag, notes } => show_done(&tag, &notes, format)?,
                    }
                }
                Ok(())
            }
            Self::Remote(client) => {
                for statement in statements_of(sql)? {
                    match client.sql(&statement, format).await? {
                        Answered::Rows(rows) => show_count(rows, format)?,
                        Answered::Done(done) => show_done(&done.status, &done.notes, format)?,
                    }
                }
                Ok(())
            }
        }
    }

    async fn close(self) -> Result<()> {
        match self {
            Self::Local(engine) => Ok(engine.close().await?),
            Self::Remote(_) => Ok(()),
        }
    }
}

/// What standard input holds.
fn script() -> Result<String> {
    let mut sql = String::new();
    std::io::stdin().read_to_string(&mut sql).context("cannot read statements from standard input")?;
    Ok(sql)
}

/// The statements of a text, each behind as many blanks as lie before it, so that a place in it is one in the text. What a script has set
/// for a statement is the beginning of the statement's own text, and takes the place of blanks.
fn statements_of(sql: &str) -> Result<Vec<String>> {
    let sql = sql.trim_start_matches('\u{feff}');
    let all = headwater_plan::parse(sql)?;
    let placed = |parsed: &Parsed| {
        let before = &sql[..parsed.script.offset(parsed.position)];
        let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
        let blanks: String = before.chars().map(blank).collect();
        if sql[before.len()..].starts_with(&parsed.text) {
            return blanks + &parsed.text;
        }
        let is_own = |at: &usize| sql[before.len()..].starts_with(&parsed.text[at + 2..]);
        let end = parsed.text.match_indices("; ").map(|(at, _)| at).find(is_own);
        let (set, text) = end.map_or(("", &*parsed.text), |at| (&parsed.text[..at], &parsed.text[at + 2..]));
        let first_line = blanks.find('\n').unwrap_or(blanks.len());
        let room = (set.chars().count() + 1).min(first_line);
        format!("{set};{}{text}", &blanks[room..])
    };
    Ok(all.iter().map(placed).collect())
}

fn show_count(rows: usize, format: OutputFormat) -> Result<()> {
    match format {
        OutputFormat::Table => output::say(format_args!("{rows} row{}", if rows == 1 { "" } else { "s" })),
        _ => Ok(()),
    }
}

/// What was done goes to standard error where standard output is for a program.
fn show_done(tag: &str, notes: &[String], format: OutputFormat) -> Result<()> {
    notes.iter().for_each(|note| tracing::warn!("{note}"));
    match format {
        OutputFormat::Table => output::say(tag),
        _ => {
            tracing::info!("{tag}");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_keep_their_places() {
        let found = statements_of("SELECT 1;\n\n  SELECT 'é;' AS x; SHOW JOBS").unwrap();
        assert_eq!(
            found,
            ["SELECT 1", "         \n\n  SELECT 'é;' AS x", "         \n\n                    SHOW JOBS"]
        );
        let found = statements_of("\u{feff}SELECT 1;\nSHOW JOBS").unwrap();
        assert_eq!(found, ["SELECT 1", "         \nSHOW JOBS"], "a mark before the text is no part of it");
        let found = statements_of("SET 'ttl' = '1 hour';\nEXPLAIN SELECT 1; SHOW JOBS").unwrap();
        let expected =
            ["SET 'ttl' = '1 hour';\nEXPLAIN SELECT 1", "                     \n                  SHOW JOBS"];
        assert_eq!(found, expected);
        let script = "SET 'ttl' = '1 h'; SET 'pipeline.name' = 'x';\n\n\nINSERT INTO a SELECT 1";
        let found = statements_of(script).unwrap();
        assert!(found[1].starts_with("SET 'pipeline.name' = 'x'; SET 'ttl' = '1 h';"), "{found:?}");
        assert!(found[1].ends_with("\n\n\nINSERT INTO a SELECT 1"), "{found:?}");
    }
}
