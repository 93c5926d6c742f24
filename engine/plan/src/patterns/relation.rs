//! MATCH_RECOGNIZE from the syntax tree to its node in the logical plan.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, ExprSchemable, Extension, LogicalPlan, cast};
use datafusion::sql::sqlparser::ast::{
    self, EmptyMatchesMode, Ident, MatchRecognizePattern, Measure, OrderByExpr, Spanned, SymbolDefinition,
    TableFactor,
};
use headwater_functions::sql_type;
use headwater_operators::patterns::{Look, RowsPerMatch, Semantics};

use super::grammar::{Variables, check_definitions, pattern_of, skip_of, wrong};
use super::looks::{Cast, Clause, Operands, Rewrite};
use super::node::{MatchNode, Over, Recognized, Used, looks_schema};
use crate::error::{Mistake, SqlError, refused};
use crate::parse::{WITHIN, name_of, normal, position};
use crate::script::Script;
use crate::walk::expressions;
use crate::window::interval_nanos;
/// Plans MATCH_RECOGNIZE in FROM.
#[derive(Debug)]
pub(crate) struct PatternRelations {
    /// Where the query stands, for errors.
    pub(crate) script: Script,
}

impl RelationPlanner for PatternRelations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::MatchRecognize {
            table,
            partition_by,
            order_by,
            measures,
            rows_per_match,
            after_match_skip,
            pattern,
            symbols,
            alias,
        } = relation
        else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let at = position(table.span().start);
        let input = context.plan(*table)?;
        let clause = Written {
            planner: self,
            partition_by: &partition_by,
            order_by: &order_by,
            measures: &measures,
            symbols: &symbols,
        };
        let rows = rows_of(rows_per_match.as_ref());
        let node = rows
            .map_err(DataFusionError::from)
            .and_then(|rows| clause.plan(input, rows, after_match_skip.as_ref(), &pattern, context));
        let plan = node.map_err(|error| match error {
            DataFusionError::External(inner) => match inner.downcast::<SqlError>() {
                Ok(error) => refused(error.at(at, &self.script)),
                Err(other) => DataFusionError::External(other),
            },
            other => other,
        })?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

fn rows_of(rows: Option<&ast::RowsPerMatch>) -> std::result::Result<RowsPerMatch, SqlError> {
    match rows {
        None | Some(ast::RowsPerMatch::OneRow) => Ok(RowsPerMatch::One),
        Some(ast::RowsPerMatch::AllRows(None | Some(EmptyMatchesMode::Omit))) => Ok(RowsPerMatch::All),
        Some(ast::RowsPerMatch::AllRows(Some(EmptyMatchesMode::Show))) => {
            Err(wrong("SHOW EMPTY MATCHES has nothing to show: a match has at least one row")
                .hint("ALL ROWS PER MATCH"))
        }
        Some(ast::RowsPerMatch::AllRows(Some(EmptyMatchesMode::WithUnmatched))) => Err(wrong(
            "WITH UNMATCHED ROWS is not there: rows of matches come out",
        )
        .hint("let the pattern match the others, too: PATTERN (A B+ | X), and tell them by CLASSIFIER()")),
    }
}

/// The clauses as they are written.
struct Written<'a> {
    planner: &'a PatternRelations,
    partition_by: &'a [ast::Expr],
    order_by: &'a [OrderByExpr],
    measures: &'a [Measure],
    symbols: &'a [SymbolDefinition],
}

/// The clauses over looks.
struct Rewritten {
    /// By variable, with the looks of each; none holds for every row.
    definitions: Vec<Option<(ast::Expr, Vec<Look>)>>,
    /// With their names.
    measures: Vec<(ast::Expr, String)>,
    /// The looks of all measures.
    measured: Vec<(Look, Semantics)>,
}

impl Written<'_> {
    fn plan(
        &self,
        input: LogicalPlan,
        rows: RowsPerMatch,
        skip: Option<&ast::AfterMatchSkip>,
        pattern: &MatchRecognizePattern,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        let script = &self.planner.script;
        let variables = Variables::of(pattern);
        let (withins, symbols): (Vec<_>, Vec<_>) =
            self.symbols.iter().partition(|symbol| symbol.symbol.value == WITHIN);
        let defined: Vec<&Ident> = symbols.iter().map(|symbol| &symbol.symbol).collect();
        check_definitions(&defined, &variables, script)?;
        let schema = Arc::clone(input.schema());
        let partition_by = self.partition(&schema, context)?;
        let order = self.order(&schema, context)?;
        let within = withins.first().map(|within| self.within(&within.definition, context)).transpose()?;
        let mut operands = Operands::default();
        let columns: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let Rewritten { definitions, measures, measured } =
            self.rewritten(&symbols, &variables, &columns, &mut operands)?;
        let operands = planned(&operands, &schema, context)?;
        let over = |looks: &mut dyn Iterator<Item = &_>| looks_schema(looks, &operands, &schema);
        let mut what = Recognized {
            pattern: pattern_of(pattern, &variables, script)?,
            definitions: Vec::new(),
            within,
            skip: skip_of(skip, &variables, script)?,
            rows,
            measures: Vec::new(),
            order_options: order.options,
            variables: variables.written,
            measured: Vec::new(),
        };
        for definition in definitions {
            what.definitions.push(match definition {
                None => None,
                Some((expr, looks)) => {
                    let expr = self.over_looks(expr, &over(&mut looks.iter())?, context)?;
                    Some(Over { expr, looks })
                }
            });
        }
        let looks = over(&mut measured.iter().map(|(look, _)| look))?;
        for (expr, name) in measures {
            what.measures.push((self.over_looks(expr, &looks, context)?, name));
        }
        what.measured = measured;
        let used = Used { partition_by, time: order.time, order: order.others, operands };
        let place = (position(pattern_place(self, pattern)), script.clone());
        let node = MatchNode::try_new(input, Arc::new(what), used, place)?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    /// The clauses with `$n` in the place of all that they look at; what that computes is put among the operands.
    fn rewritten(
        &self,
        symbols: &[&SymbolDefinition],
        variables: &Variables,
        columns: &[String],
        operands: &mut Operands,
    ) -> Result<Rewritten> {
        let script = &self.planner.script;
        let mut rewrite = Rewrite {
            variables,
            columns,
            time: &self.order_by[0].expr,
            script,
            operands,
            clause: Clause::Measures,
            semantics: Semantics::Running,
            looks: Vec::new(),
        };
        let mut definitions = vec![None; variables.len()];
        for symbol in symbols {
            let variable = variables.get(&symbol.symbol, script)?;
            rewrite.clause = Clause::Define(variable);
            let mut expr = symbol.definition.clone();
            rewrite.rewrite(&mut expr)?;
            let looks = std::mem::take(&mut rewrite.looks).into_iter().map(|(look, _)| look).collect();
            definitions[usize::from(variable)] = Some((expr, looks));
        }
        rewrite.clause = Clause::Measures;
        let mut measures = Vec::new();
        for measure in self.measures {
            let mut expr = measure.expr.clone();
            rewrite.rewrite(&mut expr)?;
            measures.push((expr, normal(&measure.alias)));
        }
        Ok(Rewritten { definitions, measures, measured: rewrite.looks })
    }

    /// An expression over looks, in which only scalar functions are left.
    fn over_looks(
        &self,
        expr: ast::Expr,
        looks: &DFSchema,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<Expr> {
        let planned = context.sql_to_expr(expr.clone(), looks)?;
        planned.apply(|part| {
            let (Expr::AggregateFunction(_) | Expr::WindowFunction(_)) = part else {
                return Ok(TreeNodeRecursion::Continue);
            };
            let name = part.schema_name().to_string();
            let name = name.split('(').next().unwrap_or_default();
            let mut error = wrong(format!("{name}() is not there in patterns"))
                .hint("COUNT, SUM, AVG, MIN and MAX are; aggregate the matches for others");
            let _ = expressions(&expr, |part| match part {
                ast::Expr::Function(function) if name_of(&function.name).eq_ignore_ascii_case(name) => {
                    let at = position(function.name.span().start);
                    error = error.clone().at(at, &self.planner.script);
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            });
            Err(refused(error))
        })?;
        Ok(planned)
    }

    fn partition(&self, schema: &DFSchema, context: &mut dyn RelationPlannerContext) -> Result<Vec<Expr>> {
        let mut keys = Vec::new();
        for key in self.partition_by {
            match context.sql_to_expr(key.clone(), schema)? {
                column @ Expr::Column(_) => keys.push(column),
                other => {
                    return Err(wrong(format!("MATCH_RECOGNIZE is partitioned by columns, not by '{other}'"))
                        .hint("compute it before: WITH t AS (SELECT *, expr AS key ...) ... FROM t MATCH_RECOGNIZE (PARTITION BY key ...)")
                        .at(position(key.span().start), &self.planner.script)
                        .into());
                }
            }
        }
        Ok(keys)
    }

    fn order(&self, schema: &DFSchema, context: &mut dyn RelationPlannerContext) -> Result<Ordered> {
        let script = &self.planner.script;
        let Some(first) = self.order_by.first() else {
            return Err(wrong(
                "MATCH_RECOGNIZE needs ORDER BY the stream's time column: without it rows have no order",
            )
            .hint("MATCH_RECOGNIZE (PARTITION BY device ORDER BY ts ...)")
            .into());
        };
        let mut columns = Vec::new();
        for order in self.order_by {
            match context.sql_to_expr(order.expr.clone(), schema)? {
                column @ Expr::Column(_) => columns.push(column),
                other => {
                    return Err(wrong(format!("MATCH_RECOGNIZE is ordered by columns, not by '{other}'"))
                        .at(position(order.expr.span().start), script)
                        .into());
                }
            }
        }
        let at = position(first.expr.span().start);
        if first.options.asc == Some(false) {
            return Err(wrong("MATCH_RECOGNIZE is ordered by time, oldest first: DESC cannot be")
                .at(at, script)
                .into());
        }
        let time = columns.remove(0);
        let kind = time.get_type(schema)?;
        if !matches!(kind, DataType::Timestamp(..)) {
            return Err(wrong(format!(
                "MATCH_RECOGNIZE is ordered by time first, but '{}' is {}",
                first.expr,
                sql_type(&kind)
            ))
            .hint("ORDER BY the column of WATERMARK FOR; others may follow it")
            .at(at, script)
            .into());
        }
        let options = self.order_by[1..].iter().map(|order| {
            let descending = order.options.asc == Some(false);
            (descending, order.options.nulls_first.unwrap_or(descending))
        });
        Ok(Ordered { time, others: columns, options: options.collect() })
    }

    fn within(&self, expr: &ast::Expr, context: &mut dyn RelationPlannerContext) -> Result<i64> {
        let bad = |why: String| {
            wrong(format!("WITHIN {why}"))
                .hint("write it as WITHIN INTERVAL '1' HOUR")
                .at(position(expr.span().start), &self.planner.script)
        };
        match interval_nanos(expr, context)? {
            Ok(length) if length > 0 => Ok(length),
            Ok(_) => Err(bad("must be longer than nothing".to_owned()).into()),
            Err(why) => Err(bad(why).into()),
        }
    }
}

struct Ordered {
    time: Expr,
    others: Vec<Expr>,
    /// Of the others: descending, nulls first.
    options: Vec<(bool, bool)>,
}

/// Where errors that are about the whole clause point: at the first name in the pattern.
fn pattern_place(
    written: &Written<'_>,
    pattern: &MatchRecognizePattern,
) -> datafusion::sql::sqlparser::tokenizer::Location {
    let span = pattern.span();
    if span.start.line > 0 { span.start } else { written.order_by[0].expr.span().start }
}

/// The operands as expressions over the input.
fn planned(
    operands: &Operands,
    schema: &DFSchema,
    context: &mut dyn RelationPlannerContext,
) -> Result<Vec<Expr>> {
    let mut all = Vec::new();
    for (expr, wanted) in &operands.0 {
        let shown = expr.to_string();
        let expr = context.sql_to_expr(expr.clone(), schema)?;
        let kind = match wanted {
            Cast::None => None,
            Cast::Number => Some(number_type(&shown, &expr.get_type(schema)?)?),
            Cast::Double => {
                number_type(&shown, &expr.get_type(schema)?)?;
                Some(DataType::Float64)
            }
        };
        all.push(match kind {
            Some(kind) if kind != expr.get_type(schema)? => cast(expr, kind),
            _ => expr,
        });
    }
    Ok(all)
}

/// What numbers of a type are added up as.
fn number_type(shown: &str, kind: &DataType) -> Result<DataType> {
    match kind {
        kind if kind.is_integer() => Ok(DataType::Int64),
        DataType::Float16 | DataType::Float32 | DataType::Float64 | DataType::Null => Ok(DataType::Float64),
        DataType::Decimal128(..) => Ok(kind.clone()),
        other => Err(refused(SqlError::new(
            Mistake::Type,
            format!("SUM and AVG add up numbers, but '{shown}' is {}", sql_type(other)),
        ))),
    }
}
