//! The metadata columns of streams: there when a query names them, never in `*`.
//!
//! A column that a query does not mention is left out of its scans. One that it mentions is excluded from each `*` over a
//! stream, in the syntax tree: `*` becomes `* EXCLUDE (_sequence)`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, ObjectName, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    TableFactor, VisitorMut, WildcardAdditionalOptions,
};

use crate::METADATA_COLUMNS;
use crate::error::{Mistake, Result, SqlError};
use crate::parse::{name_of, normal, position};
use crate::script::Script;
use crate::walk::{WalkMut, expressions};

/// The columns of a stream as a query sees them: its own, then the metadata columns.
pub(crate) fn with_metadata(schema: &Schema) -> SchemaRef {
    let kinds = [DataType::Int32, DataType::Int64, arrival_type()];
    let metadata =
        METADATA_COLUMNS.iter().zip(kinds).map(|(name, kind)| Arc::new(Field::new(*name, kind, false)));
    Arc::new(Schema::new(schema.fields().iter().cloned().chain(metadata).collect::<Vec<_>>()))
}

/// The columns of a stream, and behind them the time at which a row was recorded.
pub(crate) fn with_arrival(schema: &Schema) -> SchemaRef {
    let arrival = Arc::new(Field::new(METADATA_COLUMNS[2], arrival_type(), false));
    Arc::new(Schema::new(schema.fields().iter().cloned().chain([arrival]).collect::<Vec<_>>()))
}

fn arrival_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

/// How many columns a table has of its own, if the metadata columns follow them.
pub(crate) fn own_columns(schema: &Schema) -> Option<usize> {
    let own = schema.fields().len().checked_sub(METADATA_COLUMNS.len())?;
    let follow =
        schema.fields()[own..].iter().zip(METADATA_COLUMNS).all(|(field, name)| field.name() == name);
    follow.then_some(own)
}

/// The metadata columns that a query names anywhere.
pub(crate) fn mentioned_metadata(query: &Query) -> BTreeSet<&'static str> {
    let mut mentioned = BTreeSet::new();
    let _ = expressions(query, |expr| {
        let ident = match expr {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        if let Some(ident) = ident {
            mentioned.extend(METADATA_COLUMNS.into_iter().filter(|name| *name == normal(ident)));
        }
        ControlFlow::<()>::Continue(())
    });
    mentioned
}

/// Keeps the mentioned columns out of every `*` that covers a stream.
pub(crate) fn hide_metadata(
    query: &mut Query,
    mentioned: &BTreeSet<&'static str>,
    is_stream: &dyn Fn(&str) -> bool,
    script: &Script,
) -> Result<()> {
    let mut hide = Hide { mentioned, is_stream, script, ctes: Vec::new() };
    match query.walk_mut(&mut hide) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Hide<'a> {
    mentioned: &'a BTreeSet<&'static str>,
    is_stream: &'a dyn Fn(&str) -> bool,
    script: &'a Script,
    /// The names of the WITH queries in scope: they hide streams.
    ctes: Vec<Vec<String>>,
}

impl VisitorMut for Hide<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        self.ctes.push(with.map(|cte| normal(&cte.alias.name)).collect());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<SqlError> {
        self.ctes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        let streams = self.streams_of(select);
        for item in &mut select.projection {
            let options = match item {
                SelectItem::Wildcard(options) => match streams.as_slice() {
                    [] => continue,
                    [_] => options,
                    _ => return ControlFlow::Break(self.ambiguous(options)),
                },
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
                    if streams.contains(&name_of(name)) =>
                {
                    options
                }
                _ => continue,
            };
            exclude(options, self.mentioned.iter().copied());
        }
        ControlFlow::Continue(())
    }
}

impl Hide<'_> {
    /// The streams that a SELECT reads itself, by the names that they have there.
    fn streams_of(&self, select: &Select) -> Vec<String> {
        let factors = select.from.iter().flat_map(|from| {
            std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
        });
        factors.filter_map(|factor| self.stream_of(factor)).collect()
    }

    fn stream_of(&self, factor: &TableFactor) -> Option<String> {
        let (name, alias) = match factor {
            TableFactor::Table { name, alias, args: None, .. } => (name, alias),
            TableFactor::TableFunction { expr: Expr::Function(function), alias } => {
                let alias = alias.as_ref().map(|alias| normal(&alias.name));
                let name = window_input(function).filter(|name| self.counts(&name_of(name)))?;
                return Some(alias.unwrap_or_else(|| name_of(name)));
            }
            _ => return None,
        };
        let name = name_of(name);
        let alias = alias.as_ref().map(|alias| normal(&alias.name));
        self.counts(&name).then(|| alias.unwrap_or(name))
    }

    fn counts(&self, name: &str) -> bool {
        !self.ctes.iter().flatten().any(|cte| cte == name) && (self.is_stream)(name)
    }

    fn ambiguous(&self, options: &WildcardAdditionalOptions) -> SqlError {
        SqlError::new(
            Mistake::UnknownColumn,
            "'*' over several streams does not go together with their metadata columns",
        )
        .at(position(options.wildcard_token.0.span.start), self.script)
        .hint("name the columns, or write a.*, b.*")
    }
}

/// The table that a window function is over, if it is named.
pub(crate) fn window_input(function: &datafusion::sql::sqlparser::ast::Function) -> Option<&ObjectName> {
    use datafusion::sql::sqlparser::ast::{FunctionArg, FunctionArgExpr, FunctionArguments};
    let FunctionArguments::List(list) = &function.args else { return None };
    let data = list.args.iter().find_map(|arg| match arg {
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(Expr::Function(data)), .. }
            if name.value == "DATA" =>
        {
            Some(data)
        }
        _ => None,
    })?;
    let FunctionArguments::Subquery(query) = &data.args else { return None };
    match crate::parse::sole_table(query)? {
        TableFactor::Table { name, args: None, .. } => Some(name),
        _ => None,
    }
}

/// Leaves columns out of a `*`.
pub(crate) fn exclude(
    options: &mut WildcardAdditionalOptions,
    columns: impl IntoIterator<Item = &'static str>,
) {
    let mut names: Vec<ObjectName> = match options.opt_exclude.take() {
        Some(ExcludeSelectItem::Single(name)) => vec![name],
        Some(ExcludeSelectItem::Multiple(names)) => names,
        None => Vec::new(),
    };
    let given: BTreeSet<String> = names.iter().map(name_of).collect();
    let more = columns.into_iter().filter(|name| !given.contains(*name));
    names.extend(more.map(|name| ObjectName::from(vec![Ident::new(name)])));
    options.opt_exclude = Some(ExcludeSelectItem::Multiple(names));
}
