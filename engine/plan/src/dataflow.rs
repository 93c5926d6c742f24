//! What the planner hands to the runner: sources, and stages of operators between exchanges.
//!
//! ```text
//!  source ─ forward ─> [filter, project, partial aggregate] ─ hash(key) ─> [final aggregate] ─ forward ─> [project] ─> result
//! ```
//!
//! - A stage whose exchange is [`Exchange::Forward`] holds operators without state only. The runner cuts its input
//!   into morsels at places that depend on the input alone, runs them on any worker, and puts the results back in order.
//! - A stage whose exchange is [`Exchange::Hash`] or [`Exchange::Gather`] holds exactly one operator with state and nothing
//!   after it. What its instances emit is merged by [`headwater_operators::Emission`].
//! - Stages are in topological order; the last one is the result.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::scalar::ScalarValue;
use headwater_core::StreamName;
use headwater_operators::{Changes, OperatorSpec, Reach};

use crate::startup::Startup;

/// A streaming plan.
#[derive(Debug, Clone)]
pub struct Dataflow {
    /// What is read.
    pub sources: Vec<Source>,
    /// What is done, in topological order; never empty.
    pub stages: Vec<Stage>,
    /// What comes out.
    pub result: ResultSpec,
    /// The stream that takes the rows which come too late, instead of `system.late_rows`: it has their own columns.
    pub late: Option<StreamName>,
    /// What the writer of the query should know of it, such as that columns go where others of their names are.
    pub notes: Vec<String>,
}

/// A stream that a job reads.
#[derive(Debug, Clone)]
pub struct Source {
    /// The stream.
    pub stream: StreamName,
    /// The columns that are read, as indices into the stream's schema, in this order. The metadata columns asked for
    /// follow them, in the order `_shard` (Int32), `_sequence` (Int64), `_arrival` (Timestamp(ns, UTC)), the watermark (as `_arrival`).
    pub projection: Vec<usize>,
    /// Which metadata columns follow.
    pub metadata: Metadata,
    /// Columns that are computed from those as rows are read, because event time is told by them. They follow `metadata`.
    pub computed: Vec<Arc<dyn PhysicalExpr>>,
    /// The columns that come out: `projection`, then `metadata`, then `computed`.
    pub schema: SchemaRef,
    /// Bounds on columns (indices into the stream's schema) by which batches can be left out. Always implied by a filter in the plan.
    /// Must not be used where leaving rows out would hold the watermark back; the planner sees to that.
    pub bounds: Vec<Bound>,
    /// How event time is told, if the stream has a watermark.
    pub watermark: Option<Watermark>,
    /// The first row that is read, by a job that begins.
    pub startup: Startup,
    /// Whether it is read to its end before any row of those that do not come first.
    pub comes_first: bool,
}

/// Metadata columns of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metadata {
    /// `_shard`.
    pub shard: bool,
    /// `_sequence`.
    pub sequence: bool,
    /// `_arrival`.
    pub arrival: bool,
    /// The watermark of its shard just before the row, for `CURRENT_WATERMARK`; NULL: there was none yet. No query names it.
    pub watermark: bool,
}

/// A bound on a column: the values that the query can use lie between `min` and `max`, inclusive.
#[derive(Debug, Clone)]
pub struct Bound {
    /// Index into the stream's schema.
    pub column: usize,
    /// The least value of use.
    pub min: Option<ScalarValue>,
    /// The greatest value of use.
    pub max: Option<ScalarValue>,
}

/// How event time is told.
#[derive(Debug, Clone)]
pub struct Watermark {
    /// Index of the event-time column in the source's schema. It is always read.
    pub column: usize,
    /// Gives, for each row of the source's schema, the watermark after it as a timestamp of any unit; the shard's watermark is the
    /// greatest so far. Null: the row does not move it.
    pub candidate: Arc<dyn PhysicalExpr>,
    /// The declaration, for EXPLAIN, such as `ts - INTERVAL '5' SECOND`.
    pub text: String,
    /// Whether each key has a timeline of its own (`PER`). Then windowed operators tell lateness by the key's rows themselves, and the
    /// runner leaves the shard's clock at the beginning of time until the input ends or falls idle.
    pub per_key: bool,
    /// Whether time is that of processing. Then `column` is `_arrival`, in which the runner puts the moment that time had come to where the
    /// row arrived before that: no row is late. Time goes on by itself.
    pub processing: bool,
}

/// Operators that run without an exchange between them.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Where rows come from; several for a union (all `Forward`, taken in this order) or a join.
    pub inputs: Vec<StageInput>,
    /// The operators, in order.
    pub operators: Vec<Arc<dyn OperatorSpec>>,
    /// The columns that come out.
    pub schema: SchemaRef,
    /// How far behind the watermark event time may lie here, in nanoseconds: a join by an interval hands on rows that waited for
    /// their match. For the operators of the stage the watermark, and every row's clock, is earlier by this.
    pub delay: i64,
}

/// One input of a stage.
#[derive(Debug, Clone)]
pub struct StageInput {
    /// Where the rows come from.
    pub from: Upstream,
    /// How they are spread over the instances.
    pub exchange: Exchange,
}

/// Where a stage's rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// An index into [`Dataflow::sources`].
    Source(usize),
    /// An index into [`Dataflow::stages`], smaller than the stage's own.
    Stage(usize),
}

/// How rows are spread over the instances of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// In morsels, to whoever is free; the order is kept.
    Forward,
    /// By the slot of these input columns' hash.
    Hash(Vec<usize>),
    /// All to one instance.
    Gather,
}

/// What comes out of a plan.
#[derive(Debug, Clone)]
pub struct ResultSpec {
    /// The columns.
    pub schema: SchemaRef,
    /// What kind of changes.
    pub changes: Changes,
    /// The column that carries event time, if one does: `window_time`, or the source's own.
    pub event_time: Option<usize>,
}

impl Dataflow {
    /// How far in event time its results reach, all operators one behind the other.
    pub fn reach(&self) -> Reach {
        // Any row before may have brought the watermark to where it is.
        let tells_watermark = self.sources.iter().any(|source| source.metadata.watermark);
        let first = if tells_watermark { Reach::History } else { Reach::Row };
        let operators = self.stages.iter().flat_map(|stage| &stage.operators);
        operators.fold(first, |reach, operator| reach.then(operator.reach()))
    }

    /// The plan as EXPLAIN shows it, result first, each operator with its output kind, state and watermark.
    pub fn explain(&self) -> String {
        self.explain_from(self.stages.len() - 1)
    }

    /// The same for a stage and what comes to it.
    pub(crate) fn explain_from(&self, nth: usize) -> String {
        let mut text = String::new();
        self.explain_stage(nth, 0, &mut text);
        if let Some(late) = self.late.as_ref().filter(|_| nth + 1 == self.stages.len()) {
            let _ = writeln!(text, "LateRows: into {late}");
        }
        text
    }

    fn explain_stage(&self, nth: usize, depth: usize, text: &mut String) {
        let stage = &self.stages[nth];
        let changes = self.describe_changes(nth);
        for (above, (operator, changes)) in stage.operators.iter().zip(&changes).rev().enumerate() {
            let indent = "  ".repeat(depth + above);
            let _ = writeln!(
                text,
                "{indent}{}: {} [{changes}; {}]",
                operator.name(),
                operator.describe(),
                describe_state(&operator.state_bound()),
            );
        }
        let depth = depth + stage.operators.len();
        let indent = "  ".repeat(depth);
        let before = |input: &StageInput| match input.from {
            Upstream::Stage(stage) => self.stages[stage].delay,
            Upstream::Source(_) => 0,
        };
        if stage.inputs.iter().all(|input| before(input) < stage.delay) {
            let delay = std::time::Duration::from_nanos(stage.delay.unsigned_abs());
            let _ = writeln!(text, "{indent}Watermark: less {delay:?}");
        }
        for input in &stage.inputs {
            let inner = match &input.exchange {
                Exchange::Forward => depth,
                Exchange::Hash(columns) => {
                    let schema = self.schema_of(input.from);
                    let names: Vec<_> =
                        columns.iter().map(|column| schema.field(*column).name().as_str()).collect();
                    let _ = writeln!(text, "{indent}Exchange: hash({})", names.join(", "));
                    depth + 1
                }
                Exchange::Gather => {
                    let _ = writeln!(text, "{indent}Exchange: gather");
                    depth + 1
                }
            };
            match input.from {
                Upstream::Stage(upstream) => self.explain_stage(upstream, inner, text),
                Upstream::Source(source) => self.explain_source(source, inner, text),
            }
        }
    }

    fn explain_source(&self, source: usize, depth: usize, text: &mut String) {
        let source = &self.sources[source];
        let indent = "  ".repeat(depth);
        let columns: Vec<_> = source.schema.fields().iter().map(|field| field.name().as_str()).collect();
        let _ = write!(text, "{indent}StreamScan: {} [{}]", source.stream, columns.join(", "));
        let _ = match &source.watermark {
            Some(watermark) if watermark.per_key => {
                writeln!(text, " [watermark {}, per key]", watermark.text)
            }
            Some(watermark) => writeln!(text, " [watermark {}]", watermark.text),
            None => writeln!(text, " [no watermark]"),
        };
        if source.startup != Startup::Earliest {
            let _ = writeln!(text, "{indent}  starts at {}", source.startup);
        }
        if source.comes_first {
            let _ = writeln!(text, "{indent}  is read to its end before the others");
        }
        for bound in &source.bounds {
            let side =
                |value: &Option<ScalarValue>| value.as_ref().map_or("..".to_owned(), ToString::to_string);
            let name = source.projection.iter().position(|column| *column == bound.column);
            let name = name.map_or("?", |column| source.schema.field(column).name());
            let _ = writeln!(
                text,
                "{indent}  leaves out batches without {name} in [{}, {}]",
                side(&bound.min),
                side(&bound.max)
            );
        }
    }

    /// What kind of changes come out of each operator of a stage.
    fn describe_changes(&self, nth: usize) -> Vec<String> {
        let operators = &self.stages[nth].operators;
        let is_result = nth + 1 == self.stages.len();
        let describe = |(place, operator): (usize, &Arc<dyn OperatorSpec>)| {
            if is_result && place + 1 == operators.len() {
                describe_changes(&self.result.changes, &self.result.schema)
            } else {
                describe_changes(&operator.changes(), &operator.schema())
            }
        };
        operators.iter().enumerate().map(describe).collect()
    }

    /// The columns that come from an upstream.
    pub fn schema_of(&self, upstream: Upstream) -> SchemaRef {
        match upstream {
            Upstream::Source(source) => Arc::clone(&self.sources[source].schema),
            Upstream::Stage(stage) => Arc::clone(&self.stages[stage].schema),
        }
    }
}

fn describe_changes(changes: &Changes, schema: &SchemaRef) -> String {
    match changes {
        Changes::AppendOnly => "append-only".to_owned(),
        Changes::Updating { key } => {
            let names: Vec<_> = key.iter().map(|column| schema.field(*column).name().as_str()).collect();
            format!("updating by ({})", names.join(", "))
        }
        Changes::Retracting => "retracting".to_owned(),
    }
}

fn describe_state(bound: &headwater_operators::StateBound) -> String {
    use headwater_operators::StateBound;
    match bound {
        StateBound::None => "no state".to_owned(),
        StateBound::Watermark => "state ends with the watermark".to_owned(),
        StateBound::Grows(columns) => format!("state grows with distinct ({})", columns.join(", ")),
        StateBound::GrowsWithRows => "state grows with rows".to_owned(),
        StateBound::Table => "state is the rows of a table".to_owned(),
    }
}
