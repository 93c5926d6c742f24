//! Reads the hints `/*+ STATE_TTL('a' = '1 day') */` behind SELECT. Those of Flink's that say how a join is to be done, and not what comes
//! out of it, are passed over; any other is a mistake.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Query, Select, TableFactor, TableWithJoins, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::options::{duration, read_value};
use super::reader::{Reader, normal, position};
use crate::error::{Mistake, Result, SqlError, did_you_mean};
use crate::script::{Position, Script};
use crate::state_ttl::{Hint, named};

const NAME: &str = "STATE_TTL";
const LOOKUP: &str = "LOOKUP";
const LOOKUP_USAGE: &str = "SELECT /*+ LOOKUP('table' = 'd', 'async' = 'true') */ ...";

/// How a table is asked: all keys of a step at once, in any case.
const LOOKUP_PASSED_OVER: [&str; 6] = ["table", "async", "output-mode", "capacity", "timeout", "shuffle"];

/// How a join is done, which follows from the plan, and a name for the hints themselves.
const PASSED_OVER: [&str; 6] =
    ["BROADCAST", "SHUFFLE_HASH", "SHUFFLE_MERGE", "NEST_LOOP", "MULTI_JOIN", "ALIAS"];

const USAGE: &str = "SELECT /*+ STATE_TTL('a' = '1 day', 'b' = '20 s') */ ... FROM a JOIN b ON ...";

/// The hints of a query and of those within it.
pub(super) fn hints_of(query: &Query, script: &Script) -> Result<Vec<Hint>> {
    let mut found = Found { script, hints: Vec::new() };
    match query.visit(&mut found) {
        ControlFlow::Continue(()) => Ok(found.hints),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Found<'a> {
    script: &'a Script,
    hints: Vec<Hint>,
}

impl Visitor for Found<'_> {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<SqlError> {
        let end = position(select.select_token.0.span.end);
        for hint in select.optimizer_hints.iter().filter(|hint| hint.prefix.is_empty()) {
            let start = place_of(&hint.text, end, self.script);
            match read(&hint.text, start, self.script, &tables_of(select)) {
                Ok(hints) => self.hints.extend(hints),
                Err(error) => return ControlFlow::Break(error),
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

/// The names of the tables in FROM, and their places.
fn tables_of(select: &Select) -> Vec<(String, Position)> {
    let mut tables = Vec::new();
    select.from.iter().for_each(|from| collect(from, &mut tables));
    tables
}

fn collect(from: &TableWithJoins, tables: &mut Vec<(String, Position)>) {
    for factor in std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)) {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            collect(table_with_joins, tables);
        }
        let name = named(&mut factor.clone()).map(|name| (normal(name), position(name.span.start)));
        tables.extend(name);
    }
}

fn read(text: &str, start: Position, script: &Script, tables: &[(String, Position)]) -> Result<Vec<Hint>> {
    let mut reader = Reader::part(text, start, false, script.clone())?;
    let mut hints = Vec::new();
    while !reader.at_end() {
        let at = reader.position();
        if reader.take(&Token::Comma) {
            continue;
        }
        let Some(name) = reader.peek_word(0) else { return Err(reader.expected("a hint").hint(USAGE)) };
        reader.next();
        if name == NAME {
            reader.expect(&Token::LParen).map_err(|error| error.hint(USAGE))?;
            hints.push(read_entry(&mut reader, tables)?);
            while reader.take(&Token::Comma) {
                hints.push(read_entry(&mut reader, tables)?);
            }
            reader.expect(&Token::RParen).map_err(|error| error.hint(USAGE))?;
        } else if name == LOOKUP {
            read_lookup(&mut reader)?;
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
    Ok(hints)
}

/// `('table' = 'd', 'async' = 'true', ...)`. That a row is looked up again which had no match is another result.
fn read_lookup(reader: &mut Reader) -> Result<()> {
    reader.expect(&Token::LParen).map_err(|error| error.hint(LOOKUP_USAGE))?;
    loop {
        let at = reader.position();
        let key = reader.string("an option").map_err(|error| error.hint(LOOKUP_USAGE))?;
        reader.expect(&Token::Eq).map_err(|error| error.hint(LOOKUP_USAGE))?;
        read_value(reader)?;
        if !LOOKUP_PASSED_OVER.contains(&key.as_str()) {
            let message =
                format!("LOOKUP takes no '{key}' here: a row without a match is not looked up again");
            let hint = "ALTER TABLE d SET ('lookup.max-retries' = '3') says how often a table is asked that does not answer";
            return Err(SqlError::new(Mistake::Option, message).at(at, reader.script()).hint(hint));
        }
        if !reader.take(&Token::Comma) {
            return reader.expect(&Token::RParen);
        }
    }
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
fn read_entry(reader: &mut Reader, tables: &[(String, Position)]) -> Result<Hint> {
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
    let is_it = |(table, _): &&(String, Position)| *table == name || *table == name.to_lowercase();
    let Some((_, table)) = tables.iter().find(is_it) else {
        let names: Vec<&str> = tables.iter().map(|(table, _)| table.as_str()).collect();
        let near = did_you_mean(&name, names.iter().copied());
        let all = format!("there are {}", names.join(", "));
        return Err(SqlError::new(
            Mistake::UnknownName,
            format!("{NAME} names '{name}', which is not in FROM"),
        )
        .at(at, &script)
        .hint(near.unwrap_or(all)));
    };
    let unused =
        format!("{NAME} ends nothing here: no join, GROUP BY or OVER keeps rows of '{name}' for ever");
    let unused = SqlError::new(Mistake::Option, unused)
        .at(at, &script)
        .hint("it is for tables of a join, a GROUP BY or an OVER in the same SELECT; windows and joins by time end by themselves");
    Ok(Hint { table: *table, nanos, unused })
}
