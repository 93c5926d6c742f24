//! Text to statements: our own dialect and statement parser over the tokens of DataFusion's SQL parser.

use datafusion::sql::sqlparser::ast::ObjectName;

use crate::definition::StreamDef;
use crate::error::{Mistake, Result, SqlError};
use crate::script::Script;
use crate::statement::{Name, Parsed};

/// Parses a script: statements separated by semicolons.
pub fn parse(text: &str) -> Result<Vec<Parsed>> {
    let _ = text;
    Err(SqlError::new(Mistake::Syntax, "statements are not parsed yet"))
}

/// Parses exactly one statement.
pub fn parse_one(text: &str) -> Result<Parsed> {
    let mut all = parse(text)?;
    match (all.pop(), all.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => Err(SqlError::new(Mistake::Syntax, "there is no statement")),
        (Some(_), more) => {
            Err(SqlError::new(Mistake::Syntax, format!("expected one statement, found {}", more + 1)))
        }
    }
}

pub(crate) fn set_options(stream: &mut StreamDef, options: &[(Name, String)], script: &Script) -> Result<()> {
    let _ = (stream, options, script);
    Err(SqlError::new(Mistake::Option, "options are not parsed yet"))
}

pub(crate) fn name_of(name: &ObjectName) -> String {
    name.to_string()
}
