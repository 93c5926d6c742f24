//! `CAST(x AS ROW<a INT, b ARRAY<STRING>>)`: casts to types that the parser of expressions has not, in Flink's spelling.

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CastKind, DataType, Expr, Ident, StructBracketKind, StructField,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// Reads a `CAST(x AS type)` or `TRY_CAST` that is next.
pub(super) fn parse(parser: &mut Parser<'_>, kind: CastKind) -> Result<Expr, ParserError> {
    parser.next_token();
    parser.expect_token(&Token::LParen)?;
    let expr = Box::new(parser.parse_expr()?);
    parser.expect_keyword_is(Keyword::AS)?;
    let mut owed = 0;
    let data_type = read(parser, &mut owed)?;
    if owed > 0 {
        return parser.expected_ref(")", parser.peek_token_ref());
    }
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Cast { kind, expr, data_type, array: false, format: None })
}

/// `owed` counts the closing brackets that were read too many, as `>>` is one token.
fn read(parser: &mut Parser<'_>, owed: &mut u32) -> Result<DataType, ParserError> {
    let opens = matches!(parser.peek_nth_token_ref(1).token, Token::Lt | Token::LParen);
    let mut kind = match word(parser).filter(|_| opens).as_deref() {
        Some("ARRAY") => {
            open(parser);
            let item = Box::new(read(parser, owed)?);
            close(parser, owed)?;
            DataType::Array(ArrayElemTypeDef::AngleBracket(item))
        }
        Some("MAP") => {
            open(parser);
            let key = Box::new(read(parser, owed)?);
            parser.expect_token(&Token::Comma)?;
            let value = Box::new(read(parser, owed)?);
            close(parser, owed)?;
            DataType::Map(key, value)
        }
        // As COLLECT gives it: how often an element is there.
        Some("MULTISET") => {
            open(parser);
            let element = Box::new(read(parser, owed)?);
            close(parser, owed)?;
            DataType::Map(element, Box::new(DataType::Int(None)))
        }
        Some("ROW" | "STRUCT") => {
            open(parser);
            let mut fields = vec![field(parser, owed)?];
            while *owed == 0 && parser.consume_token(&Token::Comma) {
                fields.push(field(parser, owed)?);
            }
            close(parser, owed)?;
            DataType::Struct(fields, StructBracketKind::AngleBrackets)
        }
        _ => parser.parse_data_type()?,
    };
    while *owed == 0 && parser.consume_token(&Token::LBracket) {
        parser.expect_token(&Token::RBracket)?;
        kind = DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(kind), None));
    }
    // What is cast may be NULL, whatever is said.
    if *owed == 0 {
        let _ = parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]);
    }
    Ok(kind)
}

fn field(parser: &mut Parser<'_>, owed: &mut u32) -> Result<StructField, ParserError> {
    let name: Ident = parser.parse_identifier()?;
    Ok(StructField { field_name: Some(name), field_type: read(parser, owed)?, options: None })
}

fn word(parser: &Parser<'_>) -> Option<String> {
    match &parser.peek_token_ref().token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
        _ => None,
    }
}

fn open(parser: &mut Parser<'_>) {
    parser.next_token();
    parser.next_token();
}

fn close(parser: &mut Parser<'_>, owed: &mut u32) -> Result<(), ParserError> {
    if *owed > 0 {
        *owed -= 1;
        return Ok(());
    }
    if parser.consume_token(&Token::ShiftRight) {
        *owed = 1;
        return Ok(());
    }
    if parser.consume_token(&Token::Gt) || parser.consume_token(&Token::RParen) {
        return Ok(());
    }
    parser.expected_ref("'>'", parser.peek_token_ref())
}
