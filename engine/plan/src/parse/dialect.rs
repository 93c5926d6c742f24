//! Our dialect: DataFusion's generic one, `TABLE t [PARTITION BY ...]` as the argument of a function, lambdas only where a function
//! takes them, and JSON's keywords.
//!
//! Of the generic dialect's flags those are set whose SQL DataFusion plans. It reads and ignores `* ILIKE`, `GROUP BY k WITH ROLLUP`,
//! SETTINGS and FORMAT, and refuses LIMIT BY, `* RENAME`, INTERPOLATE and other words: these stay mistakes with a place.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, Function, FunctionArguments, GroupByExpr, Ident, ObjectName, ObjectNamePart,
    Query, Select, SelectItem, SetExpr, TableFactor, WindowSpec, WindowType,
};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, Precedence};
use datafusion::sql::sqlparser::keywords::{Keyword, RESERVED_FOR_TABLE_ALIAS};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::calls::parse_call;
use super::flink;
use super::json::parse_is_json;
use super::reader::name_of;
use crate::METADATA_COLUMNS;

/// The dialect of Headwater.
#[derive(Debug)]
pub(crate) struct HeadwaterDialect;

/// How `TABLE t PARTITION BY k` is kept in a syntax tree: a call of this function on the subquery `SELECT * FROM t`, OVER the
/// partition. No statement can call a function of this name.
pub(crate) const TABLE_ARGUMENT: &str = "TABLE";

/// The first two words of what stands behind a query as a whole.
const QUERY_OPTIONS: [[&str; 2]; 5] =
    [["EMIT", "CHANGES"], ["EMIT", "EVERY"], ["EMIT", "ON"], ["ALLOW", "LATENESS"], ["LATE", "DATA"]];

/// Whether the word that has just been read and the next one begin an option of the query.
fn begins_query_options(parser: &Parser) -> bool {
    let word = |token: &Token| match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
        _ => None,
    };
    let words = (word(&parser.get_current_token().token), word(&parser.peek_token_ref().token));
    let (Some(first), Some(second)) = words else { return false };
    QUERY_OPTIONS.contains(&[first.as_str(), second.as_str()])
}

impl Dialect for HeadwaterDialect {
    /// Counts as the generic dialect where the parser asks for it by type.
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        GenericDialect.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    /// What stands behind a query as a whole is not the alias of its last table.
    fn is_table_alias(&self, keyword: &Keyword, parser: &mut Parser) -> bool {
        !RESERVED_FOR_TABLE_ALIAS.contains(keyword) && !begins_query_options(parser)
    }

    /// What stands behind a query as a whole is not the alias of its last column.
    fn is_select_item_alias(&self, explicit: bool, keyword: &Keyword, parser: &mut Parser) -> bool {
        explicit || (GenericDialect.is_column_alias(keyword, parser) && !begins_query_options(parser))
    }

    /// Asked for which words may stand behind a comma of a SELECT list: only FROM ends it there, and columns may be called OFFSET or VIEW.
    fn is_column_alias(&self, keyword: &Keyword, _parser: &mut Parser) -> bool {
        *keyword != Keyword::FROM
    }

    fn supports_projection_trailing_commas(&self) -> bool {
        true
    }

    fn supports_from_first_select(&self) -> bool {
        true
    }

    fn supports_pipe_operator(&self) -> bool {
        true
    }

    fn supports_limit_comma(&self) -> bool {
        true
    }

    fn supports_cte_without_as(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_assignment_operator(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_match_recognize(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn supports_within_after_array_aggregation(&self) -> bool {
        true
    }

    fn supports_select_wildcard_except(&self) -> bool {
        true
    }

    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }

    fn supports_select_wildcard_replace(&self) -> bool {
        true
    }

    fn supports_dictionary_syntax(&self) -> bool {
        true
    }

    fn support_map_literal_syntax(&self) -> bool {
        true
    }

    fn supports_struct_literal(&self) -> bool {
        true
    }

    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn supports_values_as_table_factor(&self) -> bool {
        true
    }

    fn supports_extract_comma_syntax(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn allow_extract_single_quotes(&self) -> bool {
        true
    }

    fn supports_try_convert(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_string_escape_constant(&self) -> bool {
        true
    }

    fn supports_comma_separated_trim(&self) -> bool {
        true
    }

    fn supports_subquery_as_function_arg(&self) -> bool {
        true
    }

    fn supports_comment_optimizer_hint(&self) -> bool {
        true
    }

    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        let starts_table = parser.peek_keyword(Keyword::TABLE)
            && matches!(parser.peek_nth_token_ref(1).token, Token::Word(_) | Token::LParen);
        if starts_table { Some(parse_table_argument(parser)) } else { parse_call(parser) }
    }

    /// An arrow looks into JSON before anything is compared or added, as in PostgreSQL, and binds as closely as `||`.
    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        let is_arrow = matches!(parser.peek_token_ref().token, Token::Arrow | Token::LongArrow);
        is_arrow.then(|| Ok(self.prec_value(Precedence::MulDivModOp)))
    }

    fn parse_infix(
        &self,
        parser: &mut Parser<'_>,
        expr: &Expr,
        _precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        let is_json = parse_is_json(parser, expr).map(Ok);
        is_json.or_else(|| flink::between(parser, expr, self.prec_value(Precedence::Between)))
    }
}

/// `TABLE t`, `TABLE (SELECT ...)`, each with an optional `PARTITION BY`.
fn parse_table_argument(parser: &mut Parser<'_>) -> Result<Expr, ParserError> {
    let table = parser.next_token();
    let query = if parser.consume_token(&Token::LParen) {
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        query
    } else {
        select_all_from(parser.parse_object_name(false)?)?
    };
    let partition_by = if parser.parse_keywords(&[Keyword::PARTITION, Keyword::BY]) {
        parse_partition_keys(parser)?
    } else {
        Vec::new()
    };
    let mut argument = table_argument(query, partition_by);
    if let Expr::Function(function) = &mut argument
        && let Some(ObjectNamePart::Identifier(name)) = function.name.0.first_mut()
    {
        name.span = table.span;
    }
    Ok(argument)
}

/// Keys in parentheses, or a list of columns that ends before the next argument: an argument is a call, a named one, or
/// INTERVAL, a key is a column alone.
fn parse_partition_keys(parser: &mut Parser<'_>) -> Result<Vec<Expr>, ParserError> {
    if parser.consume_token(&Token::LParen) {
        let keys = parser.parse_comma_separated(Parser::parse_expr)?;
        parser.expect_token(&Token::RParen)?;
        return Ok(keys);
    }
    let mut keys = vec![parser.parse_expr()?];
    while parser.peek_token_ref().token == Token::Comma
        && matches!(parser.peek_nth_token_ref(1).token, Token::Word(_))
        && matches!(parser.peek_nth_token_ref(2).token, Token::Comma | Token::RParen)
    {
        parser.next_token();
        keys.push(parser.parse_expr()?);
    }
    Ok(keys)
}

/// A table as a function's argument, in the shape of [`TABLE_ARGUMENT`].
pub(crate) fn table_argument(query: Box<Query>, partition_by: Vec<Expr>) -> Expr {
    let over = WindowSpec { window_name: None, partition_by, order_by: Vec::new(), window_frame: None };
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(TABLE_ARGUMENT)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::Subquery(query),
        filter: None,
        null_treatment: None,
        over: Some(WindowType::WindowSpec(over)),
        within_group: Vec::new(),
    })
}

/// `SELECT * FROM table`.
pub(crate) fn select_all_from(table: ObjectName) -> Result<Box<Query>, ParserError> {
    let mut query = Parser::new(&HeadwaterDialect).try_with_sql("SELECT * FROM t")?.parse_query()?;
    if let SetExpr::Select(select) = &mut *query.body
        && let [from] = select.from.as_mut_slice()
        && let TableFactor::Table { name, .. } = &mut from.relation
    {
        *name = table;
    }
    Ok(query)
}

/// The table of `SELECT * FROM table`, if a query is nothing more than that.
pub(crate) fn sole_table(query: &Query) -> Option<&TableFactor> {
    let plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.pipe_operators.is_empty();
    match &*query.body {
        SetExpr::Select(select) if plain && is_select_all(select) => match select.from.as_slice() {
            [from] if from.joins.is_empty() => Some(&from.relation),
            _ => None,
        },
        _ => None,
    }
}

fn is_select_all(select: &Select) -> bool {
    let all = match select.projection.as_slice() {
        [SelectItem::Wildcard(options)] => {
            hides_metadata_only(options.opt_exclude.as_ref())
                && options.opt_except.is_none()
                && options.opt_replace.is_none()
                && options.opt_rename.is_none()
                && options.opt_ilike.is_none()
        }
        _ => false,
    };
    let ungrouped = match &select.group_by {
        GroupByExpr::Expressions(keys, modifiers) => keys.is_empty() && modifiers.is_empty(),
        GroupByExpr::All(_) => false,
    };
    all && ungrouped
        && select.selection.is_none()
        && select.having.is_none()
        && select.distinct.is_none()
        && select.qualify.is_none()
}

/// `TABLE t` as the argument of a window hands on the metadata columns that the query mentions.
fn hides_metadata_only(exclude: Option<&ExcludeSelectItem>) -> bool {
    let is_metadata = |name: &ObjectName| METADATA_COLUMNS.contains(&name_of(name).as_str());
    match exclude {
        None => true,
        Some(ExcludeSelectItem::Single(name)) => is_metadata(name),
        Some(ExcludeSelectItem::Multiple(names)) => names.iter().all(is_metadata),
    }
}
