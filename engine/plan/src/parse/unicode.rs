//! `U&'\00E4'` and `U&'!00E4' UESCAPE '!'`: texts with characters by their numbers.

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::json::{takes, text};

/// Reads such a text, if it is next. The tokenizer has read what a backslash says.
pub(super) fn parse(parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
    let Token::UnicodeStringLiteral(read) = &parser.peek_token_ref().token else { return None };
    let read = read.clone();
    let at = parser.next_token().span.start;
    if !takes(parser, "UESCAPE") {
        return Some(Ok(text(&read)));
    }
    let wrong = |what: &str| ParserError::ParserError(format!("{what}{at}"));
    Some(parser.parse_literal_string().and_then(|by| {
        let mut by = by.chars();
        let (Some(escape), None) = (by.next(), by.next()) else {
            return Err(wrong("behind UESCAPE stands one character"));
        };
        let said = unescaped(&read, escape);
        said.map(|said| text(&said)).ok_or_else(|| {
            wrong(&format!("behind {escape} stand four hexadecimal digits of a character, or + and six"))
        })
    }))
}

/// The text with what the escape character says; `None` if that is no character.
fn unescaped(written: &str, escape: char) -> Option<String> {
    let (mut said, mut rest) = (String::new(), written.chars());
    while let Some(letter) = rest.next() {
        if letter != escape {
            said.push(letter);
            continue;
        }
        let mut ahead = rest.clone();
        let digits = match ahead.next()? {
            next if next == escape => {
                said.push(escape);
                rest = ahead;
                continue;
            }
            '+' => {
                rest = ahead;
                6
            }
            _ => 4,
        };
        let number: String = rest.by_ref().take(digits).collect();
        let is_number = number.len() == digits && number.chars().all(|digit| digit.is_ascii_hexdigit());
        said.push(is_number.then(|| u32::from_str_radix(&number, 16).ok().and_then(char::from_u32))??);
    }
    Some(said)
}
