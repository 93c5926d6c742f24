//! The logical node: its input's columns, then `window_start`, `window_end`, `window_time`.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::{DFSchema, DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use headwater_operators::WindowKind;

use crate::proctime::ARRIVAL;

/// The columns that a window function appends.
pub(crate) const WINDOW_COLUMNS: [&str; 3] = ["window_start", "window_end", "window_time"];

/// The same of a window in GROUP BY over another one's, whose columns its input has.
pub(crate) const COLUMNS_OVER_WINDOWS: [&str; 3] = ["window_start0", "window_end0", "window_time0"];

/// The column that follows them where several windows may have the same bounds.
pub(crate) const WINDOW_NUMBER: &str = "window_number";

/// Where the windows lie: lengths in nanoseconds, numbers of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) enum Windowing {
    Tumble {
        size: i64,
        offset: i64,
    },
    Hop {
        size: i64,
        slide: i64,
        offset: i64,
    },
    Cumulate {
        size: i64,
        step: i64,
        offset: i64,
    },
    Session {
        gap: i64,
    },
    /// So many rows, after every so many rows.
    Count {
        size: u32,
        hop: u32,
    },
    /// From a row for which the first of the node's conditions holds to one for which the second does, or if there is none, to the row
    /// before the next one for which the first does.
    State,
}

/// What decides where a window's bounds lie.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bounds {
    /// Nothing but time.
    Fixed(WindowKind),
    /// The rows: a window ends where none follows within the gap.
    OfRows { gap: i64 },
    /// The order of the rows, and how many they are or what is in them.
    OfOrder,
}

impl Windowing {
    /// In the operators' terms.
    pub(crate) fn bounds(self) -> Bounds {
        match self {
            Self::Tumble { size, offset } => Bounds::Fixed(WindowKind::Tumble { size, offset }),
            Self::Hop { size, slide, offset } => Bounds::Fixed(WindowKind::Hop { size, slide, offset }),
            Self::Cumulate { size, step, offset } => {
                Bounds::Fixed(WindowKind::Cumulate { size, step, offset })
            }
            Self::Session { gap } => Bounds::OfRows { gap },
            Self::Count { .. } | Self::State => Bounds::OfOrder,
        }
    }

    /// Whether a window depends on which rows there are.
    pub(crate) fn depends_on_rows(self) -> bool {
        !matches!(self.bounds(), Bounds::Fixed(_))
    }

    /// The name of the table function.
    pub(crate) fn name(self) -> &'static str {
        match (self, self.bounds()) {
            (_, Bounds::Fixed(kind)) => kind.name(),
            (_, Bounds::OfRows { .. }) => "SESSION",
            (Self::Count { .. }, _) => "COUNT_WINDOW",
            _ => "STATE_WINDOW",
        }
    }
}

impl fmt::Display for Windowing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.bounds()) {
            (_, Bounds::Fixed(kind)) => kind.fmt(f),
            (_, Bounds::OfRows { gap }) => write!(f, "gap={:?}", Duration::from_nanos(gap.unsigned_abs())),
            (Self::Count { size, hop }, _) => write!(f, "size={size} rows, hop={hop} rows"),
            _ => f.write_str("by state"),
        }
    }
}

/// A window table function.
#[derive(Debug, Clone)]
pub(crate) struct WindowTvf {
    pub(crate) input: LogicalPlan,
    pub(crate) windowing: Windowing,
    /// A column of the input.
    pub(crate) time: Expr,
    /// Columns of the input that have windows of their own.
    pub(crate) partition_by: Vec<Expr>,
    /// What begins a window, and what ends it.
    pub(crate) conditions: Vec<Expr>,
    /// What its own columns are called.
    bounds: [&'static str; 3],
    schema: DFSchemaRef,
}

impl WindowTvf {
    /// `columns`: its time, those that have windows of their own, and its conditions; `bounds`: what its own are called.
    pub(crate) fn try_new(
        input: LogicalPlan,
        windowing: Windowing,
        (time, partition_by, conditions): (Expr, Vec<Expr>, Vec<Expr>),
        bounds: [&'static str; 3],
    ) -> Result<Self> {
        let schema = schema_of(input.schema(), &time, windowing, bounds)?;
        Ok(Self { input, windowing, time, partition_by, conditions, bounds, schema })
    }

    /// Index of the time column in the input.
    pub(crate) fn time_index(&self) -> Result<usize> {
        index_of(&self.time, self.input.schema())
    }

    /// Whether the time is the moment at which rows arrived.
    pub(crate) fn is_in_processing_time(&self) -> bool {
        self.time_index().is_ok_and(|time| is_arrival(&self.input, time))
    }

    /// Indices of the partition's columns in the input.
    pub(crate) fn partition_indices(&self) -> Result<Vec<usize>> {
        self.partition_by.iter().map(|key| index_of(key, self.input.schema())).collect()
    }
}

/// Whether a column of a plan is that of a stream's arrivals, unchanged.
pub(crate) fn is_arrival(plan: &LogicalPlan, column: usize) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => scan.projected_schema.field(column).name() == ARRIVAL,
        LogicalPlan::Filter(filter) => is_arrival(&filter.input, column),
        LogicalPlan::SubqueryAlias(alias) => is_arrival(&alias.input, column),
        LogicalPlan::Union(union) => union.inputs.iter().all(|input| is_arrival(input, column)),
        LogicalPlan::Projection(projection) => match projection.expr[column].clone().unalias() {
            Expr::Column(below) => {
                let index = projection.input.schema().index_of_column(&below);
                index.is_ok_and(|index| is_arrival(&projection.input, index))
            }
            _ => false,
        },
        _ => false,
    }
}

fn index_of(expr: &Expr, schema: &DFSchema) -> Result<usize> {
    match expr {
        Expr::Column(column) => schema.index_of_column(column),
        other => internal_err!("a window is over columns, not over {other}"),
    }
}

/// The type of window columns: the time column's, but never coarser than milliseconds, which `window_time` needs.
pub(crate) fn window_type(time: &DataType) -> Option<DataType> {
    match time {
        DataType::Timestamp(TimeUnit::Second, zone) => {
            Some(DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))
        }
        DataType::Timestamp(..) => Some(time.clone()),
        _ => None,
    }
}

fn schema_of(
    input: &DFSchema,
    time: &Expr,
    windowing: Windowing,
    bounds: [&'static str; 3],
) -> Result<DFSchemaRef> {
    let time = input.field(index_of(time, input)?).data_type();
    let Some(kind) = window_type(time) else {
        return internal_err!("a window is over a timestamp, not over {time}");
    };
    let mut fields: Vec<_> =
        input.iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
    for name in bounds {
        fields.push((None, Arc::new(Field::new(name, kind.clone(), false))));
    }
    if let Bounds::OfOrder = windowing.bounds() {
        fields.push((None, Arc::new(Field::new(WINDOW_NUMBER, DataType::Int64, false))));
    }
    Ok(Arc::new(DFSchema::new_with_metadata(fields, input.metadata().clone())?))
}

impl PartialEq for WindowTvf {
    fn eq(&self, other: &Self) -> bool {
        self.windowing == other.windowing
            && self.time == other.time
            && self.partition_by == other.partition_by
            && self.conditions == other.conditions
            && self.bounds == other.bounds
            && self.input == other.input
    }
}

impl Eq for WindowTvf {}

impl Hash for WindowTvf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.windowing.hash(state);
        self.time.hash(state);
        self.partition_by.hash(state);
        self.conditions.hash(state);
        self.input.hash(state);
    }
}

impl PartialOrd for WindowTvf {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.windowing.partial_cmp(&other.windowing) {
            Some(Ordering::Equal) => self.input.partial_cmp(&other.input),
            order => order,
        }
    }
}

impl UserDefinedLogicalNodeCore for WindowTvf {
    fn name(&self) -> &str {
        "WindowTvf"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        std::iter::once(&self.time).chain(&self.partition_by).chain(&self.conditions).cloned().collect()
    }

    /// A condition on the window itself stays above. Where a window depends on which rows there are, only a condition on its partition
    /// may go below.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let own = self.bounds.into_iter().chain([WINDOW_NUMBER]).map(str::to_owned);
        if !self.windowing.depends_on_rows() {
            return own.collect();
        }
        let keys: HashSet<String> = self.partition_by.iter().map(|key| key.qualified_name().1).collect();
        let others = self.input.schema().fields().iter().map(|field| field.name().clone());
        own.chain(others.filter(|name| !keys.contains(name))).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, time={}", self.windowing.name(), self.windowing, self.time)?;
        if !self.partition_by.is_empty() {
            let keys: Vec<_> = self.partition_by.iter().map(ToString::to_string).collect();
            write!(f, ", partition by {}", keys.join(", "))?;
        }
        for (condition, what) in self.conditions.iter().zip(["begin", "emit"]) {
            write!(f, ", {what}={condition}")?;
        }
        Ok(())
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Some(input), false) = (inputs.pop(), exprs.is_empty()) else {
            return internal_err!("a window has one input and a time");
        };
        let conditions = exprs.split_off(exprs.len().saturating_sub(self.conditions.len()));
        let time = exprs.remove(0);
        Self::try_new(input, self.windowing, (time, exprs, conditions), self.bounds)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let own = self.input.schema().fields().len();
        if let Bounds::OfOrder = self.windowing.bounds() {
            // Rows of one time are in the order of all their columns, whichever of them are used.
            return Some(vec![(0..own).collect()]);
        }
        let mut needed: Vec<usize> = output_columns.iter().copied().filter(|column| *column < own).collect();
        needed.push(self.time_index().ok()?);
        needed.extend(self.partition_indices().ok()?);
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}
