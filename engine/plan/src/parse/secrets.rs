//! Statements as they may be shown: without the secrets that somebody wrote into them.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::dialect::HeadwaterDialect;
use super::reader::position;
use crate::script::Script;

/// What stands in the place of a secret.
const HIDDEN: &str = "(hidden)";

/// The text of a statement in which `'(hidden)'` stands for the value of each option with the name of a secret, and `(hidden)` for the
/// password of each URL. A value that names a variable of the environment, `'{{ NAME }}'`, is none.
pub fn without_secrets(text: &str, is_secret: impl Fn(&str) -> bool) -> String {
    let Ok(tokens) = Tokenizer::new(&HeadwaterDialect, text).tokenize_with_location() else {
        return HIDDEN.to_owned();
    };
    let tokens: Vec<_> =
        tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let script = Script::new(text);
    let place = |token: &TokenWithSpan| {
        let span = token.span;
        (script.offset(position(span.start)), script.offset(position(span.end)))
    };
    let mut shown = String::new();
    let mut done = 0;
    let mut options = Options::default();
    for (nth, token) in tokens.iter().enumerate() {
        let (from, to) = place(token);
        let name = options.value_at(&tokens, nth).map(|name| &text[place(&tokens[name]).0..from]);
        let instead = match &token.token {
            Token::SingleQuotedString(value) if is_variable(value) => None,
            Token::SingleQuotedString(_) | Token::Word(_) | Token::Number(..)
                if name.is_some_and(&is_secret) =>
            {
                Some(HIDDEN.to_owned())
            }
            Token::SingleQuotedString(value) => without_password(value),
            _ => None,
        };
        if let Some(instead) = instead {
            shown.push_str(&text[done..from]);
            shown.push_str(&format!("'{}'", instead.replace('\'', "''")));
            done = to;
        }
    }
    shown + &text[done..]
}

/// Where among the tokens of `WITH (name = value, ..)` or `SET (..)` one is.
#[derive(Default)]
struct Options {
    is_inside: bool,
    /// Where the name begins that was read last.
    name: usize,
    is_value: bool,
}

impl Options {
    /// Takes the next token; if it is part of a value, the place of the first token of its name.
    fn value_at(&mut self, tokens: &[TokenWithSpan], nth: usize) -> Option<usize> {
        let opens = |word: &str| word.eq_ignore_ascii_case("WITH") || word.eq_ignore_ascii_case("SET");
        match &tokens[nth].token {
            Token::LParen if !self.is_inside => {
                let before = nth.checked_sub(1).map(|before| &tokens[before].token);
                self.is_inside = matches!(before, Some(Token::Word(word)) if opens(&word.value));
                (self.name, self.is_value) = (nth + 1, false);
            }
            Token::RParen => self.is_inside = false,
            Token::Comma => (self.name, self.is_value) = (nth + 1, false),
            Token::Eq => self.is_value = self.is_inside,
            _ if self.is_inside && self.is_value => return Some(self.name),
            _ => {}
        }
        None
    }
}

/// Whether a value is a variable of the environment and nothing else.
fn is_variable(value: &str) -> bool {
    let inner = value.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    inner.is_some_and(|name| !name.contains(['{', '}']))
}

/// A URL without its password, if it has one.
fn without_password(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (who, _) = authority.rsplit_once('@')?;
    let (user, password) = who.split_once(':')?;
    if is_variable(password) {
        return None;
    }
    Some(format!("{scheme}://{user}:{HIDDEN}{}", &rest[who.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, shown: &str) {
        let is_secret = |name: &str| ["password", "secret", "token"].iter().any(|word| name.contains(word));
        assert_eq!(without_secrets(text, is_secret), shown);
    }

    #[test]
    fn secrets_are_hidden_and_nothing_else() {
        check(
            "CREATE TABLE t (é STRING)\n  WITH (connector = 'jdbc', password = 'it''s', 'sasl.token' = x7, url = 'a')",
            "CREATE TABLE t (é STRING)\n  WITH (connector = 'jdbc', password = '(hidden)', 'sasl.token' = '(hidden)', url = 'a')",
        );
        check(
            "CREATE TRIGGER t ON s WHEN token = 'a' EXECUTE WEBHOOK 'https://u:p@h/x?a=b' WITH (secret = 12)",
            "CREATE TRIGGER t ON s WHEN token = 'a' EXECUTE WEBHOOK 'https://u:(hidden)@h/x?a=b' WITH (secret = '(hidden)')",
        );
        check("ALTER STREAM s SET (token = 'a')", "ALTER STREAM s SET (token = '(hidden)')");
        for same in [
            "CREATE TABLE t WITH (password = '{{ DB_PASSWORD }}', url = 'https://u:{{ PW }}@h/', hosts = 'a://b@c')",
            "CREATE JOB j AS INSERT INTO t WITH c AS (SELECT 'x' AS password) SELECT * FROM c WHERE (password = 'x')",
        ] {
            check(same, same);
        }
        // A variable beside other text does not keep that from being one.
        check("WITH (token = 'Bearer a{{ B }}')", "WITH (token = '(hidden)')");
    }
}
