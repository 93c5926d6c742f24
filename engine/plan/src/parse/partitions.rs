//! `INSERT INTO t PARTITION (p = 'x') SELECT ...`: the constants are columns like others.
//!
//! ```text
//!  INSERT INTO t PARTITION (p = 'x') SELECT a, b FROM s
//! ```
//!
//! becomes, in the syntax tree,
//!
//! ```text
//!  INSERT INTO t (*, p) SELECT a, b, 'x' FROM s
//! ```
//!
//! where `*` stands for all columns that are not named beside it: which these are is known when the statement is planned.

use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, SelectItem, SetExpr, Value};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::dialect::HeadwaterDialect;
use super::reader::Reader;
use crate::error::{Mistake, Result, SqlError};
use crate::script::Position;
use crate::statement::Name;

/// Stands among the columns that an INSERT fills for all that it does not name.
const OTHERS: &str = "*";

/// The columns that an INSERT fills, with a name for each: of all that there are, if it names none.
pub(crate) fn named_columns(all: &[&str], names: &[String]) -> Vec<String> {
    let others = || all.iter().filter(|column| !names.iter().any(|name| name == *column));
    if names.is_empty() {
        return others().map(|column| (*column).to_owned()).collect();
    }
    let columns = names.iter().flat_map(|name| match name.as_str() {
        OTHERS => others().map(|column| (*column).to_owned()).collect(),
        _ => vec![name.clone()],
    });
    columns.collect()
}

/// Whether a column is filled for which no name is given.
pub(crate) fn fills_others(names: &[String]) -> bool {
    names.is_empty() || names.iter().any(|name| name == OTHERS)
}

/// The columns of a partition, what each is in all rows, and where it is said.
#[derive(Default)]
pub(super) struct Partition {
    constants: Vec<(Name, Expr)>,
    position: Option<Position>,
}

impl Partition {
    /// Reads `PARTITION (p = 'x', ...)`, if it comes next.
    pub(super) fn read(reader: &mut Reader) -> Result<Self> {
        let position = reader.position();
        if !reader.take_words("PARTITION") {
            return Ok(Self::default());
        }
        reader.expect(&Token::LParen)?;
        let mut constants = Vec::new();
        loop {
            let column = reader.column()?;
            if !reader.take(&Token::Eq) {
                let message = format!("the partition column '{}' has no value", column.value);
                let hint = "PARTITION (p = 'x') is of one value; rows that differ in it have it as a column: \
                    INSERT INTO t (a, p) SELECT a, p ...";
                return Err(SqlError::new(Mistake::Syntax, message)
                    .at(column.position, reader.script())
                    .hint(hint));
            }
            let at = reader.position();
            let (expr, text) = reader.expr()?;
            let Some(expr) = constant(expr) else {
                let message = format!("a partition has a constant, and '{text}' is none");
                let hint = "the columns of PARTITIONED BY are columns like others: INSERT INTO t (a, p) SELECT a, ...";
                return Err(SqlError::new(Mistake::Syntax, message).at(at, reader.script()).hint(hint));
            };
            constants.push((column, expr));
            if !reader.take(&Token::Comma) {
                break;
            }
        }
        reader.expect(&Token::RParen)?;
        Ok(Self { constants, position: Some(position) })
    }

    /// Puts the constants behind the columns of a query, and their names behind those that the statement gives.
    pub(super) fn fill(self, query: &mut Query, columns: &mut Vec<Name>, reader: &Reader) -> Result<()> {
        let Some(position) = self.position else { return Ok(()) };
        if !append(&mut query.body, &self.constants) {
            let message = "a partition is filled by SELECT or VALUES";
            return Err(SqlError::new(Mistake::Syntax, message).at(position, reader.script()));
        }
        if columns.is_empty() {
            columns.push(Name { value: OTHERS.to_owned(), position });
        }
        columns.extend(self.constants.into_iter().map(|(name, _)| name));
        Ok(())
    }
}

/// A constant; a whole number in the smallest type, which goes into all others.
fn constant(expr: Expr) -> Option<Expr> {
    let is_literal = |expr: &Expr| match expr {
        Expr::UnaryOp { expr, .. } => matches!(**expr, Expr::Value(_)),
        expr => matches!(expr, Expr::Value(_) | Expr::TypedString(_)),
    };
    let is_constant = match &expr {
        Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => false,
        Expr::Cast { expr, .. } => is_literal(expr),
        expr => is_literal(expr),
    };
    if !is_constant {
        return None;
    }
    let Ok(number) = expr.to_string().parse::<i64>() else { return Some(expr) };
    let kind = match number {
        -0x80..0x80 => "TINYINT",
        -0x8000..0x8000 => "SMALLINT",
        -0x8000_0000..0x8000_0000 => "INT",
        _ => return Some(expr),
    };
    let text = format!("CAST({number} AS {kind})");
    Parser::new(&HeadwaterDialect).try_with_sql(&text).ok()?.parse_expr().ok()
}

/// Puts constants behind the columns of a query. They have names that no column of a `*` has.
fn append(body: &mut SetExpr, constants: &[(Name, Expr)]) -> bool {
    match body {
        SetExpr::Select(select) => {
            let items = constants.iter().map(|(name, expr)| {
                let alias = Ident::with_quote('"', format!("${}", name.value));
                SelectItem::ExprWithAlias { expr: expr.clone(), alias }
            });
            select.projection.extend(items);
            true
        }
        SetExpr::Values(values) => {
            for row in &mut values.rows {
                row.content.extend(constants.iter().map(|(_, expr)| expr.clone()));
            }
            true
        }
        SetExpr::Query(query) => append(&mut query.body, constants),
        SetExpr::SetOperation { left, right, .. } => append(left, constants) && append(right, constants),
        _ => false,
    }
}
