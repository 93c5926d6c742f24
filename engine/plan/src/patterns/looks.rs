//! What DEFINE and MEASURES look at: each column, navigation and aggregate becomes a column `$n`, and what is left is
//! an ordinary expression over those.
//!
//! | written | looks at |
//! |---|---|
//! | `A.x`, `x` | the last row of A, of the match; in DEFINE A the row itself is the last |
//! | `FIRST(A.x, n)`, `LAST(A.x, n)` | the row n rows after A's first, before A's last |
//! | `PREV(A.x, n)`, `NEXT(..)`, `PREV(LAST(A.x, m), n)` | the row n rows before, after that one in the partition |
//! | `COUNT`, `SUM`, `AVG`, `MIN`, `MAX` | all rows of A, of the match, so far |
//! | `CLASSIFIER()`, `MATCH_NUMBER()`, `MATCH_ROWTIME()` | the variable of the row; the number of the match; the time of its last row |

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    Spanned, VisitorMut,
};
use headwater_operators::patterns::{Fold, Look, Semantics, Side};

use super::grammar::{Variables, wrong};
use crate::error::{Result, SqlError, did_you_mean};
use crate::parse::{FINAL, RUNNING, name_of, normal, position};
use crate::script::Script;
use crate::walk::{WalkMut, expressions};

/// What must become of an expression's type before it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cast {
    None,
    /// BIGINT, DOUBLE or DECIMAL.
    Number,
    Double,
}

/// Expressions over rows that are looked at, each once.
#[derive(Debug, Default)]
pub(super) struct Operands(pub(super) Vec<(Expr, Cast)>);

impl Operands {
    fn add(&mut self, expr: Expr, cast: Cast) -> usize {
        let operand = (expr, cast);
        self.0.iter().position(|known| *known == operand).unwrap_or_else(|| {
            self.0.push(operand);
            self.0.len() - 1
        })
    }
}

/// What an expression is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clause {
    /// The definition of this variable.
    Define(u16),
    /// A measure.
    Measures,
}

/// Takes expressions apart.
pub(super) struct Rewrite<'a> {
    pub(super) variables: &'a Variables,
    /// The names of the input's columns.
    pub(super) columns: &'a [String],
    /// The column of time.
    pub(super) time: &'a Expr,
    pub(super) script: &'a Script,
    pub(super) operands: &'a mut Operands,
    pub(super) clause: Clause,
    pub(super) semantics: Semantics,
    /// What has been found: `$0`, `$1`, ..
    pub(super) looks: Vec<(Look, Semantics)>,
}

/// How the columns `$n` are called.
pub(super) fn column_name(nth: usize) -> String {
    format!("${nth}")
}

impl Rewrite<'_> {
    /// Puts a column `$n` in the place of all that is looked at.
    pub(super) fn rewrite(&mut self, expr: &mut Expr) -> Result<()> {
        match expr.walk_mut(self) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    fn column(&mut self, look: Look, semantics: Semantics) -> Expr {
        let look = (look, semantics);
        let nth = self.looks.iter().position(|known| *known == look).unwrap_or_else(|| {
            self.looks.push(look);
            self.looks.len() - 1
        });
        Expr::Identifier(Ident::with_quote('"', column_name(nth)))
    }

    fn meaning(&mut self, expr: &Expr) -> Result<Option<Expr>> {
        match expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
                let look = self.row(expr, Side::Last, 0, 0)?;
                Ok(Some(self.column(look, self.semantics)))
            }
            Expr::Function(function) => self.function(function),
            Expr::Subquery(query)
            | Expr::Exists { subquery: query, .. }
            | Expr::InSubquery { subquery: query, .. } => {
                Err(wrong("a pattern's definitions and measures look at its rows, not at other queries")
                    .at(position(query.span().start), self.script))
            }
            _ => Ok(None),
        }
    }

    fn function(&mut self, function: &Function) -> Result<Option<Expr>> {
        let name = name_of(&function.name);
        let at = position(function.name.span().start);
        let found = match name.to_lowercase().as_str() {
            FINAL | RUNNING => return self.with_semantics(function, name == FINAL).map(Some),
            "prev" | "next" | "first" | "last" => self.navigation(function)?,
            "count" | "sum" | "avg" | "min" | "max" => self.aggregate(function)?,
            "classifier" => return self.classifier(function).map(Some),
            "match_number" if self.clause == Clause::Measures => {
                check_no_arguments(function)?;
                Look::Number
            }
            "match_rowtime" if self.clause == Clause::Measures => {
                let operand = self.operands.add(self.time.clone(), Cast::None);
                let look = Look::Row { operand, of: None, side: Side::Last, offset: 0, step: 0 };
                return Ok(Some(self.column(look, Semantics::Final)));
            }
            "match_number" | "match_rowtime" => {
                return Err(wrong(format!(
                    "{}() is known when there is a match: it belongs into MEASURES",
                    name.to_uppercase()
                ))
                .at(at, self.script));
            }
            "match_proctime" => {
                return Err(wrong(
                    "MATCH_PROCTIME() depends on when the query runs, so that a replay would give other rows",
                )
                .hint("MATCH_ROWTIME() is the time of the match's last row")
                .at(at, self.script));
            }
            _ => return Ok(None),
        };
        Ok(Some(self.column(found, self.semantics)))
    }

    /// `FINAL f(..)`, `RUNNING f(..)`.
    fn with_semantics(&mut self, function: &Function, is_final: bool) -> Result<Expr> {
        let [inner] =
            arguments(function)?.try_into().map_err(|_| wrong("FINAL and RUNNING come before a function"))?;
        let mut inner = inner.clone();
        let semantics = if is_final { Semantics::Final } else { Semantics::Running };
        let before = std::mem::replace(&mut self.semantics, semantics);
        let done = self.rewrite(&mut inner);
        self.semantics = before;
        done.map(|()| inner)
    }

    fn classifier(&mut self, function: &Function) -> Result<Expr> {
        check_no_arguments(function)?;
        match self.clause {
            Clause::Measures => Ok(self.column(Look::Classifier, self.semantics)),
            Clause::Define(variable) => {
                let name = self.variables.written[usize::from(variable)].clone();
                Ok(Expr::Value(ast::Value::SingleQuotedString(name).into()))
            }
        }
    }

    fn navigation(&mut self, function: &Function) -> Result<Look> {
        let name = name_of(&function.name).to_uppercase();
        let usage = || {
            self.misused(function, format!("{name}() takes an expression and a number of rows"))
                .hint(format!("{name}(A.price), {name}(A.price, 2)"))
        };
        let (value, offset) = match *arguments(function)?.as_slice() {
            [value] => (value, None),
            [value, offset] => (value, Some(count_of(offset).ok_or_else(usage)?)),
            _ => return Err(usage()),
        };
        let distance = i32::try_from(offset.unwrap_or(1)).map_err(|_| usage())?;
        match name.as_str() {
            "FIRST" => self.row(value, Side::First, offset.unwrap_or(0), 0),
            "LAST" => self.row(value, Side::Last, offset.unwrap_or(0), 0),
            "NEXT" if self.clause == Clause::Measures => Err(self
                .misused(
                    function,
                    "NEXT() in MEASURES may look at a row that has not come when the match is told",
                )
                .hint("put the row into the pattern, as a variable of its own")),
            _ => {
                let step = if name == "PREV" { -distance } else { distance };
                self.neighbour(value, step)
            }
        }
    }

    /// `PREV(x)`, `PREV(LAST(x, n))`.
    fn neighbour(&mut self, value: &Expr, step: i32) -> Result<Look> {
        if let Expr::Function(inner) = value
            && matches!(name_of(&inner.name).to_lowercase().as_str(), "first" | "last")
        {
            let Look::Row { operand, of, side, offset, .. } = self.navigation(inner)? else {
                return Err(wrong("FIRST and LAST look at a row"));
            };
            return Ok(Look::Row { operand, of, side, offset, step });
        }
        self.row(value, Side::Last, 0, step)
    }

    fn row(&mut self, value: &Expr, side: Side, offset: u32, step: i32) -> Result<Look> {
        let (of, value) = self.of_one_variable(value)?;
        let operand = self.operands.add(value, Cast::None);
        Ok(Look::Row { operand, of, side, offset, step })
    }

    fn aggregate(&mut self, function: &Function) -> Result<Look> {
        let name = name_of(&function.name).to_uppercase();
        let FunctionArguments::List(list) = &function.args else {
            return Err(self.misused(function, format!("{name}() takes an expression")));
        };
        let extras = function.filter.is_some()
            || function.over.is_some()
            || !function.within_group.is_empty()
            || list.duplicate_treatment.is_some()
            || !list.clauses.is_empty();
        if extras {
            return Err(self
                .misused(
                    function,
                    format!("{name}() in a pattern takes an expression alone: no DISTINCT, FILTER or OVER"),
                )
                .hint("a condition on rows belongs into DEFINE"));
        }
        let (fold, cast) = match name.as_str() {
            "COUNT" => (Fold::Count, Cast::None),
            "SUM" => (Fold::Sum, Cast::Number),
            "AVG" => (Fold::Avg, Cast::Double),
            "MIN" => (Fold::Min, Cast::None),
            _ => (Fold::Max, Cast::None),
        };
        let (of, operand) = match self.argument(function, list)? {
            (of, None) if fold == Fold::Count => (of, None),
            (_, None) => return Err(self.misused(function, format!("{name}() takes an expression"))),
            (of, Some(value)) => (of, Some(self.operands.add(value, cast))),
        };
        Ok(Look::Fold { fold, operand, of })
    }

    /// What an aggregate is over: of which variable, and the expression, unless it is over rows.
    fn argument(
        &self,
        function: &Function,
        list: &FunctionArgumentList,
    ) -> Result<(Option<u16>, Option<Expr>)> {
        match list.args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] => Ok((None, None)),
            [FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(of))] => {
                match of.0.first().and_then(|part| part.as_ident()) {
                    Some(ident) => Ok((Some(self.variables.get(ident, self.script)?), None)),
                    None => Err(self.misused(function, "* belongs to a variable")),
                }
            }
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(value))] => {
                let (of, value) = self.of_one_variable(value)?;
                Ok((of, Some(value)))
            }
            _ => Err(self.misused(function, "an aggregate in a pattern takes one expression")),
        }
    }

    fn misused(&self, function: &Function, message: impl Into<String>) -> SqlError {
        wrong(message).at(position(function.name.span().start), self.script)
    }

    /// An expression over the columns of one variable's rows, without the variable's name.
    fn of_one_variable(&self, value: &Expr) -> Result<(Option<u16>, Expr)> {
        self.check_not_nested(value)?;
        let mut value = value.clone();
        let mut strip = Strip { rewrite: self, of: None };
        if let ControlFlow::Break(error) = value.walk_mut(&mut strip) {
            return Err(error);
        }
        let of = strip.of.flatten();
        Ok((of, value))
    }

    fn check_not_nested(&self, value: &Expr) -> Result<()> {
        const NAVIGATION: [&str; 9] = ["prev", "next", "first", "last", "count", "sum", "avg", "min", "max"];
        let mut found = None;
        let _ = expressions(value, |part| match part {
            Expr::Function(inner) if NAVIGATION.contains(&name_of(&inner.name).to_lowercase().as_str()) => {
                found = Some(inner.clone());
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        match found {
            None => Ok(()),
            Some(inner) => {
                let name = name_of(&inner.name).to_uppercase();
                Err(self
                    .misused(
                        &inner,
                        format!("{name}() looks at other rows, and cannot stand inside a function that does"),
                    )
                    .hint("only FIRST and LAST go into PREV and NEXT: PREV(LAST(A.price), 2)"))
            }
        }
    }
}

impl VisitorMut for Rewrite<'_> {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        if let Expr::Identifier(ident) = expr
            && ident.quote_style.is_some()
            && is_column_name(&ident.value)
        {
            return ControlFlow::Continue(());
        }
        match self.meaning(expr) {
            Ok(Some(instead)) => *expr = instead,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

fn is_column_name(name: &str) -> bool {
    name.strip_prefix('$').is_some_and(|nth| nth.parse::<usize>().is_ok())
}

/// Takes variables' names off columns, and sees to it that there is one variable only.
struct Strip<'a, 'b> {
    rewrite: &'a Rewrite<'b>,
    of: Option<Option<u16>>,
}

impl VisitorMut for Strip<'_, '_> {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let (of, instead) = match expr {
            Expr::Identifier(_) => (None, None),
            Expr::CompoundIdentifier(parts) => match self.variable_of(parts) {
                Ok(None) => (None, None),
                Ok(Some(of)) => (Some(of), Some(without_first(parts))),
                Err(error) => return ControlFlow::Break(error),
            },
            _ => return ControlFlow::Continue(()),
        };
        if self.of.is_some_and(|known| known != of) {
            let error =
                wrong("an expression that looks at one row, or at the rows of one variable, names several")
                    .hint("take each by itself: FIRST(A.price) - FIRST(B.price)")
                    .at(position(expr.span().start), self.rewrite.script);
            return ControlFlow::Break(error);
        }
        self.of = Some(of);
        if let Some(instead) = instead {
            *expr = instead;
        }
        ControlFlow::Continue(())
    }
}

impl Strip<'_, '_> {
    /// The variable that a name begins with; none if it begins with a column.
    fn variable_of(&self, parts: &[Ident]) -> Result<Option<u16>> {
        let Some(first) = parts.first() else { return Ok(None) };
        if let Some(variable) = self.rewrite.variables.find(first) {
            return Ok(Some(variable));
        }
        if self.rewrite.columns.contains(&normal(first)) {
            return Ok(None);
        }
        let names = self.rewrite.variables.written.iter().map(String::as_str);
        Err(wrong(format!("the pattern has no variable '{}'", first.value))
            .at(position(first.span.start), self.rewrite.script)
            .hint_if(did_you_mean(&first.value, names)))
    }
}

fn without_first(parts: &[Ident]) -> Expr {
    match parts {
        [_, column] => Expr::Identifier(column.clone()),
        [_, rest @ ..] => Expr::CompoundIdentifier(rest.to_vec()),
        [] => Expr::CompoundIdentifier(Vec::new()),
    }
}

/// The arguments of a function that takes expressions alone.
fn arguments(function: &Function) -> Result<Vec<&Expr>> {
    let FunctionArguments::List(list) = &function.args else { return Ok(Vec::new()) };
    let mut exprs = Vec::new();
    for argument in &list.args {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => exprs.push(expr),
            _ => {
                return Err(wrong(format!("{}() takes expressions", name_of(&function.name).to_uppercase())));
            }
        }
    }
    Ok(exprs)
}

fn check_no_arguments(function: &Function) -> Result<()> {
    if arguments(function)?.is_empty() {
        return Ok(());
    }
    Err(wrong(format!("{}() takes no arguments", name_of(&function.name).to_uppercase())))
}

/// A number of rows.
fn count_of(expr: &Expr) -> Option<u32> {
    match expr {
        Expr::Value(value) => match &value.value {
            ast::Value::Number(text, _) => text.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}
