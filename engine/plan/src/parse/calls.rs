//! Calls whose arguments need another reading than those of most functions: with lambdas, and with keywords of JSON and of Flink.

use datafusion::sql::sqlparser::ast::{
    CastKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    LambdaFunction, LambdaFunctionParameter, LambdaSyntax, ObjectName, OneOrManyWithParens,
};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cast_types;
use super::flink;
use super::json;
use super::json_aggregates;
use super::unicode;

/// The functions that take lambdas. Only there `x -> ...` is one: anywhere else the arrow looks into JSON.
pub(crate) const WITH_LAMBDAS: [&str; 9] = [
    "any_match",
    "array_any_match",
    "array_filter",
    "array_first",
    "array_transform",
    "list_any_match",
    "list_filter",
    "list_first",
    "list_transform",
];

/// Reads a call that is next, if it is one of these.
pub(super) fn parse_call(parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
    if let Some(literal) = flink::map(parser).or_else(|| unicode::parse(parser)) {
        return Some(literal);
    }
    let Token::Word(word) = &parser.peek_token_ref().token else { return None };
    if word.quote_style.is_some() || parser.peek_nth_token_ref(1).token != Token::LParen {
        return None;
    }
    let name = word.value.to_lowercase();
    if WITH_LAMBDAS.contains(&name.as_str()) {
        return Some(with_lambdas(parser));
    }
    if json_aggregates::NAMES.contains(&name.as_str()) {
        return Some(json_aggregates::parse(parser));
    }
    match name.as_str() {
        "cast" => return Some(cast_types::parse(parser, CastKind::Cast)),
        "try_cast" => return Some(cast_types::parse(parser, CastKind::TryCast)),
        _ => {}
    }
    if let Some(read) = flink::parse(parser, &name) {
        return Some(read);
    }
    json::reader_of(&name).map(|read| {
        let ident = parser.parse_identifier()?;
        parser.expect_token(&Token::LParen)?;
        let args = read(parser)?;
        parser.expect_token(&Token::RParen)?;
        Ok(call(ident, args))
    })
}

/// A call of a function with these arguments.
pub(crate) fn call(name: Ident, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() };
    Expr::Function(Function {
        name: ObjectName::from(vec![name]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn with_lambdas(parser: &mut Parser<'_>) -> Result<Expr, ParserError> {
    let name = parser.parse_identifier()?;
    parser.expect_token(&Token::LParen)?;
    let args = parser.parse_comma_separated0(parse_argument, Token::RParen)?;
    parser.expect_token(&Token::RParen)?;
    Ok(call(name, args))
}

/// `x -> body`, `(x, y) -> body`, or any other expression.
fn parse_argument(parser: &mut Parser<'_>) -> Result<Expr, ParserError> {
    let params = parser.maybe_parse(|parser| {
        let params = if parser.consume_token(&Token::LParen) {
            let params = parser.parse_comma_separated(parse_parameter)?;
            parser.expect_token(&Token::RParen)?;
            OneOrManyWithParens::Many(params)
        } else {
            OneOrManyWithParens::One(parse_parameter(parser)?)
        };
        parser.expect_token(&Token::Arrow)?;
        Ok(params)
    })?;
    let Some(params) = params else { return parser.parse_expr() };
    let body = Box::new(parser.parse_expr()?);
    Ok(Expr::Lambda(LambdaFunction { params, body, syntax: LambdaSyntax::Arrow }))
}

fn parse_parameter(parser: &mut Parser<'_>) -> Result<LambdaFunctionParameter, ParserError> {
    Ok(LambdaFunctionParameter { name: parser.parse_identifier()?, data_type: None })
}
