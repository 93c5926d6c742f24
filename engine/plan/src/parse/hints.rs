//! Reads the hints `/*+ STATE_TTL('a' = '1 day'), LOOKUP(...) */` behind SELECT. Those of Flink's that say how a join is to be done, and
//! not what comes out of it, are passed over; any other is a mistake.

mod lookup;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Query, Select, TableFactor, TableWithJoins, Visitor};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::options::{duration, read_value};
use super::reader::{Reader, normal, position};
use crate::error::{Mistake, Result, SqlError, did_you_mean};
use crate::lookup::TableRetry;
use crate::parse::name_of;
use crate::script::{Position, Script};
use crate::state_ttl::{Hint, named};
use crate::walk::Walk;

const NAME: &str = "STATE_TTL";
const LOOKUP: &str = "LOOKUP";

/// How a join is done, which follows from the plan, and a name for the hints themselves.
const PASSED_OVER: [&str; 6] =
    ["BROADCAST", "SHUFFLE_HASH", "SHUFFLE_MERGE", "NEST_LOOP", "MULTI_JOIN", "ALIAS"];

const USAGE: &str = "SELECT /*+ STATE_TTL('a' = '1 day', 'b' = '20 s') */ ... FROM a JOIN b ON ...";

/// What hints say that counts.
#[derive(Default)]
pub(super) struct Hints {
    /// How long rows of tables are kept.
    pub keeps: Vec<Hint>,
    /// Which tables are asked again.
    pub retries: Vec<TableRetry>,
}

/// A table of FROM, as a hint may call it.
struct FromTable {
    /// Its alias, or the last part of its own name.
    name: String,
    /// Its own name, if it is no query.
    own: Option<String>,
    /// Where the first of them stands that there is.
    at: Position,
}

/// The hints of a query and of those within it.
pub(super) fn hints_of(query: &Query, script: &Script) -> Result<Hints> {
    let mut found = Found { script, hints: Hints::default() };
    match query.walk(&mut found) {
        ControlFlow::Continue(()) => Ok(found.hints),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Found<'a> {
    script: &'a Script,
    hints: Hints,
}

impl Visitor for Found<'_> {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<SqlError> {
        let end = position(select.select_token.0.span.end);
        for hint in select.optimizer_hints.iter().filter(|hint| hint.prefix.is_empty()) {
            let start = place_of(&hint.text, end, self.script);
            if let Err(error) = self.read(&hint.text, start, &tables_of(select)) {
                return ControlFlow::Break(error);
            }
        }
        ControlFlow::Continue(())
    }
}

/// Where the text of a hint stands that follows upon SELECT.
fn place_of(hint: &str, select: Position, script: &Script) -> Position {
    const OPENS: &str = "/*+";
    let from = script.offset(select);
    let found = script.as_str()[from..].find(&format!("{OPENS}{hint}"));
    found.map_or(select, |offset| script.position(from + offset + OPENS.len()))
}

/// The tables in FROM.
fn tables_of(select: &Select) -> Vec<FromTable> {
    let mut tables = Vec::new();
    select.from.iter().for_each(|from| collect(from, &mut tables));
    tables
}

fn collect(from: &TableWithJoins, tables: &mut Vec<FromTable>) {
    for factor in std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)) {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            collect(table_with_joins, tables);
        }
        let own = match factor {
            TableFactor::Table { name, .. } => Some(name_of(name)),
            _ => None,
        };
        let table = named(&mut factor.clone()).map(|name| FromTable {
            name: normal(name),
            own,
            at: position(name.span.start),
        });
        tables.extend(table);
    }
}

impl Found<'_> {
    fn read(&mut self, text: &str, start: Position, tables: &[FromTable]) -> Result<()> {
        let (script, hints) = (self.script, &mut self.hints);
        let mut reader = Reader::part(text, start, false, script.clone())?;
        while !reader.at_end() {
            let at = reader.position();
            if reader.take(&Token::Comma) {
                continue;
            }
            let Some(name) = reader.peek_word(0) else { return Err(reader.expected("a hint").hint(USAGE)) };
            reader.next();
            if name == NAME {
                reader.expect(&Token::LParen).map_err(|error| error.hint(USAGE))?;
                hints.keeps.push(read_entry(&mut reader, tables)?);
                while reader.take(&Token::Comma) {
                    hints.keeps.push(read_entry(&mut reader, tables)?);
                }
                reader.expect(&Token::RParen).map_err(|error| error.hint(USAGE))?;
            } else if name == LOOKUP {
                hints.retries.extend(lookup::read(&mut reader, tables)?);
            } else if PASSED_OVER.contains(&name.as_str()) {
                skip_arguments(&mut reader);
            } else {
                let known = || PASSED_OVER.into_iter().chain([NAME, LOOKUP]);
                let all = format!("there are {}", known().collect::<Vec<_>>().join(", "));
                return Err(SqlError::new(Mistake::Option, format!("there is no hint '{name}'"))
                    .at(at, script)
                    .hint(did_you_mean(&name, known()).unwrap_or(all)));
            }
        }
        Ok(())
    }
}

/// What is said of a name that no table of FROM has.
fn not_in_from(hint: &str, name: &str, tables: &[FromTable]) -> SqlError {
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let near = did_you_mean(name, names.iter().copied());
    let all = format!("there are {}", names.join(", "));
    SqlError::new(Mistake::UnknownName, format!("{hint} names '{name}', which is not in FROM"))
        .hint(near.unwrap_or(all))
}

/// `(...)`, if that is next.
fn skip_arguments(reader: &mut Reader) {
    let mut depth = 0;
    while !reader.at_end() {
        match reader.peek() {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ if depth == 0 => return,
            _ => {}
        }
        reader.next();
        if depth <= 0 {
            return;
        }
    }
}

/// `'table' = 'length'`.
fn read_entry(reader: &mut Reader, tables: &[FromTable]) -> Result<Hint> {
    let script = reader.script().clone();
    let at = reader.position();
    let quoted = matches!(reader.peek(), Token::SingleQuotedString(_) | Token::DoubleQuotedString(_));
    let name = if quoted { reader.string("a table")? } else { reader.column()?.value };
    reader.expect(&Token::Eq).map_err(|error| error.hint(USAGE))?;
    let length_at = reader.position();
    let text = read_value(reader)?;
    let length = duration(&text).and_then(|length| i64::try_from(length.as_nanos()).ok());
    let nanos = length.ok_or_else(|| {
        SqlError::new(Mistake::Option, format!("'{text}' is no length of time for {NAME} of '{name}'"))
            .at(length_at, &script)
            .hint("'20 s', '1 day', or '0 s' for ever")
    })?;
    let is_it = |table: &&FromTable| table.name == name || table.name == name.to_lowercase();
    let table = tables.iter().find(is_it).ok_or_else(|| not_in_from(NAME, &name, tables).at(at, &script))?;
    let unused =
        format!("{NAME} ends nothing here: no join, GROUP BY or OVER keeps rows of '{name}' for ever");
    let unused = SqlError::new(Mistake::Option, unused)
        .at(at, &script)
        .hint("it is for tables of a join, a GROUP BY or an OVER in the same SELECT; windows and joins by time end by themselves");
    Ok(Hint { table: table.at, nanos, unused })
}
