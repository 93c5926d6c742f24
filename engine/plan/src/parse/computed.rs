//! Columns of CREATE STREAM and CREATE TABLE that are computed: `cost AS price * quantity`, and `ts TIMESTAMP GENERATED ALWAYS AS (...)`.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::columns::Columns;
use super::reader::{Reader, normal};
use crate::computed::ComputedColumn;
use crate::error::{Mistake, Result, SqlError};
use crate::script::Script;
use crate::statement::Name;
use crate::walk::expressions;

/// What follows on `name AS`.
pub(super) fn read_computed(reader: &mut Reader, columns: &mut Columns, name: Name) -> Result<()> {
    let position = reader.position();
    let (expr, text) = reader.expr()?;
    if reader.take_words("COMMENT") {
        reader.string("a comment")?;
    }
    let (place, script) = (columns.fields.len() + columns.computed.len(), reader.script().clone());
    columns.computed.push(ComputedColumn {
        name: name.value,
        place,
        text,
        kind: None,
        expr: Box::new(expr),
        position,
        script,
    });
    Ok(())
}

/// `GENERATED ALWAYS AS (...) [STORED | VIRTUAL]` behind a name and a type, if it comes next.
pub(super) fn read_generated(
    reader: &mut Reader,
    columns: &mut Columns,
    name: &Name,
    kind: &DataType,
) -> Result<bool> {
    if !reader.take_words("GENERATED ALWAYS AS") {
        return Ok(false);
    }
    reader.expect(&Token::LParen)?;
    read_computed(reader, columns, name.clone())?;
    reader.expect(&Token::RParen)?;
    let _ = reader.take_words("STORED") || reader.take_words("VIRTUAL");
    if let Some(column) = columns.computed.last_mut() {
        column.kind = Some(kind.clone());
    }
    Ok(true)
}

/// A computed column is computed from what is stored.
pub(super) fn check_computed(columns: &Columns) -> Result<()> {
    for column in &columns.computed {
        if let Some(other) = names_in(&column.expr).into_iter().find(|name| columns.computes(name)) {
            let message = format!("'{}' is computed from '{other}', which is computed itself", column.name);
            return Err(SqlError::new(Mistake::Definition, message)
                .at(column.position, &column.script)
                .hint("write what that is computed from in its place"));
        }
    }
    Ok(())
}

/// Refuses a computed column where one must be stored.
pub(super) fn must_be_stored(script: &Script, columns: &Columns, name: &Name, for_what: &str) -> Result<()> {
    if !columns.computes(&name.value) {
        return Ok(());
    }
    let message = format!("'{}' is computed, and {for_what} is of columns that are stored", name.value);
    Err(SqlError::new(Mistake::Definition, message)
        .at(name.position, script)
        .hint("name the columns that it is computed from"))
}

/// The columns that an expression names.
pub(crate) fn names_in(expr: &Expr) -> Vec<String> {
    let mut names = Vec::new();
    let _ = expressions(expr, |expr| {
        if let Expr::Identifier(ident) = expr {
            names.push(normal(ident));
        }
        ControlFlow::<()>::Continue(())
    });
    names
}
