//! Text to statements: our own dialect and statement parser over the tokens of DataFusion's SQL parser.
//!
//! Expressions and queries are read by DataFusion's parser; everything around them here. No text is ever rewritten: a syntax
//! tree's spans are places in the text as it was given.

mod arroyo;
mod columns;
mod create;
mod dialect;
mod options;
mod reader;
mod statements;
mod types;
mod windows;

use datafusion::sql::sqlparser::tokenizer::Token;

pub(crate) use columns::sql_type;
pub(crate) use dialect::{TABLE_ARGUMENT, sole_table};
pub(crate) use options::set_options;
pub(crate) use reader::{name_of, normal, position};
pub(crate) use types::arrow_type;

use crate::error::{Mistake, Result, SqlError};
use crate::statement::Parsed;
use reader::Reader;

/// Parses a script: statements separated by semicolons.
pub fn parse(text: &str) -> Result<Vec<Parsed>> {
    let mut reader = Reader::new(text)?;
    let mut statements = Vec::new();
    loop {
        while reader.take(&Token::SemiColon) {}
        if reader.at_end() {
            return Ok(statements);
        }
        statements.push(statements::read_statement(&mut reader)?);
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
