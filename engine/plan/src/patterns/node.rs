//! MATCH_RECOGNIZE as a node of DataFusion's logical plans.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::PhysicalExpr;
use headwater_operators::patterns::{
    Condition, Definition, Fold, Look, Measure, Pattern, RowsPerMatch, Semantics, Side, Skip,
};
use headwater_operators::{MatchRecognize, MatchRecognizeSpec};

use super::grammar::wrong;
use super::looks::column_name;
use crate::error::{SqlError, refused};
use crate::script::{Position, Script};
use crate::window::is_arrival;

/// An expression over looks, `$0`, `$1`, ..
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub(super) struct Over {
    pub(super) expr: Expr,
    pub(super) looks: Vec<Look>,
}

/// What is searched for, in terms of variables and operands by number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub(super) struct Recognized {
    pub(super) variables: Vec<String>,
    pub(super) pattern: Pattern,
    /// By variable; none holds for every row.
    pub(super) definitions: Vec<Option<Over>>,
    pub(super) within: Option<i64>,
    pub(super) skip: Skip,
    pub(super) rows: RowsPerMatch,
    pub(super) measured: Vec<(Look, Semantics)>,
    pub(super) measures: Vec<(Expr, String)>,
    /// For each column of `order`: descending, nulls first.
    pub(super) order_options: Vec<(bool, bool)>,
}

/// The columns and expressions of the input that are used.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub(super) struct Used {
    pub(super) partition_by: Vec<Expr>,
    /// The column of time.
    pub(super) time: Expr,
    /// Columns that rows of the same time are ordered by.
    pub(super) order: Vec<Expr>,
    pub(super) operands: Vec<Expr>,
}

/// MATCH_RECOGNIZE.
#[derive(Debug, Clone)]
pub(crate) struct MatchNode {
    pub(crate) input: LogicalPlan,
    pub(super) what: Arc<Recognized>,
    pub(super) used: Used,
    /// Where it stands, for errors.
    place: (Position, Script),
    schema: DFSchemaRef,
}

impl MatchNode {
    pub(super) fn try_new(
        input: LogicalPlan,
        what: Arc<Recognized>,
        used: Used,
        place: (Position, Script),
    ) -> Result<Self> {
        let looks = looks_schema(what.measured.iter().map(|(look, _)| look), &used.operands, input.schema())?;
        let own = input.schema();
        let (leading, trailing) = columns(what.rows, &used, own)?;
        let field = |nth: usize| {
            let (qualifier, field) = own.qualified_field(nth);
            (qualifier.cloned(), Arc::clone(field))
        };
        let mut fields: Vec<_> = leading.into_iter().map(field).collect();
        for (expr, name) in &what.measures {
            fields.push((None, Arc::new(Field::new(name, expr.get_type(&looks)?, true))));
        }
        fields.extend(trailing.into_iter().map(field));
        let schema = Arc::new(DFSchema::new_with_metadata(fields, own.metadata().clone())?);
        Ok(Self { input, what, used, place, schema })
    }

    /// An error with the place of the clause.
    pub(crate) fn error(&self, error: SqlError) -> datafusion::common::DataFusionError {
        refused(error.at(self.place.0, &self.place.1))
    }

    /// The partition's columns.
    pub(crate) fn partition_by(&self) -> &[Expr] {
        &self.used.partition_by
    }

    /// Index of the time column in the input.
    pub(crate) fn time_index(&self) -> Result<usize> {
        index_of(&self.used.time, self.input.schema())
    }

    /// Whether the time is the moment at which rows arrived.
    pub(crate) fn is_in_processing_time(&self) -> bool {
        self.time_index().is_ok_and(|time| is_arrival(&self.input, time))
    }

    pub(crate) fn within(&self) -> Option<i64> {
        self.what.within
    }

    /// All expressions over looks.
    pub(crate) fn hidden_exprs(&self) -> impl Iterator<Item = &Expr> {
        let definitions = self.what.definitions.iter().flatten().map(|definition| &definition.expr);
        definitions.chain(self.what.measures.iter().map(|(measure, _)| measure))
    }

    /// Whether a row must wait for one that follows it.
    pub(crate) fn looks_ahead(&self) -> bool {
        let looks = self.what.definitions.iter().flatten().flat_map(|definition| &definition.looks);
        looks.into_iter().any(|look| matches!(look, Look::Row { step, .. } if *step > 0))
    }

    /// The columns that come out and carry the time of the match's last row, or of the row itself.
    pub(crate) fn time_columns(&self) -> Result<Vec<usize>> {
        let (leading, _) = columns(self.what.rows, &self.used, self.input.schema())?;
        let time = self.time_index()?;
        let is_time = |look: &Look| match look {
            Look::Row { operand, of: None, side: Side::Last, offset: 0, step: 0 } => {
                self.used.operands.get(*operand) == Some(&self.used.time)
            }
            _ => false,
        };
        let of_last = |expr: &Expr| match expr {
            Expr::Column(column) => (0..)
                .zip(&self.what.measured)
                .any(|(nth, (look, _))| column_name(nth) == column.name && is_time(look)),
            _ => false,
        };
        let own =
            (0..).zip(&leading).filter(|(_, column)| **column == time && self.what.rows == RowsPerMatch::All);
        let measures = (leading.len()..).zip(&self.what.measures).filter(|(_, (expr, _))| of_last(expr));
        Ok(own.map(|(nth, _)| nth).chain(measures.map(|(nth, _)| nth)).collect())
    }

    /// What a column that comes out is the sum, mean, least or greatest value of: an expression over the input.
    pub(crate) fn folded(&self, column: usize) -> Option<&Expr> {
        let (leading, _) = columns(self.what.rows, &self.used, self.input.schema()).ok()?;
        let (Expr::Column(measured), _) = self.what.measures.get(column.checked_sub(leading.len())?)? else {
            return None;
        };
        let (_, (look, _)) =
            (0..).zip(&self.what.measured).find(|(nth, _)| column_name(*nth) == measured.name)?;
        match look {
            Look::Fold {
                fold: Fold::Sum | Fold::Avg | Fold::Min | Fold::Max,
                operand: Some(operand),
                ..
            } => self.used.operands.get(*operand),
            _ => None,
        }
    }

    /// The operator, over an input of these columns, the first of which are those of the node's own input. `physical`
    /// makes expressions.
    pub(crate) fn operator(
        &self,
        input: &SchemaRef,
        physical: &dyn Fn(&Expr, &DFSchema) -> Result<Arc<dyn PhysicalExpr>>,
    ) -> Result<MatchRecognizeSpec> {
        let (own, what, used) = (self.input.schema(), &self.what, &self.used);
        let places =
            |exprs: &[Expr]| exprs.iter().map(|expr| index_of(expr, own)).collect::<Result<Vec<_>>>();
        let (leading, trailing) = columns(what.rows, used, own)?;
        let operands =
            used.operands.iter().map(|operand| physical(operand, own)).collect::<Result<Vec<_>>>()?;
        let definitions = (0..)
            .zip(&what.definitions)
            .map(|(variable, over)| match over {
                Some(over) => self.definition(variable, over, physical),
                None => Ok(Definition::default()),
            })
            .collect::<Result<Vec<_>>>()?;
        let looks = looks_schema(what.measured.iter().map(|(look, _)| look), &used.operands, own)?;
        let measures = what
            .measures
            .iter()
            .map(|(expr, name)| Ok(Measure { expr: physical(expr, &looks)?, name: name.clone() }));
        let options = what.order_options.iter();
        let options = options.map(|(descending, nulls_first)| SortOptions {
            descending: *descending,
            nulls_first: *nulls_first,
        });
        let spec = MatchRecognizeSpec::try_new(MatchRecognize {
            input: Arc::clone(input),
            keys: places(&used.partition_by)?,
            time: self.time_index()?,
            order: places(&used.order)?.into_iter().zip(options).collect(),
            operands,
            variables: what.variables.clone(),
            pattern: what.pattern.clone(),
            definitions,
            within: what.within,
            skip: what.skip,
            rows: what.rows,
            measured: what.measured.clone(),
            measures: measures.collect::<Result<_>>()?,
            leading,
            trailing,
        });
        spec.map_err(|error| {
            let message = error.to_string();
            self.error(wrong(message.strip_prefix("MatchRecognize: ").unwrap_or(&message)))
        })
    }

    /// A definition, taken apart into what it says of the row and what it says of the rows matched so far.
    fn definition(
        &self,
        variable: u16,
        over: &Over,
        physical: &dyn Fn(&Expr, &DFSchema) -> Result<Arc<dyn PhysicalExpr>>,
    ) -> Result<Definition> {
        let is_local = |part: &&Expr| {
            part.column_refs().iter().all(|column| {
                let look = over.looks.iter().enumerate().find(|(nth, _)| column_name(*nth) == column.name);
                look.is_some_and(|(_, look)| look.is_local(variable))
            })
        };
        let (row, run): (Vec<&Expr>, Vec<&Expr>) =
            split_conjunction(&over.expr).into_iter().partition(is_local);
        let condition = |parts: Vec<&Expr>| -> Result<Option<Condition>> {
            let Some(expr) = conjunction(parts.into_iter().cloned()) else { return Ok(None) };
            let (expr, looks) = renumbered(expr, &over.looks)?;
            let schema = looks_schema(looks.iter(), &self.used.operands, self.input.schema())?;
            let kind = expr.get_type(&schema)?;
            if !matches!(kind, DataType::Boolean | DataType::Null) {
                let name = &self.what.variables[usize::from(variable)];
                let kind = headwater_functions::sql_type(&kind);
                return Err(self.error(wrong(format!("the definition of {name} is {kind}, not BOOLEAN"))));
            }
            Ok(Some(Condition { expr: physical(&expr, &schema)?, looks }))
        };
        Ok(Definition { row: condition(row)?, run: condition(run)? })
    }
}

/// An expression over those looks alone that it uses.
fn renumbered(expr: Expr, looks: &[Look]) -> Result<(Expr, Vec<Look>)> {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let mut used: Vec<usize> = Vec::new();
    let expr = expr.transform_up(|part| {
        let Expr::Column(column) = &part else { return Ok(Transformed::no(part)) };
        let Some(nth) = (0..looks.len()).find(|nth| column_name(*nth) == column.name) else {
            return internal_err!("{column} is no look");
        };
        let new = used.iter().position(|known| *known == nth).unwrap_or_else(|| {
            used.push(nth);
            used.len() - 1
        });
        Ok(Transformed::yes(datafusion::logical_expr::ident(column_name(new))))
    })?;
    Ok((expr.data, used.into_iter().map(|nth| looks[nth].clone()).collect()))
}

/// The columns `$0`, `$1`, .. of looks.
pub(super) fn looks_schema<'a>(
    looks: impl Iterator<Item = &'a Look>,
    operands: &[Expr],
    input: &DFSchema,
) -> Result<DFSchema> {
    let kind = |operand: usize| operands[operand].get_type(input);
    let mut fields = Vec::new();
    for (nth, look) in looks.enumerate() {
        let kind = match look {
            Look::Row { operand, .. } => kind(*operand)?,
            Look::Fold { fold, operand, .. } => {
                let over = operand.map(kind).transpose()?;
                match fold.return_type(over.as_ref()) {
                    Some(kind) => kind,
                    None => return internal_err!("{fold:?} over {over:?}"),
                }
            }
            Look::Classifier => DataType::Utf8,
            Look::Number => DataType::Int64,
        };
        fields.push(Field::new(column_name(nth), kind, true));
    }
    DFSchema::try_from(Schema::new(fields))
}

/// The input's columns that come out before the measures, and after them.
fn columns(rows: RowsPerMatch, used: &Used, input: &DFSchema) -> Result<(Vec<usize>, Vec<usize>)> {
    let mut leading: Vec<usize> = Vec::new();
    let mut exprs: Vec<&Expr> = used.partition_by.iter().collect();
    if rows == RowsPerMatch::All {
        exprs.push(&used.time);
        exprs.extend(&used.order);
    }
    for expr in exprs {
        let column = index_of(expr, input)?;
        if !leading.contains(&column) {
            leading.push(column);
        }
    }
    let trailing = match rows {
        RowsPerMatch::One => Vec::new(),
        RowsPerMatch::All => (0..input.fields().len()).filter(|column| !leading.contains(column)).collect(),
    };
    Ok((leading, trailing))
}

fn index_of(expr: &Expr, schema: &DFSchema) -> Result<usize> {
    match expr {
        Expr::Column(column) => schema.index_of_column(column),
        other => internal_err!("a pattern's rows are told apart by columns, not by {other}"),
    }
}

impl PartialEq for MatchNode {
    fn eq(&self, other: &Self) -> bool {
        self.what == other.what && self.used == other.used && self.input == other.input
    }
}

impl Eq for MatchNode {}

impl Hash for MatchNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.what.hash(state);
        self.used.hash(state);
        self.input.hash(state);
    }
}

impl PartialOrd for MatchNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (&self.what, &self.used).partial_cmp(&(&other.what, &other.used)) {
            Some(Ordering::Equal) => self.input.partial_cmp(&other.input),
            order => order,
        }
    }
}

impl UserDefinedLogicalNodeCore for MatchNode {
    fn name(&self) -> &str {
        "MatchRecognize"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let Used { partition_by, time, order, operands } = &self.used;
        partition_by.iter().chain([time]).chain(order).chain(operands).cloned().collect()
    }

    /// Only a condition on the partition may go below: what matches depends on all rows of it.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let keys: HashSet<String> = self.used.partition_by.iter().map(|key| key.qualified_name().1).collect();
        let all = self.schema.fields().iter().map(|field| field.name().clone());
        all.filter(|name| !keys.contains(name)).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MatchRecognize: pattern=({})", self.what.pattern.display(&self.what.variables))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (keys, order) = (self.used.partition_by.len(), self.used.order.len());
        let (Some(input), true) = (inputs.pop(), exprs.len() == keys + 1 + order + self.used.operands.len())
        else {
            return internal_err!("a pattern has one input, and the expressions that it had");
        };
        let mut exprs = exprs.into_iter();
        let partition_by = exprs.by_ref().take(keys).collect();
        let Some(time) = exprs.next() else { return internal_err!("a pattern has a time") };
        let used = Used {
            partition_by,
            time,
            order: exprs.by_ref().take(order).collect(),
            operands: exprs.collect(),
        };
        Self::try_new(input, Arc::clone(&self.what), used, self.place.clone())
    }

    fn necessary_children_exprs(&self, _output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let input = self.input.schema();
        if self.what.rows == RowsPerMatch::All {
            return Some(vec![(0..input.fields().len()).collect()]);
        }
        let exprs = UserDefinedLogicalNodeCore::expressions(self);
        let columns = exprs.iter().flat_map(Expr::column_refs);
        let mut needed =
            columns.map(|column| input.index_of_column(column)).collect::<Result<Vec<_>>>().ok()?;
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}
