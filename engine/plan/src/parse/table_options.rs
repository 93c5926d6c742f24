//! Reads `/*+ OPTIONS('key' = 'value', ...) */` behind a table's name: where a job begins to read it. All other options are the table's,
//! and hold for whoever reads it.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};
use headwater_core::EventTime;

use super::options::read_value;
use super::reader::{Reader, position};
use crate::error::{Mistake, Result, SqlError, did_you_mean};
use crate::script::{Position, Script};
use crate::startup::{STARTUP_MODE, Startup, TableStart};

const NAME: &str = "OPTIONS";
const TIMESTAMP: &str = "scan.startup.timestamp-millis";
const MODES: [&str; 3] = ["earliest-offset", "latest-offset", "timestamp"];
const USAGE: &str = "FROM t /*+ OPTIONS('scan.startup.mode' = 'latest-offset') */ AS a";

/// All that stand in a text.
pub(super) struct TableOptions(Vec<Given>);

struct Given {
    start: TableStart,
    ends: Position,
    is_taken: bool,
}

impl TableOptions {
    /// Finds them among the tokens, to which they are comments.
    pub(super) fn of(tokens: &[TokenWithSpan], script: &Script) -> Result<Self> {
        let mut given = Vec::new();
        let mut before: Option<&TokenWithSpan> = None;
        for token in tokens {
            match &token.token {
                Token::Whitespace(Whitespace::MultiLineComment(text)) if is_options(text) => {
                    let (starts, ends) = (position(token.span.start), position(token.span.end));
                    let text_at = Position { column: starts.column + 3, ..starts };
                    let table = before.map(|token| token.token.to_string()).unwrap_or_default();
                    let startup = read(&text[1..], text_at, &table, script)?;
                    let behind = before.map_or(starts, |token| position(token.span.end));
                    given.push(Given {
                        start: TableStart { behind, at: starts, startup },
                        ends,
                        is_taken: false,
                    });
                }
                Token::Whitespace(_) => {}
                _ => before = Some(token),
            }
        }
        Ok(Self(given))
    }

    /// Takes those behind tables that are named between two places.
    pub(super) fn take(&mut self, from: Position, to: Position) -> Box<[TableStart]> {
        let between = self.0.iter_mut().filter(|given| from < given.start.behind && given.start.behind <= to);
        let taken = between.map(|given| {
            given.is_taken = true;
            given.start
        });
        taken.collect()
    }

    /// Where the last word of a text ends, with what is said of it.
    pub(super) fn end_behind(&self, word: Position) -> Position {
        let ends = self.0.iter().filter(|given| given.start.behind == word).map(|given| given.ends);
        ends.max().unwrap_or(word)
    }

    /// Fails if one stands before this place and belongs to no query.
    pub(super) fn check_taken(&self, to: Position, script: &Script) -> Result<()> {
        match self.0.iter().find(|given| !given.is_taken && given.start.behind <= to) {
            Some(given) => Err(misplaced().at(given.start.at, script)),
            None => Ok(()),
        }
    }
}

fn misplaced() -> SqlError {
    let message = format!("'{STARTUP_MODE}' is for a table that a query reads");
    SqlError::new(Mistake::Option, message).hint(USAGE)
}

/// Whether a comment is such a hint.
fn is_options(comment: &str) -> bool {
    let hint = comment.strip_prefix('+').map(str::trim_start);
    hint.and_then(|hint| hint.get(..NAME.len())).is_some_and(|name| name.eq_ignore_ascii_case(NAME))
}

/// A value and where it stands.
type Value = (String, Position);

/// `OPTIONS('key' = 'value', ...)`, behind a table of this name.
fn read(text: &str, at: Position, table: &str, script: &Script) -> Result<Startup> {
    let mut reader = Reader::part(text, at, false, script.clone())?;
    let usage = |error: SqlError| error.hint(USAGE);
    reader.expect_words(NAME)?;
    reader.expect(&Token::LParen).map_err(usage)?;
    let (mut mode, mut since) = (None, None);
    loop {
        let key_at = reader.position();
        let key = reader.string("an option in quotes").map_err(usage)?;
        reader.expect(&Token::Eq).map_err(usage)?;
        let value_at = reader.position();
        let value = read_value(&mut reader)?;
        match key.replace('_', "-").as_str() {
            STARTUP_MODE => mode = Some((value, value_at)),
            TIMESTAMP => since = Some((value, value_at)),
            _ => {
                let message = format!(
                    "the option '{key}' holds for all who read or write '{table}', and is not given in a query"
                );
                let hint = format!("ALTER TABLE {table} SET ('{key}' = '{value}'), or another table LIKE it");
                return Err(SqlError::new(Mistake::Option, message).at(key_at, script).hint(hint));
            }
        }
        if !reader.take(&Token::Comma) {
            break;
        }
    }
    reader.expect(&Token::RParen).map_err(usage)?;
    if !reader.at_end() {
        return Err(reader.expected("the end of the hint").hint(USAGE));
    }
    startup_of(mode, since).map_err(|(error, place)| error.at(place.unwrap_or(at), script))
}

/// What the two options say; a mistake with its place, if it has one of its own.
fn startup_of(
    mode: Option<Value>,
    since: Option<Value>,
) -> std::result::Result<Startup, (SqlError, Option<Position>)> {
    let wrong = |message: String, at: Option<Position>| (SqlError::new(Mistake::Option, message), at);
    let Some((mode, mode_at)) = mode else {
        let at = since.map(|(_, at)| at);
        return Err(wrong(format!("'{TIMESTAMP}' lacks '{STARTUP_MODE}' = 'timestamp'"), at));
    };
    let mode_at = Some(mode_at);
    match (mode.as_str(), since) {
        ("earliest-offset", None) => Ok(Startup::Earliest),
        ("latest-offset", None) => Ok(Startup::Latest),
        ("timestamp", Some((millis, at))) => {
            let nanos = millis.parse().ok().and_then(|millis: i64| millis.checked_mul(1_000_000));
            let not_a_time =
                || wrong(format!("'{millis}' is no number of milliseconds since 1970"), Some(at));
            nanos.map(|nanos| Startup::Arrival(EventTime(nanos))).ok_or_else(not_a_time)
        }
        ("timestamp", None) => {
            Err(wrong(format!("'{STARTUP_MODE}' = 'timestamp' lacks '{TIMESTAMP}'"), mode_at))
        }
        ("earliest-offset" | "latest-offset", Some((_, at))) => {
            Err(wrong(format!("'{TIMESTAMP}' is for '{STARTUP_MODE}' = 'timestamp'"), Some(at)))
        }
        ("group-offsets" | "specific-offsets", _) => {
            let message = format!(
                "'{STARTUP_MODE}' = '{mode}' is of a topic, and a job reads the rows that were read of it"
            );
            let (error, at) = wrong(message, mode_at);
            Err((error.hint(format!("for a query there are {}", MODES.join(", "))), at))
        }
        _ => {
            let all = || format!("there are {}", MODES.join(", "));
            let (error, at) = wrong(format!("there is no '{STARTUP_MODE}' '{mode}'"), mode_at);
            Err((error.hint(did_you_mean(&mode, MODES).unwrap_or_else(all)), at))
        }
    }
}
