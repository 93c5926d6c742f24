//! Calls of Flink's that have keywords among their arguments, in the shape in which they run.
//!
//! | written | becomes |
//! |---|---|
//! | `IF(condition, a, b)` | `CASE WHEN condition THEN a ELSE b END` |
//! | `TIMESTAMPADD(unit, n, time)`, `TIMESTAMPDIFF(unit, from, to)` | the same with the unit as a text |
//! | `FLOOR(time TO unit)`, `CEIL(time TO unit)` | `$floor(time, 'unit')`, `$ceil(time, 'unit')` |
//! | `LISTAGG([DISTINCT] text [, separator]) [WITHIN GROUP (ORDER BY ...)]` | `string_agg(...)`, with a comma if nothing is said |

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    CaseWhen, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, Ident,
    ObjectName,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::calls::call;
use super::json::text;

/// Reads a call that is next, if it is one of these.
pub(super) fn parse(parser: &mut Parser<'_>, name: &str) -> Option<Result<Expr, ParserError>> {
    match name {
        "if" => Some(condition(parser)),
        "timestampadd" | "timestampdiff" => Some(with_unit(parser)),
        "listagg" => Some(list(parser)),
        "floor" => to_unit(parser, "$floor"),
        "ceil" | "ceiling" => to_unit(parser, "$ceil"),
        _ => None,
    }
}

fn condition(parser: &mut Parser<'_>) -> Result<Expr, ParserError> {
    parser.parse_identifier()?;
    parser.expect_token(&Token::LParen)?;
    let condition = parser.parse_expr()?;
    parser.expect_token(&Token::Comma)?;
    let result = parser.parse_expr()?;
    parser.expect_token(&Token::Comma)?;
    let otherwise = parser.parse_expr()?;
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition, result }],
        else_result: Some(Box::new(otherwise)),
    })
}

fn with_unit(parser: &mut Parser<'_>) -> Result<Expr, ParserError> {
    let name = parser.parse_identifier()?;
    parser.expect_token(&Token::LParen)?;
    let mut args = vec![unit(parser)?];
    while parser.consume_token(&Token::Comma) {
        args.push(parser.parse_expr()?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(call(name, args))
}

/// A unit of time; `SQL_TSI_DAY` is the same as `DAY`.
fn unit(parser: &mut Parser<'_>) -> Result<Expr, ParserError> {
    let word = parser.parse_identifier()?.value.to_lowercase();
    Ok(text(word.strip_prefix("sql_tsi_").unwrap_or(&word)))
}

/// `(time TO unit)` behind the name; of numbers there is none.
fn to_unit(parser: &mut Parser<'_>, function: &str) -> Option<Result<Expr, ParserError>> {
    let read = parser.maybe_parse(|parser| {
        let name = parser.parse_identifier()?;
        parser.expect_token(&Token::LParen)?;
        let time = parser.parse_expr()?;
        parser.expect_keyword_is(Keyword::TO)?;
        let unit = unit(parser)?;
        parser.expect_token(&Token::RParen)?;
        Ok(call(Ident { value: function.to_owned(), quote_style: None, span: name.span }, vec![time, unit]))
    });
    read.transpose()
}

fn list(parser: &mut Parser<'_>) -> Result<Expr, ParserError> {
    let name = parser.parse_identifier()?;
    let aggregate = Ident { value: "string_agg".to_owned(), quote_style: None, span: name.span };
    let mut aggregate = parser.parse_function(ObjectName::from(vec![aggregate]))?;
    if let Expr::Function(function) = &mut aggregate
        && let FunctionArguments::List(list) = &mut function.args
    {
        if list.args.len() == 1 {
            list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(text(","))));
        }
        let order = std::mem::take(&mut function.within_group);
        list.clauses.extend((!order.is_empty()).then_some(FunctionArgumentClause::OrderBy(order)));
    }
    Ok(aggregate)
}
