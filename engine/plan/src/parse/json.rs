//! The keywords of JSON functions, put into plain arguments: `JSON_VALUE(j, '$.a' RETURNING INT DEFAULT 0 ON EMPTY)` becomes
//! `json_value(j, '$.a', CAST(NULL AS INT), 'default', 0, 'null', NULL)`. What the arguments mean is said at the functions.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Ident, UnaryOperator, Value,
};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::calls::call;
use super::reader::name_of;

type Arguments = Result<Vec<Expr>, ParserError>;

/// Who reads the arguments of a function, if it has keywords among them.
pub(super) fn reader_of(function: &str) -> Option<fn(&mut Parser<'_>) -> Arguments> {
    match function {
        "json_value" => Some(value),
        "json_query" => Some(query),
        "json_exists" => Some(exists),
        "json_object" => Some(object),
        "json_array" => Some(array),
        _ => None,
    }
}

/// `IS [NOT] JSON [VALUE | SCALAR | ARRAY | OBJECT]` behind an expression, if that is next.
pub(super) fn parse_is_json(parser: &mut Parser<'_>, tested: &Expr) -> Option<Expr> {
    let negated = takes(parser, "IS NOT JSON");
    if !negated && !takes(parser, "IS JSON") {
        return None;
    }
    let kind = ["VALUE", "SCALAR", "ARRAY", "OBJECT"].into_iter().find(|kind| takes(parser, kind));
    let kind = text(&kind.unwrap_or("VALUE").to_lowercase());
    let test = call(Ident::new("is_json"), vec![tested.clone(), kind]);
    Some(if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(test) } } else { test })
}

fn value(parser: &mut Parser<'_>) -> Arguments {
    let mut args = input(parser)?;
    let returning = returning(parser)?;
    let (mut on_empty, mut on_error) = (None, None);
    while let Some(clause) = otherwise(parser)? {
        expect(parser, "ON")?;
        if takes(parser, "EMPTY") {
            on_empty = Some(clause);
        } else {
            expect(parser, "ERROR")?;
            on_error = Some(clause);
        }
    }
    if returning.is_none() && on_empty.is_none() && on_error.is_none() {
        return Ok(args);
    }
    let kind = returning.unwrap_or(DataType::String(None));
    args.push(null_of(kind.clone()));
    for clause in [on_empty, on_error] {
        let (what, default) = clause.unwrap_or(("null", None));
        args.push(text(what));
        args.push(match default {
            Some(default) => cast(default, kind.clone()),
            None => null_of(kind.clone()),
        });
    }
    Ok(args)
}

fn query(parser: &mut Parser<'_>) -> Arguments {
    let mut args = input(parser)?;
    let returning = returning(parser)?;
    let wrapper = wrapper(parser);
    let (mut on_empty, mut on_error) = (None, None);
    while let Some(what) = either(parser, &["NULL", "EMPTY ARRAY", "EMPTY OBJECT", "ERROR"]) {
        expect(parser, "ON")?;
        if takes(parser, "EMPTY") {
            on_empty = Some(what);
        } else {
            expect(parser, "ERROR")?;
            on_error = Some(what);
        }
    }
    if returning.is_none() && wrapper.is_none() && on_empty.is_none() && on_error.is_none() {
        return Ok(args);
    }
    args.push(null_of(returning.unwrap_or(DataType::String(None))));
    args.push(text(wrapper.unwrap_or("without")));
    args.extend([on_empty, on_error].map(|clause| text(&clause.unwrap_or("NULL").to_lowercase())));
    Ok(args)
}

fn exists(parser: &mut Parser<'_>) -> Arguments {
    let mut args = input(parser)?;
    if let Some(what) = either(parser, &["TRUE", "FALSE", "UNKNOWN", "ERROR"]) {
        expect(parser, "ON ERROR")?;
        args.push(text(&what.to_lowercase()));
    }
    Ok(args)
}

fn object(parser: &mut Parser<'_>) -> Arguments {
    let (mut pairs, mut shapes) = (Vec::new(), String::new());
    while parser.peek_token_ref().token != Token::RParen && !sees_on_null(parser) {
        pairs.push(key(parser)?);
        let value = parser.parse_expr()?;
        shapes.push(shape_of(&value));
        pairs.push(value);
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    let on_null = on_null(parser).unwrap_or("null");
    Ok([text(on_null), text(&shapes)].into_iter().chain(pairs).collect())
}

fn array(parser: &mut Parser<'_>) -> Arguments {
    let (mut values, mut shapes) = (Vec::new(), String::new());
    while parser.peek_token_ref().token != Token::RParen && !sees_on_null(parser) {
        let value = parser.parse_expr()?;
        shapes.push(shape_of(&value));
        values.push(value);
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    let on_null = on_null(parser).unwrap_or("absent");
    Ok([text(on_null), text(&shapes)].into_iter().chain(values).collect())
}

/// `[KEY] key VALUE`, or `key :`.
pub(super) fn key(parser: &mut Parser<'_>) -> Result<Expr, ParserError> {
    // A column may be called key.
    if is_word(parser, 0, "KEY") && !is_word(parser, 1, "VALUE") {
        parser.next_token();
    }
    let key = parser.parse_expr()?;
    if !parser.consume_token(&Token::Colon) {
        expect(parser, "VALUE")?;
    }
    Ok(key)
}

/// The JSON and the path.
fn input(parser: &mut Parser<'_>) -> Arguments {
    let json = parser.parse_expr()?;
    parser.expect_token(&Token::Comma)?;
    Ok(vec![json, parser.parse_expr()?])
}

fn returning(parser: &mut Parser<'_>) -> Result<Option<DataType>, ParserError> {
    if takes(parser, "RETURNING") { parser.parse_data_type().map(Some) } else { Ok(None) }
}

/// `NULL`, `ERROR` or `DEFAULT value`, before ON.
fn otherwise(parser: &mut Parser<'_>) -> Result<Option<(&'static str, Option<Expr>)>, ParserError> {
    Ok(match either(parser, &["NULL", "ERROR", "DEFAULT"]) {
        None => None,
        Some("DEFAULT") => Some(("default", Some(parser.parse_expr()?))),
        Some("NULL") => Some(("null", None)),
        Some(_) => Some(("error", None)),
    })
}

fn wrapper(parser: &mut Parser<'_>) -> Option<&'static str> {
    let wrappers = [
        ("WITHOUT", "without"),
        ("WITH CONDITIONAL", "conditional"),
        ("WITH UNCONDITIONAL", "unconditional"),
        ("WITH", "unconditional"),
    ];
    let (_, wrapper) = wrappers.into_iter().find(|(words, _)| takes(parser, words))?;
    takes(parser, "ARRAY");
    takes(parser, "WRAPPER");
    Some(wrapper)
}

fn sees_on_null(parser: &Parser<'_>) -> bool {
    ["NULL ON NULL", "ABSENT ON NULL"].iter().any(|words| sees(parser, words))
}

pub(super) fn on_null(parser: &mut Parser<'_>) -> Option<&'static str> {
    match either(parser, &["NULL ON NULL", "ABSENT ON NULL"])? {
        "NULL ON NULL" => Some("null"),
        _ => Some("absent"),
    }
}

/// Whether a value is JSON by itself, as what functions and operators of JSON give.
pub(super) fn shape_of(value: &Expr) -> char {
    match value {
        Expr::Function(function)
            if matches!(
                &*name_of(&function.name),
                "json" | "json_array" | "json_object" | "json_arrayagg" | "json_objectagg"
            ) =>
        {
            'j'
        }
        Expr::BinaryOp { op: BinaryOperator::Arrow, .. } => 'j',
        Expr::Nested(inner) => shape_of(inner),
        _ => 'v',
    }
}

fn is_word(parser: &Parser<'_>, nth: usize, word: &str) -> bool {
    match &parser.peek_nth_token_ref(nth).token {
        Token::Word(next) => next.quote_style.is_none() && next.value.eq_ignore_ascii_case(word),
        _ => false,
    }
}

fn sees(parser: &Parser<'_>, words: &str) -> bool {
    words.split(' ').enumerate().all(|(nth, word)| is_word(parser, nth, word))
}

pub(super) fn takes(parser: &mut Parser<'_>, words: &str) -> bool {
    let seen = sees(parser, words);
    if seen {
        words.split(' ').for_each(|_| parser.advance_token());
    }
    seen
}

fn either(parser: &mut Parser<'_>, choices: &[&'static str]) -> Option<&'static str> {
    choices.iter().copied().find(|words| takes(parser, words))
}

pub(super) fn expect(parser: &mut Parser<'_>, words: &str) -> Result<(), ParserError> {
    if takes(parser, words) { Ok(()) } else { parser.expected_ref(words, parser.peek_token_ref()) }
}

pub(super) fn text(value: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(value.to_owned()))
}

fn null_of(kind: DataType) -> Expr {
    cast(Expr::value(Value::Null), kind)
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}
