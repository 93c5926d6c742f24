//! Scripts: statements separated by semicolons.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::reader::Reader;
use super::settings::Settings;
use super::statements;
use crate::error::{Mistake, Result, SqlError};
use crate::statement::Parsed;

/// Parses a script: statements separated by semicolons.
pub fn parse(text: &str) -> Result<Vec<Parsed>> {
    // Some editors put a mark before a text in UTF-8.
    let mut reader = Reader::new(text.trim_start_matches('\u{feff}'))?;
    let mut statements = Vec::new();
    let mut settings = Settings::default();
    loop {
        while reader.take(&Token::SemiColon) {}
        if reader.at_end() {
            settings.finish()?;
            return Ok(statements);
        }
        let mut parsed = statements::read_statement(&mut reader)?;
        if !settings.take(&mut parsed)? {
            statements.push(parsed);
        }
        if !reader.at_end() && *reader.peek() != Token::SemiColon {
            return Err(reader.expected("';' or the end"));
        }
    }
}

/// Parses exactly one statement.
pub fn parse_one(text: &str) -> Result<Parsed> {
    let mut all = parse(text)?;
    match (all.pop(), all.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => Err(SqlError::new(Mistake::Syntax, "there is no statement")),
        (Some(last), more) => {
            Err(SqlError::new(Mistake::Syntax, format!("expected one statement, found {}", more + 1))
                .at(last.position, &last.script))
        }
    }
}
