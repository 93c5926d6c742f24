//! Statements that are done together: a set of INSERT INTO, and CREATE TABLE AS.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::reader::Reader;
use super::statements::{read_insert, read_statement};
use crate::error::{Mistake, Result, SqlError};
use crate::script::Position;
use crate::statement::{CreateStream, Insert, InsertSettings, Parsed, Statement, Together};

/// `EXECUTE STATEMENT SET BEGIN INSERT INTO ...; ... END`, and Flink's other words for an INSERT INTO or a query.
pub(super) fn read_execute(reader: &mut Reader) -> Result<Statement> {
    reader.expect_words("EXECUTE")?;
    if reader.take_words("STATEMENT SET") {
        reader.expect_words("BEGIN")?;
        return read_set(reader);
    }
    match reader.peek_word(0).as_deref() {
        Some("INSERT") => Ok(Statement::Insert(read_insert(reader)?)),
        Some("SELECT" | "WITH") => Ok(Statement::Query(reader.query()?)),
        _ => Err(reader.expected("STATEMENT SET, INSERT INTO or SELECT")),
    }
}

/// `BEGIN STATEMENT SET; INSERT INTO ...; ... END`.
pub(super) fn read_begin(reader: &mut Reader) -> Result<Statement> {
    reader.expect_words("BEGIN STATEMENT SET")?;
    read_set(reader)
}

/// The INSERT INTO of a set, behind its BEGIN.
pub(super) fn read_set(reader: &mut Reader) -> Result<Statement> {
    let mut statements = Vec::new();
    loop {
        while reader.take(&Token::SemiColon) {}
        if reader.take_words("END") {
            break;
        }
        if !reader.sees("INSERT") {
            return Err(reader.expected("INSERT INTO or END"));
        }
        let mut parsed = read_statement(reader)?;
        if let Statement::Insert(insert) = &mut parsed.statement {
            insert.settings.goes_on = Some(true);
        }
        statements.push(parsed);
        if *reader.peek() != Token::SemiColon && !reader.sees("END") {
            return Err(reader.expected("';' or END"));
        }
    }
    if statements.is_empty() {
        return Err(SqlError::new(Mistake::Syntax, "there is no INSERT INTO in the statement set")
            .at(reader.position(), reader.script()));
    }
    Ok(Statement::Together(Together { table: None, inserts: statements }))
}

/// `AS SELECT ...` behind CREATE TABLE: the table, and what goes into it. `start`: where TABLE stands.
pub(super) fn read_table_as(reader: &mut Reader, create: CreateStream, start: Position) -> Result<Statement> {
    let script = reader.script().clone();
    let text = format!("CREATE {}", reader.text_since(start));
    reader.expect_words("AS")?;
    let position = reader.position();
    let query = reader.query()?;
    let target = create.name.clone();
    let text_of_insert = format!("INSERT INTO {} {}", quoted(&target.value), reader.text_since(position));
    let settings = InsertSettings { goes_on: Some(true), ..InsertSettings::default() };
    let insert = Insert { target, columns: Vec::new(), query, text: text_of_insert.clone(), settings };
    let insert = Parsed {
        statement: Statement::Insert(insert),
        text: text_of_insert,
        position,
        script: script.clone(),
    };
    let table = Parsed { statement: Statement::CreateTable(create), text, position: start, script };
    Ok(Statement::Together(Together { table: Some(Box::new(table)), inserts: vec![insert] }))
}

fn quoted(name: &str) -> String {
    let parts = name.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\"")));
    parts.collect::<Vec<_>>().join(".")
}
