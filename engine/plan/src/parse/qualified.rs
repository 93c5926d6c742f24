//! Names with Flink's own catalog and database before them, as tools and `SHOW CREATE TABLE` write them:
//! `default_catalog.default_database.t` and `default_database.t` are `t`, in quotes or not.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// What a name in Flink begins with if nobody has made a catalog or a database, and how it is left out.
const DEFAULTS: [&str; 2] = ["default_catalog", "default_database"];

/// Leaves out the default catalog and database before names.
pub(super) fn without_catalog(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is = |nth: usize, name: &str| match tokens.get(nth).map(|token| &token.token) {
        Some(Token::Word(word)) => word.value.eq_ignore_ascii_case(name),
        _ => false,
    };
    let is_dot = |nth: usize| matches!(tokens.get(nth).map(|token| &token.token), Some(Token::Period));
    let database_at = |nth: usize| is(nth, DEFAULTS[1]) && is_dot(nth + 1);
    let left_out = |nth: usize| match nth.checked_sub(1) {
        Some(before) if is_dot(before) => 0,
        _ if is(nth, DEFAULTS[0]) && is_dot(nth + 1) && database_at(nth + 2) => 4,
        _ if database_at(nth) => 2,
        _ => 0,
    };
    let mut kept = vec![true; tokens.len()];
    for nth in 0..tokens.len() {
        kept[nth..][..left_out(nth)].fill(false);
    }
    tokens.into_iter().zip(kept).filter_map(|(token, kept)| kept.then_some(token)).collect()
}
