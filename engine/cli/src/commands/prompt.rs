//! The prompt of `headwater sql`: statements over any number of lines, ended by `;`, with history.

use std::path::PathBuf;

use anyhow::Result;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Config, Editor};

use super::sql::Session;
use super::typed::is_whole;
use crate::exit;
use crate::output::{self, OutputFormat};

const HELP: &str = r"Statements end with ';' and may have many lines.
  \s        streams
  \j        jobs
  \v        views
  \dt       streams, tables and views
  \dS       tables of the system
  \df       functions of your own
  \d NAME   describe a stream, table or view
  \i FILE   run the statements of a file
  \? \h     this help
  \q        leave (as Ctrl-D does)";

/// Reads statements and shows their answers until the user leaves. An error of a statement does not end it.
pub(crate) async fn run(session: &Session, format: OutputFormat) -> Result<()> {
    let config = Config::builder().history_ignore_space(true).auto_add_history(false).build();
    let mut editor: Editor<(), DefaultHistory> = Editor::with_config(config)?;
    let mut history = history_file();
    if let Some(file) = &history {
        // The first time there is none.
        let _ = editor.load_history(file);
    }
    output::say("headwater: SQL statements end with ';', \\? helps, \\q leaves")?;
    let mut statement = String::new();
    loop {
        let prompt = if statement.is_empty() { "headwater> " } else { "       ... " };
        // Nothing else runs on this thread meanwhile: jobs of a local engine have threads of their own.
        let line = tokio::task::block_in_place(|| editor.readline(prompt));
        let line = match line {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                statement.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        let sql = match next(&mut statement, &line) {
            Next::More => continue,
            Next::Leave => break,
            Next::Help => {
                output::say(HELP)?;
                continue;
            }
            Next::Unknown(command) => {
                output::say(format_args!("there is no {command}; \\? says what there is"))?;
                continue;
            }
            Next::File(file) => match std::fs::read_to_string(&file) {
                Ok(sql) => sql,
                Err(error) => {
                    output::say(format_args!("error: cannot read {file}: {error}"))?;
                    continue;
                }
            },
            Next::Run(sql) => {
                editor.add_history_entry(sql.as_str())?;
                // At once: whoever ends a prompt by closing its terminal wants to find it again, too.
                if let Some(Err(error)) = history.as_ref().map(|file| editor.append_history(file)) {
                    tracing::warn!("the history is not kept: {error}");
                    history = None;
                }
                sql
            }
        };
        tokio::select! {
            shown = session.show(&sql, format) => if let Err(error) = shown {
                output::say(exit::describe(&error))?;
            },
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
    }
    Ok(())
}

/// What to do after a line.
#[derive(PartialEq, Debug)]
enum Next {
    More,
    Run(String),
    /// The statements of a file.
    File(String),
    Help,
    /// A command that there is not.
    Unknown(String),
    Leave,
}

fn next(statement: &mut String, line: &str) -> Next {
    let line = line.trim_end();
    if statement.is_empty() {
        let (command, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        match command {
            "" => return Next::More,
            "\\q" | "exit" | "quit" => return Next::Leave,
            "\\?" | "\\h" | "help" => return Next::Help,
            "\\s" | "\\streams" => return Next::Run("SHOW STREAMS".to_owned()),
            "\\j" | "\\jobs" => return Next::Run("SHOW JOBS".to_owned()),
            "\\v" | "\\views" => return Next::Run("SHOW VIEWS".to_owned()),
            "\\dt" => return Next::Run("SHOW TABLES".to_owned()),
            "\\dS" => return Next::Run("SHOW SYSTEM TABLES".to_owned()),
            "\\df" => return Next::Run("SHOW USER FUNCTIONS".to_owned()),
            "\\i" if !rest.is_empty() => return Next::File(rest.trim().to_owned()),
            "\\d" if rest.is_empty() => return Next::Run("SHOW TABLES".to_owned()),
            "\\d" => return Next::Run(format!("DESCRIBE {}", rest.trim().trim_end_matches(';'))),
            _ if command.starts_with('\\') => return Next::Unknown(command.to_owned()),
            _ => {}
        }
    } else {
        statement.push('\n');
    }
    statement.push_str(line);
    if is_whole(statement) { Next::Run(std::mem::take(statement)) } else { Next::More }
}

fn history_file() -> Option<PathBuf> {
    let home = std::env::var_os("HOME")?;
    Some(PathBuf::from(home).join(".headwater_history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_ends_with_a_semicolon() {
        let mut statement = String::new();
        assert_eq!(next(&mut statement, "SELECT 1"), Next::More);
        assert_eq!(next(&mut statement, "  FROM t; "), Next::Run("SELECT 1\n  FROM t;".to_owned()));
        assert!(statement.is_empty());
        assert_eq!(next(&mut statement, ""), Next::More);
        assert_eq!(next(&mut statement, "SELECT 'a;"), Next::More);
        assert_eq!(
            next(&mut statement, "b'; -- two lines"),
            Next::Run("SELECT 'a;\nb'; -- two lines".to_owned())
        );
    }

    #[test]
    fn backslash_commands_are_for_the_beginning_of_a_statement_only() {
        let mut statement = String::new();
        assert_eq!(next(&mut statement, "\\q"), Next::Leave);
        assert_eq!(next(&mut statement, "\\x"), Next::Unknown("\\x".to_owned()));
        assert_eq!(next(&mut statement, "\\i all of it.sql"), Next::File("all of it.sql".to_owned()));
        assert_eq!(next(&mut statement, "\\d weather;"), Next::Run("DESCRIBE weather".to_owned()));
        assert_eq!(next(&mut statement, "SELECT '"), Next::More);
        assert_eq!(next(&mut statement, "\\q"), Next::More);
        assert_eq!(next(&mut statement, "';"), Next::Run("SELECT '\n\\q\n';".to_owned()));
    }
}
