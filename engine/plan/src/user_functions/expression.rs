//! A function whose body is an expression: where it is called, its expression takes its place.
//!
//! An argument that is more than a column or a literal, and that the body names more than once, is computed once instead: then the
//! function is called, over columns.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    cast, lit, when,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast;
use headwater_functions::sql_type;

use super::call::signature;
use super::definition::{Body, FunctionDef};
use super::procedure::asked_in;
use crate::error::{Mistake, SqlError, refused};
use crate::physical::physical_expr;
use crate::planning::Planning;
use crate::stream::assignable;
use crate::translate::translate_expression;
/// A function as queries call it.
pub(super) fn scalar(planning: Planning<'_>, def: &Arc<FunctionDef>) -> Arc<ScalarUDF> {
    let planned = Planned::of(planning, def).map_err(|error| error.to_string());
    let volatility = planned.as_ref().map_or(Volatility::Immutable, Planned::volatility);
    let signature = signature(def, volatility);
    Arc::new(ScalarUDF::new_from_impl(SqlFunction { def: Arc::clone(def), signature, planned }))
}

/// Whether a function can be planned; if not, why, and where in its definition.
pub(super) fn check(planning: Planning<'_>, def: &FunctionDef) -> std::result::Result<(), SqlError> {
    Planned::of(planning, def).map(drop)
}

/// A body over the columns that the parameters are.
#[derive(Debug)]
struct Planned {
    schema: SchemaRef,
    logical: Expr,
    physical: Arc<dyn PhysicalExpr>,
}

impl Planned {
    fn of(planning: Planning<'_>, def: &FunctionDef) -> std::result::Result<Self, SqlError> {
        let Body::Sql { ast, position, script, .. } = &def.body else {
            return Err(SqlError::new(Mistake::Definition, format!("'{}' is no expression", def.name)));
        };
        Self::plan(planning, def, ast).map_err(|error| translate_expression(error, ast, *position, script))
    }

    fn plan(planning: Planning<'_>, def: &FunctionDef, ast: &ast::Expr) -> Result<Self> {
        let fields = def.parameters.iter().map(|one| Field::new(&one.name, one.kind.clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let names = DFSchema::try_from(schema.as_ref().clone())?;
        let expr = planning.expression(ast.clone(), &names, &def.uses)?;
        check_shape(&expr)?;
        let context = SimplifyContext::builder()
            .with_config_options(Arc::clone(planning.state.config_options()))
            .build();
        let expr = ExprSimplifier::new(context).coerce(expr, &names)?;
        let logical = strict(def, returned(def, expr, &names)?)?;
        let physical = physical_expr(planning.state, logical.clone(), &names)?;
        Ok(Self { schema, logical, physical })
    }

    fn volatility(&self) -> Volatility {
        let mut worst = Volatility::Immutable;
        let _ = self.logical.apply(|part| {
            if let Expr::ScalarFunction(call) = part {
                worst = match (worst, call.func.signature().volatility) {
                    (Volatility::Volatile, _) | (_, Volatility::Volatile) => Volatility::Volatile,
                    (Volatility::Stable, _) | (_, Volatility::Stable) => Volatility::Stable,
                    _ => Volatility::Immutable,
                };
            }
            Ok(TreeNodeRecursion::Continue)
        });
        worst
    }
}

/// Refuses what is not computed from one row's values.
fn check_shape(expr: &Expr) -> Result<()> {
    if let Some(name) = asked_in(expr) {
        let message = format!("'{name}' asks outside, and an expression is computed at once");
        let hint = format!("call {name}() in the query, and give the function what it answers");
        return Err(refused(SqlError::new(Mistake::Definition, message).hint(hint)));
    }
    expr.apply(|part| {
        let (what, hint) = match part {
            Expr::AggregateFunction(_) | Expr::WindowFunction(_) => (
                "a function is computed from its arguments, not over many rows",
                "aggregate in the query, and call the function on what comes out",
            ),
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => (
                "a function reads no table",
                "join the table in the query, and give the function its columns",
            ),
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        Err(refused(SqlError::new(Mistake::Definition, what).hint(hint)))
    })?;
    Ok(())
}

/// The body as the type that the function returns.
fn returned(def: &FunctionDef, body: Expr, names: &DFSchema) -> Result<Expr> {
    let kind = body.get_type(names)?;
    if kind == def.returns {
        return Ok(body);
    }
    let fits = assignable(&kind, &def.returns) || kind.is_numeric() && def.returns.is_numeric();
    if !fits {
        let (found, wanted) = (sql_type(&kind), sql_type(&def.returns));
        let message = format!("the function '{}' returns {wanted}, but its body is {found}", def.name);
        return Err(refused(SqlError::new(Mistake::Type, message).hint(format!("CAST(... AS {wanted})"))));
    }
    Ok(cast(body, def.returns.clone()))
}

fn strict(def: &FunctionDef, body: Expr) -> Result<Expr> {
    let nulls = def.parameters.iter().map(|one| column(&one.name).is_null());
    match nulls.reduce(Expr::or).filter(|_| def.strict) {
        Some(any) => {
            when(any, cast(lit(datafusion::common::ScalarValue::Null), def.returns.clone())).otherwise(body)
        }
        None => Ok(body),
    }
}

fn column(name: &str) -> Expr {
    Expr::Column(datafusion::common::Column::from_name(name))
}

#[derive(Debug)]
struct SqlFunction {
    def: Arc<FunctionDef>,
    signature: Signature,
    /// What the body is; why it cannot be planned, if a function that it calls is there no longer.
    planned: std::result::Result<Planned, String>,
}

impl SqlFunction {
    fn planned(&self) -> Result<&Planned> {
        match &self.planned {
            Ok(planned) => Ok(planned),
            Err(why) => plan_err!("the function '{}' does not work: {why}", self.def.name),
        }
    }
}

/// Two definitions of one name are two functions.
impl PartialEq for SqlFunction {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.def, &other.def)
    }
}

impl Eq for SqlFunction {}

impl Hash for SqlFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.def).hash(state);
    }
}

impl ScalarUDFImpl for SqlFunction {
    fn name(&self) -> &str {
        &self.def.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        self.planned()?;
        Ok(self.def.returns.clone())
    }

    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let planned = self.planned()?;
        let place = |name: &str| self.def.parameters.iter().position(|one| one.name == name);
        let mut times = vec![0; args.len()];
        planned.logical.apply(|part| {
            if let Expr::Column(column) = part
                && let Some(count) = place(&column.name).and_then(|nth| times.get_mut(nth))
            {
                *count += 1;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let is_cheap = |arg: &Expr| matches!(arg, Expr::Column(_) | Expr::Literal(..));
        if !args.iter().zip(&times).all(|(arg, times)| *times < 2 || is_cheap(arg)) {
            return Ok(ExprSimplifyResult::Original(args));
        }
        let inlined = planned.logical.clone().transform_down(|part| {
            Ok(match &part {
                Expr::Column(column) => match place(&column.name).and_then(|nth| args.get(nth)) {
                    // What is put in is not looked into: its columns are others of perhaps the same names.
                    Some(arg) => Transformed::new(arg.clone(), true, TreeNodeRecursion::Jump),
                    None => Transformed::no(part),
                },
                _ => Transformed::no(part),
            })
        })?;
        Ok(ExprSimplifyResult::Simplified(inlined.data))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let planned = self.planned()?;
        let columns =
            args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(args.number_rows));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&planned.schema), columns, &options)?;
        planned
            .physical
            .evaluate(&rows)
            .map_err(|error| error.context(format!("in the function {}", self.def.name)))
    }
}
