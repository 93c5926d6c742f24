//! `JSON_ARRAYAGG(value ...)` and `JSON_OBJECTAGG(key VALUE value ...)` as calls of plain aggregates over JSON.
//!
//! `JSON_ARRAYAGG(x ORDER BY t NULL ON NULL)` becomes `json_arrayagg(coalesce(json_string(x), 'null') ORDER BY t, x)`. What is
//! NULL is left out by the aggregate, so what is said ON NULL is in the text; and the value is the last of what rows are
//! ordered by, so that their order does not depend on when they came.

use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Expr, FunctionArgumentClause, FunctionArguments, Ident, OrderByExpr, OrderByOptions,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::calls::call;
use super::json::{key, on_null, shape_of, text};

const OBJECT: &str = "json_objectagg";

/// The aggregates.
pub(super) const NAMES: [&str; 2] = ["json_arrayagg", OBJECT];

/// Reads a call that is next, with its FILTER.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Expr, ParserError> {
    let name = parser.parse_identifier()?;
    let is_object = name.value.eq_ignore_ascii_case(OBJECT);
    parser.expect_token(&Token::LParen)?;
    let distinct = !is_object && parser.parse_keyword(Keyword::DISTINCT);
    let mut args = if is_object { vec![key(parser)?] } else { Vec::new() };
    let value = parser.parse_expr()?;
    // Of equal values with different orders, none would be the one to keep.
    let mut order = if !distinct && parser.parse_keywords(&[Keyword::ORDER, Keyword::BY]) {
        parser.parse_comma_separated(Parser::parse_order_by_expr)?
    } else {
        Vec::new()
    };
    let on_null = on_null(parser).unwrap_or(if is_object { "null" } else { "absent" });
    parser.expect_token(&Token::RParen)?;
    args.push(as_json(&value, on_null));
    // A number in ORDER BY would be the number of a column.
    if !matches!(value, Expr::Value(_)) {
        let options = OrderByOptions { asc: None, nulls_first: None };
        order.push(OrderByExpr { expr: value, options, with_fill: None });
    }
    let shown = name.value.to_uppercase();
    let mut aggregate = call(name, args);
    if let Expr::Function(function) = &mut aggregate {
        function.filter = filter(parser)?;
        if let FunctionArguments::List(list) = &mut function.args {
            list.duplicate_treatment = distinct.then_some(DuplicateTreatment::Distinct);
            list.clauses.extend((!order.is_empty()).then_some(FunctionArgumentClause::OrderBy(order)));
        }
    }
    let next = parser.peek_token_ref();
    if matches!(&next.token, Token::Word(word) if word.keyword == Keyword::OVER) {
        let message = format!("{shown} takes the rows of a group, and is not computed OVER rows");
        return Err(ParserError::ParserError(format!("{message}{}", next.span.start)));
    }
    Ok(aggregate)
}

/// `FILTER (WHERE condition)`, if that is next.
fn filter(parser: &mut Parser<'_>) -> Result<Option<Box<Expr>>, ParserError> {
    if !parser.parse_keyword(Keyword::FILTER) {
        return Ok(None);
    }
    parser.expect_token(&Token::LParen)?;
    parser.expect_keyword_is(Keyword::WHERE)?;
    let condition = parser.parse_expr()?;
    parser.expect_token(&Token::RParen)?;
    Ok(Some(Box::new(condition)))
}

/// A value as JSON, or NULL if it is to be left out.
fn as_json(value: &Expr, on_null: &str) -> Expr {
    let json = match shape_of(value) {
        'j' => value.clone(),
        _ => call(Ident::new("json_string"), vec![value.clone()]),
    };
    if on_null == "absent" { json } else { call(Ident::new("coalesce"), vec![json, text("null")]) }
}
