//! AS OF joins in the syntax tree: each way to write one becomes a JOIN with a condition that stands for it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query,
    Select, SelectItem, SelectItemQualifiedWildcardKind, Spanned, TableAlias, TableFactor, TableVersion,
    Value, VisitorMut,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::tables::{as_versions, versioned_table};
use crate::catalog::Catalog;
use crate::definition::WEIGHT;
use crate::error::{Mistake, Result, SqlError};
use crate::metadata::exclude;
use crate::parse::{call, name_of, normal, position};
use crate::script::Script;
use crate::walk::WalkMut;

/// The condition that a version is the newest whose time is not after the time that is asked for.
const AS_OF: &str = "$as_of";

/// The conditions that a call can stand for: its name, whether the first version at or after the time that is asked for is meant,
/// and not the last one up to it, and whether one of that very time is not.
pub(super) const MARKERS: [(&str, bool, bool); 4] = [
    (AS_OF, false, false),
    ("$as_of_strict", false, true),
    ("$as_of_ahead", true, false),
    ("$as_of_ahead_strict", true, true),
];

/// Where in a script `ASOF JOIN` stands without MATCH_CONDITION, which the parser does not take: the word is taken
/// out, and what is joined is remembered by its place.
#[derive(Debug, Default, Clone)]
pub(crate) struct AsOfJoins(Vec<Location>);

impl AsOfJoins {
    /// Takes the words out.
    pub(crate) fn take(tokens: &mut [TokenWithSpan]) -> Self {
        let words: Vec<usize> =
            (0..tokens.len()).filter(|nth| !matches!(tokens[*nth].token, Token::Whitespace(_))).collect();
        let is = |nth: usize, keyword: Keyword| {
            let token = words.get(nth).map(|place| &tokens[*place].token);
            matches!(token, Some(Token::Word(word)) if word.keyword == keyword && word.quote_style.is_none())
        };
        let (mut found, mut taken) = (Vec::new(), Vec::new());
        for nth in (0..words.len()).filter(|nth| is(*nth, Keyword::ASOF)) {
            let kinds = [Keyword::INNER, Keyword::LEFT, Keyword::OUTER];
            let join = (nth + 1..).find(|at| !kinds.iter().any(|kind| is(*at, *kind))).unwrap_or(nth + 1);
            if !is(join, Keyword::JOIN) || has_match_condition(&words[join..], tokens) {
                continue;
            }
            let table =
                words[join + 1..].iter().find(|place| matches!(tokens[**place].token, Token::Word(_)));
            found.extend(table.map(|place| tokens[*place].span.start));
            taken.push(words[nth]);
        }
        for place in taken {
            tokens[place].token = Token::Whitespace(datafusion::sql::sqlparser::tokenizer::Whitespace::Space);
        }
        Self(found)
    }

    /// Puts all ASOF joins of a query into the shape of an ordinary one.
    pub(crate) fn unify(&self, query: &mut Query, script: &Script) -> Result<()> {
        match query.walk_mut(&mut Unify { joins: self, script }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }
}

/// Whether the condition of a join begins with MATCH_CONDITION.
fn has_match_condition(words: &[usize], tokens: &[TokenWithSpan]) -> bool {
    let mut depth = 0;
    for place in words {
        match &tokens[*place].token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            Token::Word(word) if depth == 0 && word.keyword == Keyword::MATCH_CONDITION => return true,
            Token::Word(word) if depth == 0 && matches!(word.keyword, Keyword::ON | Keyword::USING) => {
                return false;
            }
            Token::SemiColon => return false,
            _ => {}
        }
    }
    false
}

struct Unify<'a> {
    joins: &'a AsOfJoins,
    script: &'a Script,
}

impl VisitorMut for Unify<'_> {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        for join in select.from.iter_mut().flat_map(|from| &mut from.joins) {
            let start = join.relation.span().start;
            let unified = match &join.join_operator {
                JoinOperator::AsOf { .. } => with_match_condition(join),
                _ if self.joins.0.contains(&start) => with_comparison(join),
                _ => Ok(()),
            };
            if let Err(error) = unified {
                return ControlFlow::Break(error.at(position(start), self.script));
            }
        }
        ControlFlow::Continue(())
    }
}

pub(super) fn malformed(message: impl Into<String>, hint: &str) -> SqlError {
    SqlError::new(Mistake::Syntax, message).hint(hint)
}

const HINT: &str = "a ASOF JOIN b ON a.k = b.k AND b.ts <= a.ts";

fn with_match_condition(join: &mut Join) -> Result<()> {
    let JoinOperator::AsOf { match_condition, constraint } = &join.join_operator else { return Ok(()) };
    let names = names_of(&join.relation);
    let marker = either_way(match_condition, &names).ok_or_else(|| {
        malformed("MATCH_CONDITION compares the times of both sides", "MATCH_CONDITION (a.ts >= b.ts)")
    })?;
    let on = match constraint {
        JoinConstraint::On(on) => and(on.clone(), marker),
        JoinConstraint::None => marker,
        _ => return Err(malformed("an ASOF join takes its keys by ON", HINT)),
    };
    join.join_operator = JoinOperator::LeftOuter(JoinConstraint::On(on));
    Ok(())
}

fn with_comparison(join: &mut Join) -> Result<()> {
    let names = names_of(&join.relation);
    let Some(on) = condition_of(&mut join.join_operator) else {
        return Err(malformed("an ASOF join is inner or left, and takes its condition by ON", HINT));
    };
    let mut parts = Vec::new();
    split(on.clone(), &mut parts);
    let place = |ahead| parts.iter().position(|part| comparison(part, &names, ahead).is_some());
    let place = place(false).or_else(|| place(true));
    let marker = place.and_then(|place| either_way(&parts.remove(place), &names));
    let Some(marker) = marker else {
        return Err(malformed("an ASOF join compares the times of both sides by <=, <, >= or >", HINT));
    };
    *on = parts.into_iter().fold(marker, |all, part| and(part, all));
    Ok(())
}

/// The condition of an inner or left join.
fn condition_of(operator: &mut JoinOperator) -> Option<&mut Expr> {
    let constraint = match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) => constraint,
        _ => return None,
    };
    match constraint {
        JoinConstraint::On(on) => Some(on),
        _ => None,
    }
}

fn and(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::And, right: Box::new(right) }
}

fn split(expr: Expr, parts: &mut Vec<Expr>) {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            split(*left, parts);
            split(*right, parts);
        }
        Expr::Nested(inner) => split(*inner, parts),
        other => parts.push(other),
    }
}

/// What a relation's columns are qualified by.
fn names_of(relation: &TableFactor) -> Vec<String> {
    match relation {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::TableFunction { alias: Some(alias), .. } => vec![normal(&alias.name)],
        TableFactor::Table { name, .. } => vec![name_of(name)],
        _ => Vec::new(),
    }
}

/// A comparison of the versions' time with the other side's, as a call.
fn either_way(expr: &Expr, versions: &[String]) -> Option<Expr> {
    comparison(expr, versions, false).or_else(|| comparison(expr, versions, true))
}

/// The same if the versions' time is the earlier one or, looking ahead, the later one.
fn comparison(expr: &Expr, versions: &[String], ahead: bool) -> Option<Expr> {
    let Expr::BinaryOp { left, op, right } = expr else { return None };
    let (earlier, later, strict) = match op {
        BinaryOperator::LtEq => (left, right, false),
        BinaryOperator::Lt => (left, right, true),
        BinaryOperator::GtEq => (right, left, false),
        BinaryOperator::Gt => (right, left, true),
        _ => return None,
    };
    let is_version = |expr: &Expr| match expr {
        Expr::CompoundIdentifier(parts) => parts.len() == 2 && versions.contains(&normal(&parts[0])),
        _ => false,
    };
    let is_other = |expr: &Expr| matches!(expr, Expr::CompoundIdentifier(_)) && !is_version(expr);
    let is_plain = |expr: &Expr| matches!(expr, Expr::Identifier(_));
    let (version, asked) = if ahead { (later, earlier) } else { (earlier, later) };
    let fits =
        is_version(version) && (is_other(asked) || is_plain(asked)) || is_plain(version) && is_other(asked);
    let (name, ..) = MARKERS.into_iter().find(|marker| (marker.1, marker.2) == (ahead, strict))?;
    fits.then(|| call(quoted(name), vec![(**asked).clone(), (**version).clone()]))
}

/// A name that stands as it is.
fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// Puts the joins with versioned tables of a query into the shape of ordinary ones. Tables of another kind are left
/// as they are.
pub(crate) fn rewrite_versioned_tables(query: &mut Query, catalog: &Catalog, script: &Script) -> Result<()> {
    match query.walk_mut(&mut Versioned { catalog, script }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Versioned<'a> {
    catalog: &'a Catalog,
    script: &'a Script,
}

impl VisitorMut for Versioned<'_> {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        let mut with_weight = Vec::new();
        for from in &mut select.from {
            for factor in std::iter::once(&mut from.relation) {
                if is_versioned(factor) {
                    let error = malformed(
                        "FOR SYSTEM_TIME AS OF stands behind the table that is joined, not the first one",
                        "orders o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency",
                    );
                    return ControlFlow::Break(error.at(position(factor.span().start), self.script));
                }
            }
            for join in from.joins.iter_mut().filter(|join| is_versioned(&join.relation)) {
                let start = join.relation.span().start;
                match versioned(join, self.catalog) {
                    Ok(name) => with_weight.extend(name),
                    Err(error) => return ControlFlow::Break(error.at(position(start), self.script)),
                }
            }
        }
        if !with_weight.is_empty() {
            hide_weight(select, &with_weight);
        }
        ControlFlow::Continue(())
    }
}

fn is_versioned(factor: &TableFactor) -> bool {
    matches!(factor, TableFactor::Table { version: Some(TableVersion::ForSystemTimeAsOf(_)), .. })
}

/// Rewrites a join with a versioned table; answers the name of the versions, if they show whether there is a row at all.
fn versioned(join: &mut Join, catalog: &Catalog) -> Result<Option<String>> {
    let TableFactor::Table { name, alias, version, .. } = &mut join.relation else { return Ok(None) };
    let table = name_of(name);
    let Some(TableVersion::ForSystemTimeAsOf(asked)) = version.take() else { return Ok(None) };
    let of = versioned_table(&table, catalog)?;
    if of.is_renamed {
        if alias.is_none() {
            let name = name.0.last().and_then(ObjectNamePart::as_ident).cloned();
            *alias = name.map(|name| TableAlias { explicit: false, name, columns: Vec::new(), at: None });
        }
        *name = as_versions(&table);
    }
    let qualifier =
        alias.as_ref().map_or_else(|| name.clone(), |alias| ObjectName::from(vec![alias.name.clone()]));
    let column = |name: &String| {
        let mut parts: Vec<Ident> = qualifier.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
        parts.push(quoted(name));
        Expr::CompoundIdentifier(parts)
    };
    let keys = of.key.iter().map(column);
    let mut condition = call(quoted(AS_OF), [asked, column(&of.time)].into_iter().chain(keys).collect());
    if of.has_deletions {
        let none = Box::new(Expr::value(Value::Number("0".to_owned(), false)));
        let weight = Box::new(column(&WEIGHT.to_owned()));
        condition = and(condition, Expr::BinaryOp { left: weight, op: BinaryOperator::Gt, right: none });
    }
    let Some(on) = condition_of(&mut join.join_operator) else {
        return Err(malformed(
            "a join FOR SYSTEM_TIME AS OF is inner or left, and takes its condition by ON",
            "orders o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency",
        ));
    };
    *on = and(on.clone(), condition);
    Ok(of.has_deletions.then(|| name_of(&qualifier)))
}

/// Keeps how often a version is there out of every `*` over it.
fn hide_weight(select: &mut Select, versions: &[String]) {
    for item in &mut select.projection {
        match item {
            SelectItem::Wildcard(options) => exclude(options, [WEIGHT]),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
                if versions.contains(&name_of(name)) =>
            {
                exclude(options, [WEIGHT]);
            }
            _ => {}
        }
    }
}
