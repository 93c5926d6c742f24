//! From the syntax tree to the logical node: reads a window function's arguments.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, ExprSchemable, Extension, LogicalPlan, Projection};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::{
    self, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, TableFactor, WindowType,
};
use headwater_functions::sql_type;

use super::node::{COLUMNS_OVER_WINDOWS, WINDOW_COLUMNS, WindowTvf, Windowing, window_type};
use crate::catalog::Catalog;
use crate::error::{Mistake, SqlError, did_you_mean, refused};
use crate::parse::{OVER_WINDOWS, TABLE_ARGUMENT, WINDOW_FUNCTIONS, name_of, position, sole_table};
use crate::script::Script;
/// Plans window functions in FROM.
#[derive(Debug)]
pub(crate) struct WindowRelations {
    /// Knows the streams' event time, for windows that do not name a column.
    pub(crate) catalog: Catalog,
    /// Where the query stands, for errors.
    pub(crate) script: Script,
}

impl RelationPlanner for WindowRelations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::TableFunction { expr: ast::Expr::Function(function), alias } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let at = position(function.name.span().start);
        let plan = self.plan_window(function, context).map_err(|error| match error {
            DataFusionError::External(inner) => match inner.downcast::<SqlError>() {
                Ok(error) => refused(error.at(at, &self.script)),
                Err(other) => DataFusionError::External(other),
            },
            other => other,
        })?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

impl WindowRelations {
    fn plan_window(
        &self,
        function: &Function,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        let window = name_of(&function.name).to_uppercase();
        let arguments = Arguments::of(function);
        let Some((data, partition)) = arguments.get("DATA").and_then(table_of) else {
            let message = format!("there is no table function '{window}'");
            return Err(refused(
                SqlError::new(Mistake::UnknownFunction, message)
                    .hint_if(did_you_mean(&window, WINDOW_FUNCTIONS)),
            ));
        };
        let input = context.plan(data)?;
        let time = match arguments.get("TIMECOL") {
            Some(expr) => context.sql_to_expr(expr.clone(), input.schema())?,
            None => self.own_time(&window, &input)?,
        };
        check_time(&window, &time, input.schema())?;
        let mut partition_by = partition_by(&window, partition, &input, context)?;
        let conditions = conditions(&window, &arguments, &input, context)?;
        let windowing = windowing(&window, &arguments, context)?;
        check_windowing(windowing)?;
        if !windowing.depends_on_rows() {
            // A partition changes nothing.
            partition_by.clear();
        }
        let is_over_windows = arguments.get(OVER_WINDOWS).is_some();
        let bounds = if is_over_windows { COLUMNS_OVER_WINDOWS } else { WINDOW_COLUMNS };
        let node = WindowTvf::try_new(input, windowing, (time, partition_by, conditions), bounds)?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    /// The column that the stream's watermark is for.
    fn own_time(&self, window: &str, input: &LogicalPlan) -> Result<Expr> {
        event_time_of(input, &self.catalog).map(Expr::Column).ok_or_else(|| {
            SqlError::new(Mistake::NoWatermark, format!("{window} does not say which column is its time"))
                .hint("use a table function: FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR), or declare a WATERMARK FOR the stream's time column")
                .into()
        })
    }
}

fn malformed(message: String) -> SqlError {
    SqlError::new(Mistake::Window, message)
}

/// The named arguments of a window function.
struct Arguments<'a>(Vec<(String, &'a ast::Expr)>);

impl<'a> Arguments<'a> {
    fn of(function: &'a Function) -> Self {
        let FunctionArguments::List(list) = &function.args else { return Self(Vec::new()) };
        let named = list.args.iter().filter_map(|arg| match arg {
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                Some((name.value.to_uppercase(), expr))
            }
            _ => None,
        });
        Self(named.collect())
    }

    fn get(&self, name: &str) -> Option<&'a ast::Expr> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, expr)| *expr)
    }
}

/// The table and the partition of `TABLE t PARTITION BY ...`.
fn table_of(expr: &ast::Expr) -> Option<(TableFactor, &[ast::Expr])> {
    let ast::Expr::Function(function) = expr else { return None };
    let FunctionArguments::Subquery(query) = &function.args else { return None };
    if name_of(&function.name) != TABLE_ARGUMENT.to_lowercase() {
        return None;
    }
    let partition = match &function.over {
        Some(WindowType::WindowSpec(spec)) => spec.partition_by.as_slice(),
        _ => &[],
    };
    let factor = sole_table(query).cloned().unwrap_or_else(|| TableFactor::Derived {
        lateral: false,
        subquery: query.clone(),
        alias: None,
        sample: None,
    });
    Some((factor, partition))
}

/// The columns that windows are kept apart by.
fn partition_by(
    window: &str,
    keys: &[ast::Expr],
    input: &LogicalPlan,
    context: &mut dyn RelationPlannerContext,
) -> Result<Vec<Expr>> {
    let mut partition_by = Vec::new();
    for key in keys {
        match context.sql_to_expr(key.clone(), input.schema())? {
            column @ Expr::Column(_) => partition_by.push(column),
            other => {
                return Err(malformed(format!("{window} is partitioned by columns, not by '{other}'"))
                    .hint("compute the key in a subquery: TABLE (SELECT ..., expr AS key FROM ...)")
                    .into());
            }
        }
    }
    Ok(partition_by)
}

/// When windows by condition begin and are emitted.
fn conditions(
    window: &str,
    arguments: &Arguments<'_>,
    input: &LogicalPlan,
    context: &mut dyn RelationPlannerContext,
) -> Result<Vec<Expr>> {
    let mut conditions = Vec::new();
    for name in ["BEGIN_CONDITION", "EMIT_CONDITION"] {
        if let Some(condition) = arguments.get(name) {
            let condition = context.sql_to_expr(condition.clone(), input.schema())?;
            check_condition(window, &condition, input.schema())?;
            conditions.push(condition);
        }
    }
    Ok(conditions)
}

/// What windows there are, by the function's name and its arguments.
fn windowing(
    window: &str,
    arguments: &Arguments<'_>,
    context: &mut dyn RelationPlannerContext,
) -> Result<Windowing> {
    let count = |name: &str| -> Result<Option<u32>> {
        arguments.get(name).map(|expr| count_of(window, name, expr)).transpose()
    };
    let mut length = |name: &str| -> Result<Option<i64>> {
        arguments.get(name).map(|expr| length_of(window, name, expr, context)).transpose()
    };
    let offset = length("OFFSET")?.unwrap_or(0);
    let missing = |name: &str| malformed(format!("{window} lacks the argument {name}"));
    let mut required = |name: &str| -> Result<i64> { length(name)?.ok_or_else(|| missing(name).into()) };
    Ok(match window {
        "TUMBLE" => Windowing::Tumble { size: required("SIZE")?, offset },
        "HOP" => Windowing::Hop { slide: required("SLIDE")?, size: required("SIZE")?, offset },
        "CUMULATE" => Windowing::Cumulate { step: required("STEP")?, size: required("SIZE")?, offset },
        "COUNT_WINDOW" => {
            let size = count("SIZE")?.ok_or_else(|| missing("SIZE"))?;
            Windowing::Count { size, hop: count("HOP")?.unwrap_or(size) }
        }
        "STATE_WINDOW" => Windowing::State,
        _ => Windowing::Session { gap: required("GAP")? },
    })
}

fn check_time(window: &str, time: &Expr, schema: &DFSchema) -> Result<()> {
    let Expr::Column(column) = time else {
        return Err(malformed(format!("the time of {window} is a column, not '{time}'")).into());
    };
    let kind = schema.field(schema.index_of_column(column)?).data_type();
    match window_type(kind) {
        Some(_) => Ok(()),
        None => Err(SqlError::new(
            Mistake::Type,
            format!("{window} needs a timestamp, but '{}' is {}", column.name, sql_type(kind)),
        )
        .hint("CAST it to TIMESTAMP in a subquery or view")
        .into()),
    }
}

/// A number of rows.
fn count_of(window: &str, name: &str, expr: &ast::Expr) -> Result<u32> {
    let number = match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Number(text, _) => text.parse().ok(),
            _ => None,
        },
        _ => None,
    };
    let message = || malformed(format!("{name} of {window} is '{expr}', not a number of rows"));
    number.ok_or_else(|| message().hint("write it as 5").into())
}

/// Whether an expression can say of a row that it begins or ends a window.
fn check_condition(window: &str, condition: &Expr, schema: &DFSchema) -> Result<()> {
    let looks_elsewhere = condition.exists(|part| {
        Ok(matches!(
            part,
            Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
        ))
    })?;
    if looks_elsewhere {
        let message = format!("a condition of {window} is over one row, but '{condition}' looks at others");
        return Err(malformed(message)
            .hint("compute it in a subquery: TABLE (SELECT *, ... AS x FROM t)")
            .into());
    }
    match condition.get_type(schema)? {
        DataType::Boolean | DataType::Null => Ok(()),
        other => {
            let message = format!(
                "a condition of {window} is true or false, but '{condition}' is {}",
                sql_type(&other)
            );
            Err(SqlError::new(Mistake::Type, message).into())
        }
    }
}

/// The length of an INTERVAL in nanoseconds.
fn length_of(
    window: &str,
    name: &str,
    expr: &ast::Expr,
    context: &mut dyn RelationPlannerContext,
) -> Result<i64> {
    let bad = |what: String| {
        malformed(format!("{name} of {window} {what}")).hint("write it as INTERVAL '5' MINUTE").into()
    };
    interval_nanos(expr, context)?.map_err(bad)
}

/// The length of an INTERVAL in nanoseconds, or what is wrong with it.
pub(crate) fn interval_nanos(
    expr: &ast::Expr,
    context: &mut dyn RelationPlannerContext,
) -> Result<std::result::Result<i64, String>> {
    let empty = DFSchema::empty();
    let value = context.sql_to_expr(expr.clone(), &empty)?;
    let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_schema(Arc::new(empty)).build());
    Ok(match simplifier.simplify(value)? {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(value)), _) if value.months == 0 => {
            i64::from(value.days)
                .checked_mul(86_400_000_000_000)
                .and_then(|days| days.checked_add(value.nanoseconds))
                .ok_or_else(|| "is too long".to_owned())
        }
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(_)), _) => {
            Err("is in months, which are not all of one length".to_owned())
        }
        _ => Err(format!("is '{expr}', not a length of time")),
    })
}

fn check_windowing(windowing: Windowing) -> Result<()> {
    let name = windowing.name();
    let wrong = match windowing {
        Windowing::Tumble { size, .. } => (size <= 0).then(|| "SIZE must be positive".to_owned()),
        Windowing::Hop { size, slide, .. } => {
            (size <= 0 || slide <= 0).then(|| "SLIDE and SIZE must be positive".to_owned())
        }
        Windowing::Cumulate { size, step, .. } if size <= 0 || step <= 0 => {
            Some("STEP and SIZE must be positive".to_owned())
        }
        Windowing::Cumulate { size, step, .. } => {
            (size % step != 0).then(|| "SIZE must be a multiple of STEP; STEP comes first".to_owned())
        }
        Windowing::Session { gap } => (gap <= 0).then(|| "GAP must be positive".to_owned()),
        Windowing::Count { size, hop } => {
            (hop == 0 || hop > size).then(|| "SIZE and HOP must be positive, and HOP at most SIZE".to_owned())
        }
        Windowing::State => None,
    };
    match wrong {
        Some(why) => Err(malformed(format!("windows of {name} are impossible: {why}")).into()),
        None => Ok(()),
    }
}

/// The column of a plan that carries its stream's event time, unchanged.
pub(crate) fn event_time_of(plan: &LogicalPlan, catalog: &Catalog) -> Option<Column> {
    let mut found = None;
    let inner = match plan {
        LogicalPlan::TableScan(scan) => {
            let name = scan.table_name.to_string();
            let column = &catalog.stream(&name)?.watermark.as_ref()?.column;
            let index = scan
                .projected_schema
                .index_of_column_by_name(None, column)
                .or_else(|| scan.projected_schema.fields().iter().position(|field| field.name() == column))?;
            return Some(Column::from(scan.projected_schema.qualified_field(index)));
        }
        LogicalPlan::Filter(filter) => return event_time_of(&filter.input, catalog),
        LogicalPlan::SubqueryAlias(alias) => {
            let inner = event_time_of(&alias.input, catalog)?;
            let index = alias.input.schema().index_of_column(&inner).ok()?;
            return Some(Column::from(alias.schema.qualified_field(index)));
        }
        LogicalPlan::Projection(projection) => match event_time_of(&projection.input, catalog) {
            Some(time) => (time, projection),
            None => return computed_time_of(projection, catalog),
        },
        _ => return None,
    };
    let (time, projection) = inner;
    for (index, expr) in projection.expr.iter().enumerate() {
        let _ = expr
            .apply(|part| {
                Ok(match part {
                    Expr::Alias(_) => TreeNodeRecursion::Continue,
                    Expr::Column(column) if *column == time => {
                        found = Some(Column::from(projection.schema.qualified_field(index)));
                        TreeNodeRecursion::Stop
                    }
                    _ => TreeNodeRecursion::Stop,
                })
            })
            .ok()?;
    }
    found
}

/// The event time of a stream that is computed above its scan.
fn computed_time_of(projection: &Projection, catalog: &Catalog) -> Option<Column> {
    let LogicalPlan::TableScan(scan) = &*projection.input else { return None };
    let stream = catalog.stream(&scan.table_name.to_string())?;
    let time = &stream.watermark.as_ref()?.column;
    let is_time = |field: &FieldRef| field.name() == time && stream.is_computed(time);
    let index = projection.schema.fields().iter().position(is_time)?;
    Some(Column::from(projection.schema.qualified_field(index)))
}
