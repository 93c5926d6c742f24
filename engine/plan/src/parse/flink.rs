//! Calls of Flink's that have keywords among their arguments, in the shape in which they run.
//!
//! | written | becomes |
//! |---|---|
//! | `IF(condition, a, b)` | `CASE WHEN condition THEN a ELSE b END` |
//! | `TIMESTAMPADD(unit, n, time)`, `TIMESTAMPDIFF(unit, from, to)` | the same with the unit as a text |
//! | `FLOOR(time TO unit)`, `CEIL(time TO unit)` | `$floor(time, 'unit')`, `$ceil(time, 'unit')` |
//! | `EXTRACT(DOW FROM time)`, also CENTURY, DECADE and MILLENNIUM | `$dow(time)`, ... |
//! | `SUBSTRING(text FROM n FOR m)` | `substr(text, n, m)` |
//! | `ENCODE(text, 'UTF-8')`, `DECODE(bytes, 'UTF-8')`, with a character set | `$encode(...)`, `$decode(...)` |
//! | `TRIM(BOTH FROM text)`, also LEADING and TRAILING | the same with the blank that it is about |
//! | `UNIX_TIMESTAMP()` | `$unix_timestamp()` |
//! | `MAP[key, value, ...]` | `map([key, ...], [value, ...])` |
//! | `LISTAGG([DISTINCT] text [, separator]) [WITHIN GROUP (ORDER BY ...)]` | `string_agg(...)`, with a comma if nothing is said |

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    Array, BinaryOperator, CaseWhen, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, Ident, ObjectName, Value,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::calls::call;
use super::json::{takes, text};

/// Reads a call that is next, if it is one of these.
pub(super) fn parse(parser: &mut Parser<'_>, name: &str) -> Option<Result<Expr, ParserError>> {
    match name {
        "if" => Some(condition(parser)),
        "timestampadd" | "timestampdiff" => Some(with_unit(parser)),
        "listagg" => Some(list(parser)),
        "extract" => part(parser),
        "trim" => trim(parser),
        "unix_timestamp" => now_in_seconds(parser),
        "substring" | "substr" => Some(substring(parser)),
        "encode" => by_charset(parser, "$encode"),
        "decode" => by_charset(parser, "$decode"),
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
    let mut name = parser.parse_identifier()?;
    parser.expect_token(&Token::LParen)?;
    let by = unit(parser)?;
    if name.value.eq_ignore_ascii_case("timestampadd") && is_of_clock(&by) {
        name.value = "$timestampadd".to_owned();
    }
    let mut args = vec![by];
    while parser.consume_token(&Token::Comma) {
        args.push(parser.parse_expr()?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(call(name, args))
}

/// `[NOT] BETWEEN SYMMETRIC a AND b`, in whatever order the two are; `ASYMMETRIC` says what is meant anyhow.
pub(super) fn between(
    parser: &mut Parser<'_>,
    tested: &Expr,
    precedence: u8,
) -> Option<Result<Expr, ParserError>> {
    let words = [
        ("NOT BETWEEN SYMMETRIC", true, true),
        ("BETWEEN SYMMETRIC", false, true),
        ("NOT BETWEEN ASYMMETRIC", true, false),
        ("BETWEEN ASYMMETRIC", false, false),
    ];
    let (_, negated, either) = words.into_iter().find(|(words, ..)| takes(parser, words))?;
    let mut bounds = || {
        let low = parser.parse_subexpr(precedence)?;
        parser.expect_keyword_is(Keyword::AND)?;
        Ok((low, parser.parse_subexpr(precedence)?))
    };
    Some(bounds().map(|(low, high)| {
        let within = |low: &Expr, high: &Expr| Expr::Between {
            expr: Box::new(tested.clone()),
            negated,
            low: Box::new(low.clone()),
            high: Box::new(high.clone()),
        };
        if !either {
            return within(&low, &high);
        }
        let op = if negated { BinaryOperator::And } else { BinaryOperator::Or };
        let (left, right) = (Box::new(within(&low, &high)), Box::new(within(&high, &low)));
        Expr::Nested(Box::new(Expr::BinaryOp { left, op, right }))
    }))
}

/// `MAP[key, value, ...]`, if that is next.
pub(super) fn map(parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
    let Token::Word(word) = &parser.peek_token_ref().token else { return None };
    let is_map = word.quote_style.is_none() && word.value.eq_ignore_ascii_case("map");
    if !is_map || parser.peek_nth_token_ref(1).token != Token::LBracket {
        return None;
    }
    let read = parser.maybe_parse(|parser| {
        let name = parser.parse_identifier()?;
        parser.expect_token(&Token::LBracket)?;
        let mut all = parser.parse_comma_separated(Parser::parse_expr)?.into_iter();
        parser.expect_token(&Token::RBracket)?;
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        while let Some(key) = all.next() {
            keys.push(key);
            match all.next() {
                Some(value) => values.push(value),
                // A column of that name, and an element of it.
                None => return parser.expected_ref("a value for each key", parser.peek_token_ref()),
            }
        }
        let array = |elem: Vec<Expr>| Expr::Array(Array { elem, named: true });
        Ok(call(name, vec![array(keys), array(values)]))
    });
    read.transpose()
}

/// `(unit FROM time)` of units that DataFusion has not, or counts otherwise.
fn part(parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
    let read = parser.maybe_parse(|parser| {
        let name = parser.parse_identifier()?;
        parser.expect_token(&Token::LParen)?;
        let unit = parser.parse_identifier()?.value.to_lowercase();
        if !["dow", "decade", "century", "millennium"].contains(&unit.as_str()) {
            return parser.expected_ref("a unit", parser.peek_token_ref());
        }
        parser.expect_keyword_is(Keyword::FROM)?;
        let time = parser.parse_expr()?;
        parser.expect_token(&Token::RParen)?;
        Ok(call(Ident { value: format!("${unit}"), quote_style: None, span: name.span }, vec![time]))
    });
    read.transpose()
}

/// `(BOTH FROM text)` behind the name, where nothing says what is taken off; anything else is DataFusion's.
fn trim(parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
    let read = parser.maybe_parse(|parser| {
        parser.parse_identifier()?;
        parser.expect_token(&Token::LParen)?;
        let trim_where = Some(parser.parse_trim_where()?);
        parser.expect_keyword_is(Keyword::FROM)?;
        let expr = Box::new(parser.parse_expr()?);
        parser.expect_token(&Token::RParen)?;
        Ok(Expr::Trim { expr, trim_where, trim_what: Some(Box::new(text(" "))), trim_characters: None })
    });
    read.transpose()
}

/// `()` behind the name: it depends on the clock, and with arguments it does not.
fn now_in_seconds(parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
    if parser.peek_nth_token_ref(2).token != Token::RParen {
        return None;
    }
    let read = parser.parse_identifier().and_then(|name| {
        parser.expect_token(&Token::LParen)?;
        parser.expect_token(&Token::RParen)?;
        Ok(call(
            Ident { value: "$unix_timestamp".to_owned(), quote_style: None, span: name.span },
            Vec::new(),
        ))
    });
    Some(read)
}

/// `(text FROM from [FOR count])`, or the same with commas.
fn substring(parser: &mut Parser<'_>) -> Result<Expr, ParserError> {
    let name = parser.parse_identifier()?;
    parser.expect_token(&Token::LParen)?;
    let mut args = vec![parser.parse_expr()?];
    if parser.consume_token(&Token::Comma) || parser.parse_keyword(Keyword::FROM) {
        args.push(parser.parse_expr()?);
    }
    if args.len() == 1 && parser.parse_keyword(Keyword::FOR) {
        args.extend([Expr::value(Value::Number("1".into(), false)), parser.parse_expr()?]);
    } else if parser.consume_token(&Token::Comma) || parser.parse_keyword(Keyword::FOR) {
        args.push(parser.parse_expr()?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(call(Ident { value: "substr".to_owned(), quote_style: None, span: name.span }, args))
}

/// `(x, 'charset')` behind the name; other encodings are DataFusion's.
fn by_charset(parser: &mut Parser<'_>, function: &str) -> Option<Result<Expr, ParserError>> {
    const CHARSETS: [&str; 6] = ["UTF-8", "US-ASCII", "ISO-8859-1", "UTF-16BE", "UTF-16LE", "UTF-16"];
    let read = parser.maybe_parse(|parser| {
        let name = parser.parse_identifier()?;
        parser.expect_token(&Token::LParen)?;
        let value = parser.parse_expr()?;
        parser.expect_token(&Token::Comma)?;
        let charset = parser.parse_literal_string()?;
        if !CHARSETS.contains(&charset.to_uppercase().as_str()) {
            return parser.expected_ref("a character set", parser.peek_token_ref());
        }
        parser.expect_token(&Token::RParen)?;
        let name = Ident { value: function.to_owned(), quote_style: None, span: name.span };
        Ok(call(name, vec![value, text(&charset)]))
    });
    read.transpose()
}

/// A unit of time; `SQL_TSI_DAY` is the same as `DAY`.
fn unit(parser: &mut Parser<'_>) -> Result<Expr, ParserError> {
    let word = parser.parse_identifier()?.value.to_lowercase();
    Ok(text(word.strip_prefix("sql_tsi_").unwrap_or(&word)))
}

/// Whether a unit is shorter than a day.
fn is_of_clock(unit: &Expr) -> bool {
    const CLOCK: [&str; 5] = ["microsecond", "millisecond", "second", "minute", "hour"];
    CLOCK.iter().any(|known| *unit == text(known))
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
