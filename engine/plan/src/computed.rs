//! Columns that are computed from the others whenever a stream is read: `cost AS price * quantity`.
//!
//! They are not stored, and nothing is inserted into them. A query that goes on for ever finds them among the columns of its scan, and
//! computes those that it wants (`stream/source.rs`); one by which event time is told is computed as rows are read, because the clock of
//! a shard comes before everything else. Over the rows so far they are a projection above the scan.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, TableReference};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast;
use headwater_functions::sql_type;

use crate::definition::StreamDef;
use crate::error::{Mistake, SqlError, refused};
use crate::metadata::with_arrival;
use crate::physical::physical_expr;
use crate::planning::Planning;
use crate::proctime::{ARRIVAL, tell_by_arrival};
use crate::script::{Position, Script};
use crate::stream::check_expression;
use crate::translate::translate_expression;
/// A column that is computed from the others.
#[derive(Debug, Clone)]
pub struct ComputedColumn {
    /// Its name.
    pub name: String,
    /// Its place among all columns as they were declared, those that are computed included.
    pub place: usize,
    /// What is computed, as it was written.
    pub text: String,
    /// The type that it was declared with (`GENERATED ALWAYS AS`); `None`: that of what is computed.
    pub kind: Option<DataType>,
    pub(crate) expr: Box<ast::Expr>,
    pub(crate) position: Position,
    pub(crate) script: Script,
}

/// Where a column comes from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// It is this column of the stream.
    Stored(usize),
    /// It is computed from columns of the stream, which are named without the stream.
    Computed(Expr),
}

/// A stream's columns in the order in which they were declared.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) schema: SchemaRef,
    pub(crate) origins: Vec<Origin>,
}

impl Declared {
    /// Columns that are all stored.
    pub(crate) fn stored(schema: &SchemaRef) -> Self {
        let origins = (0..schema.fields().len()).map(Origin::Stored).collect();
        Self { schema: Arc::clone(schema), origins }
    }
}

/// The columns of the stream that an expression is computed from, those of metadata left out.
pub(crate) fn columns_of(expr: &Expr, stream: &Schema) -> Result<Vec<usize>> {
    let own = |column: &&Column| column.name != ARRIVAL;
    expr.column_refs().into_iter().filter(own).map(|column| Ok(stream.index_of(&column.name)?)).collect()
}

/// Whether an expression is computed from the time at which the row was recorded.
pub(crate) fn is_by_arrival(expr: &Expr) -> bool {
    expr.column_refs().iter().any(|column| column.name == ARRIVAL)
}

impl Planning<'_> {
    /// A stream's columns as queries see them, without those of metadata.
    pub(crate) fn declared(&self, stream: &StreamDef) -> std::result::Result<Declared, SqlError> {
        let mut declared = Declared::stored(&stream.schema);
        if stream.computed.is_empty() {
            return Ok(declared);
        }
        let names = names_of(&stream.schema)?;
        let mut fields: Vec<FieldRef> = stream.schema.fields().to_vec();
        for column in &stream.computed {
            let expr = self.computed(stream, column)?;
            let place = column.place.min(fields.len());
            let kind = expr.get_type(&names).map_err(|error| in_place(error, column))?;
            let nullable = expr.nullable(&names).map_err(|error| in_place(error, column))?;
            fields.insert(place, Arc::new(Field::new(&column.name, kind, nullable)));
            declared.origins.insert(place, Origin::Computed(expr));
        }
        declared.schema = Arc::new(Schema::new(fields));
        Ok(declared)
    }

    /// Plans what a stream computes, so that its mistakes are told when it is made.
    pub(crate) fn check_computed(&self, stream: &StreamDef) -> std::result::Result<(), SqlError> {
        let declared = self.declared(stream)?;
        self.check_changes(stream, &declared)?;
        let time = stream.watermark.as_ref().map(|watermark| watermark.column.as_str());
        let column = time.and_then(|time| stream.computed.iter().find(|column| column.name == time));
        let Some(column) = column else { return Ok(()) };
        match declared.schema.field_with_name(&column.name).map(Field::data_type) {
            Ok(DataType::Timestamp(..)) => Ok(()),
            found => {
                let found = found.map(sql_type).unwrap_or_default();
                let message = format!("the watermark's column '{}' is {found}, not a timestamp", column.name);
                Err(SqlError::new(Mistake::Type, message)
                    .at(column.position, &column.script)
                    .hint("TO_TIMESTAMP_LTZ(ms, 3) takes milliseconds, TO_TIMESTAMP(text) a text; or CAST(... AS TIMESTAMP(3))"))
            }
        }
    }

    /// The rows of a table of changes are those that its keys have now, whenever that was recorded.
    fn check_changes(&self, stream: &StreamDef, declared: &Declared) -> std::result::Result<(), SqlError> {
        let by_arrival = |column: &&ComputedColumn| match declared.origins.get(column.place) {
            Some(Origin::Computed(expr)) => is_by_arrival(expr),
            _ => false,
        };
        match stream.computed.iter().find(by_arrival) {
            Some(column) if stream.is_changelog() || stream.is_updating_table() => {
                let message = format!(
                    "'{}' is computed from when a row was recorded, but rows of '{}' change",
                    column.name, stream.name
                );
                let error = SqlError::new(Mistake::NotReproducible, message);
                Err(error.at(column.position, &column.script).hint("let the sender give the time"))
            }
            _ => Ok(()),
        }
    }

    /// What tells the event time of a stream's rows, if that is computed: over all columns of the stream and, behind them, `_arrival`.
    pub(crate) fn computed_time(
        &self,
        stream: &StreamDef,
    ) -> std::result::Result<Option<Arc<dyn PhysicalExpr>>, SqlError> {
        let time = stream.watermark.as_ref().map(|watermark| watermark.column.as_str());
        let column = time.and_then(|time| stream.computed.iter().find(|column| column.name == time));
        let Some(column) = column else { return Ok(None) };
        let (expr, names) = (self.computed(stream, column)?, names_of(&stream.schema)?);
        physical_expr(self.state, expr, &names).map(Some).map_err(|error| in_place(error, column))
    }

    fn computed(&self, stream: &StreamDef, column: &ComputedColumn) -> std::result::Result<Expr, SqlError> {
        let names = names_of(&stream.own_schema())?;
        let plan = || -> Result<Expr> {
            let mut ast = (*column.expr).clone();
            tell_by_arrival(&mut ast);
            let expr = self.expression(ast, &names, &stream.functions)?;
            check_shape(&expr)?;
            check_expression(&expr)?;
            let options = Arc::clone(self.state.config_options());
            let context = SimplifyContext::builder().with_schema(Arc::new(names.clone()));
            let simplifier = ExprSimplifier::new(context.with_config_options(options).build());
            let expr = simplifier.coerce(expr, &names)?;
            let expr = match &column.kind {
                Some(kind) if expr.get_type(&names)? != *kind => cast(expr, kind.clone()),
                _ => expr,
            };
            // Some functions stand for expressions, and are not there when rows come.
            simplifier.simplify(expr)
        };
        plan().map_err(|error| in_place(error, column))
    }

    /// What gives the rows of a stream, or of the table that its changes lead to, with the columns that are computed from them, and of
    /// those of metadata the ones that are `shown`.
    pub(crate) fn with_computed(
        &self,
        stream: &StreamDef,
        rows: LogicalPlan,
        shown: &BTreeSet<&'static str>,
    ) -> Result<LogicalPlan> {
        let declared = self.declared(stream).map_err(refused)?;
        let found = rows.schema().columns();
        let of = |name: &str| found.iter().find(|column| column.name == name);
        let mut exprs = Vec::with_capacity(declared.origins.len());
        for (origin, field) in declared.origins.iter().zip(declared.schema.fields()) {
            match origin {
                // A table of changes does not show how often.
                Origin::Stored(_) => exprs.extend(of(field.name()).cloned().map(Expr::Column)),
                Origin::Computed(expr) if is_by_arrival(expr) && of(ARRIVAL).is_none() => {
                    let message = format!(
                        "'{}' is computed from when a row was recorded, but rows of '{}' are looked up",
                        field.name(),
                        stream.name
                    );
                    return Err(refused(SqlError::new(Mistake::NotReproducible, message)));
                }
                Origin::Computed(expr) => {
                    let expr = expr.clone().transform_up(|part| {
                        Ok(match &part {
                            Expr::Column(column) => match of(&column.name) {
                                Some(found) => Transformed::yes(Expr::Column(found.clone())),
                                None => Transformed::no(part),
                            },
                            _ => Transformed::no(part),
                        })
                    });
                    exprs.push(expr.data()?.alias(field.name()));
                }
            }
        }
        let metadata = found.iter().filter(|column| shown.contains(column.name.as_str()));
        exprs.extend(metadata.cloned().map(Expr::Column));
        let table = TableReference::from(stream.name.as_str());
        LogicalPlanBuilder::from(rows).project(exprs)?.alias(table)?.build()
    }
}

/// What a column can be computed from.
fn names_of(schema: &SchemaRef) -> std::result::Result<DFSchema, SqlError> {
    DFSchema::try_from(with_arrival(schema).as_ref().clone())
        .map_err(|error| SqlError::new(Mistake::Definition, error.to_string()))
}

fn in_place(error: datafusion::common::DataFusionError, column: &ComputedColumn) -> SqlError {
    translate_expression(error, &column.expr, column.position, &column.script)
}

/// Refuses what is not computed from the values of one row.
fn check_shape(expr: &Expr) -> Result<()> {
    expr.apply(|part| {
        let (what, hint) = match part {
            Expr::AggregateFunction(_) | Expr::WindowFunction(_) => (
                "a column is computed from its own row, not over many rows",
                "aggregate in a view: CREATE VIEW ... AS SELECT ...",
            ),
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => (
                "a column is computed from its own row, and reads no table",
                "join the table in a view: CREATE VIEW ... AS SELECT ...",
            ),
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        Err(refused(SqlError::new(Mistake::Definition, what).hint(hint)))
    })?;
    Ok(())
}
