//! MATCH_RECOGNIZE as DataFusion's parser knows it, for what it does not know. Tokens are put in; those of the text
//! keep their places.
//!
//! | written | read as |
//! |---|---|
//! | `PATTERN (..) WITHIN INTERVAL '1' HOUR DEFINE a AS ..` | `PATTERN (..) DEFINE "$within" AS INTERVAL '1' HOUR, a AS ..` |
//! | `AFTER MATCH SKIP TO a` | `AFTER MATCH SKIP TO LAST a` |
//! | `FINAL LAST(a.x)`, `RUNNING ..` in MEASURES | `"$final"(LAST(a.x))` |
//! | `permute(a, b)` | `PERMUTE(a, b)` |

use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::reader::position;
use crate::error::{Mistake, Result, SqlError};
use crate::script::Script;

/// The name under which the parser finds the length of time among the definitions.
pub(crate) const WITHIN: &str = "$within";

/// The functions that FINAL and RUNNING become.
pub(crate) const FINAL: &str = "$final";
/// See [`FINAL`].
pub(crate) const RUNNING: &str = "$running";

/// How many parentheses may be open: the parser takes the pattern apart without a limit of its own.
const DEPTH_MAX: usize = 50;

/// Puts all MATCH_RECOGNIZE into the shape that the parser knows.
pub(super) fn unify_patterns(tokens: Vec<TokenWithSpan>, script: &Script) -> Result<Vec<TokenWithSpan>> {
    let is_ours = |token: &TokenWithSpan| word(&token.token).as_deref() == Some("MATCH_RECOGNIZE");
    if !tokens.iter().any(is_ours) {
        return Ok(tokens);
    }
    let mut unify = Unify { out: Vec::with_capacity(tokens.len() + 8), ..Unify::default() };
    for nth in 0..tokens.len() {
        unify.take(&tokens, nth, script)?;
    }
    Ok(unify.out)
}

/// One MATCH_RECOGNIZE that has been opened.
struct Clause {
    /// How many parentheses are open in it.
    depth: usize,
    in_measures: bool,
    /// The tokens behind WITHIN, until DEFINE.
    within: Option<Vec<TokenWithSpan>>,
}

#[derive(Default)]
struct Unify {
    out: Vec<TokenWithSpan>,
    depth: usize,
    /// The next parenthesis opens a clause.
    opens: bool,
    clauses: Vec<Clause>,
    /// Where calls that were put in are closed: when so few parentheses are open again.
    closers: Vec<usize>,
}

impl Unify {
    fn take(&mut self, tokens: &[TokenWithSpan], nth: usize, script: &Script) -> Result<()> {
        let token = &tokens[nth];
        let in_clause = self.clauses.last().is_some_and(|clause| clause.depth == self.depth);
        match &token.token {
            Token::LParen => {
                self.depth += 1;
                let deep = self.clauses.last().is_some_and(|clause| self.depth - clause.depth > DEPTH_MAX);
                if deep {
                    let message = format!("more than {DEPTH_MAX} parentheses are open in MATCH_RECOGNIZE");
                    return Err(
                        SqlError::new(Mistake::Pattern, message).at(position(token.span.start), script)
                    );
                }
                if std::mem::take(&mut self.opens) {
                    self.clauses.push(Clause { depth: self.depth, in_measures: false, within: None });
                }
            }
            Token::RParen => return self.close(token),
            other => {
                let word = word(other);
                match word.as_deref() {
                    Some("MATCH_RECOGNIZE") => {
                        check_table(tokens, nth, script)?;
                        self.opens = true;
                    }
                    Some("PERMUTE") if !self.clauses.is_empty() => {
                        self.push(Token::make_word("PERMUTE", None), token.span);
                        return Ok(());
                    }
                    Some(word) if in_clause => return self.word(word, tokens, nth, script),
                    _ => {}
                }
            }
        }
        self.keep(token.clone());
        Ok(())
    }

    fn close(&mut self, token: &TokenWithSpan) -> Result<()> {
        if self.clauses.last().is_some_and(|clause| clause.depth == self.depth)
            && let Some(clause) = self.clauses.pop()
        {
            // Without DEFINE behind it the parser says what is missing.
            self.out.extend(clause.within.unwrap_or_default());
        }
        self.depth = self.depth.saturating_sub(1);
        self.keep(token.clone());
        if self.closers.last() == Some(&self.depth) {
            self.closers.pop();
            self.push(Token::RParen, token.span);
        }
        Ok(())
    }

    /// A word right inside the parentheses of a clause.
    fn word(&mut self, word: &str, tokens: &[TokenWithSpan], nth: usize, script: &Script) -> Result<()> {
        let token = &tokens[nth];
        let Some(clause) = self.clauses.last_mut() else { return Ok(()) };
        let next = |many: usize| next_token(tokens, nth, many);
        match word {
            "MEASURES" => clause.in_measures = true,
            "ONE" | "ALL" | "AFTER" | "PATTERN" => clause.in_measures = false,
            "SUBSET" => {
                return Err(SqlError::new(
                    Mistake::Pattern,
                    "SUBSET is not there: each variable stands for itself",
                )
                .at(position(token.span.start), script)
                .hint("name the variables one by one"));
            }
            "WITHIN" => {
                clause.within = Some(Vec::new());
                return Ok(());
            }
            "DEFINE" => {
                let within = clause.within.take();
                self.keep(token.clone());
                if let Some(within) = within {
                    self.push(Token::make_word(WITHIN, Some('"')), token.span);
                    self.push(Token::make_word("AS", None), token.span);
                    self.out.extend(within);
                    self.push(Token::Comma, token.span);
                }
                return Ok(());
            }
            "TO" => {
                self.keep(token.clone());
                let skips = previous_word(tokens, nth).as_deref() == Some("SKIP");
                let named =
                    |token: &Token| !matches!(self::word(token).as_deref(), Some("NEXT" | "FIRST" | "LAST"));
                if skips && next(1).is_some_and(|next| matches!(next, Token::Word(_)) && named(next)) {
                    self.push(Token::make_word("LAST", None), token.span);
                }
                return Ok(());
            }
            "FINAL" | "RUNNING" if clause.in_measures => {
                let is_call = matches!(next(1), Some(Token::Word(_))) && next(2) == Some(&Token::LParen);
                if is_call {
                    let name = if word == "FINAL" { FINAL } else { RUNNING };
                    self.push(Token::make_word(name, Some('"')), token.span);
                    self.push(Token::LParen, token.span);
                    self.closers.push(self.depth);
                    return Ok(());
                }
            }
            _ => {}
        }
        self.keep(token.clone());
        Ok(())
    }

    /// A token of the text, or the length of time that is put off.
    fn keep(&mut self, token: TokenWithSpan) {
        match self.clauses.last_mut().and_then(|clause| clause.within.as_mut()) {
            Some(within) => within.push(token),
            None => self.out.push(token),
        }
    }

    fn push(&mut self, token: Token, span: Span) {
        self.keep(TokenWithSpan { token, span });
    }
}

/// A word without quotes, in upper case.
fn word(token: &Token) -> Option<String> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
        _ => None,
    }
}

/// The parser knows the clause behind a table's name alone.
fn check_table(tokens: &[TokenWithSpan], nth: usize, script: &Script) -> Result<()> {
    let mut before = tokens[..nth].iter().rev().map(|token| &token.token);
    match before.find(|token| !matches!(token, Token::Whitespace(_))) {
        Some(Token::RParen) => Err(SqlError::new(
            Mistake::Pattern,
            "MATCH_RECOGNIZE follows the name of a table, not a subquery",
        )
        .hint("WITH t AS (SELECT ...) SELECT ... FROM t MATCH_RECOGNIZE (...)")
        .at(position(tokens[nth].span.start), script)),
        _ => Ok(()),
    }
}

fn next_token(tokens: &[TokenWithSpan], nth: usize, many: usize) -> Option<&Token> {
    let others = tokens[nth + 1..].iter().map(|token| &token.token);
    others.filter(|token| !matches!(token, Token::Whitespace(_))).nth(many - 1)
}

fn previous_word(tokens: &[TokenWithSpan], nth: usize) -> Option<String> {
    let before = tokens[..nth].iter().rev().map(|token| &token.token);
    before.filter(|token| !matches!(token, Token::Whitespace(_))).map(word).next().flatten()
}
