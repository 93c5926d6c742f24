//! `headwater sql`: one statement, or a prompt, here or on a server.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use headwater_plan::Parsed;
use headwater_run::{Answer, Engine};

use super::prompt;
use crate::client::{Answered, Client};
use crate::open::{EngineArgs, Tuning};
use crate::output::{self, OutputFormat};

const EXAMPLE: &str = "\
Example:
  headwater sql                                   a prompt on the server of this machine
  headwater sql -c 'SELECT COUNT(*) FROM weather' --format json
  headwater sql --data /tmp/weather               without a server, on a data directory";

/// Run SQL, or start a prompt.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Sql {
    /// The statements to run, separated by ';'; without them there is a prompt
    #[arg(short, long, value_name = "SQL", allow_hyphen_values = true)]
    command: Option<String>,
    /// Open this data directory, which no server may have open
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    data: Option<PathBuf>,
    /// Ask this server [default: what HEADWATER_URL says, or http://127.0.0.1:8585]
    #[arg(long, value_name = "URL")]
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
        let session = match self.data {
            Some(data) => {
                Session::Local(EngineArgs { data, tuning: self.tuning, allowed: Default::default() }.open()?)
            }
            None => Session::Remote(Client::of(self.url.as_deref())?),
        };
        let ended = match &self.command {
            Some(sql) => session.show(sql, format).await,
            None => prompt::run(&session, format).await,
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
                for answer in Box::pin(engine.execute(sql)).await? {
                    match answer {
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

/// The statements of a text, each behind as many blanks as lie before it, so that a place in it is one in the text.
fn statements_of(sql: &str) -> Result<Vec<String>> {
    let all = headwater_plan::parse(sql)?;
    let placed = |parsed: &Parsed| {
        let before = &sql[..parsed.script.offset(parsed.position)];
        let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
        before.chars().map(blank).chain(parsed.text.chars()).collect()
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
    }
}
