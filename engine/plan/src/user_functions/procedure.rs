//! A function whose body is a procedure outside, which whoever registered it answers.
//!
//! What it answers is not in the log: asked again, it may say something else. So only queries over the rows so far call it, which run once;
//! a job asks by a lookup join, whose answers are in its journal.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use async_trait::async_trait;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::definition::{Body, FunctionDef};
use crate::decision::engine_stream;
use crate::definition::StreamDef;
use crate::error::{Mistake, SqlError, refused};
use crate::planner::Tables;

/// How a query calls one in a job, for hints.
pub(crate) const IN_A_JOB: &str = "a job asks by a join, and remembers what was answered: CREATE TABLE t (...) WITH (connector = 'wamp', \
     procedure = ..., ...); JOIN t FOR SYSTEM_TIME AS OF PROCTIME() AS t ON s.key = t.key";

/// The column of the result.
const RESULT: &str = "result";

/// A procedure outside, which is asked.
#[async_trait]
pub trait Procedure: Send + Sync + fmt::Debug {
    /// What it answers for these arguments, each row of which is there once: rows of the arguments and the result, in any order. Without a
    /// row it has answered nothing.
    async fn call(&self, arguments: RecordBatch) -> std::result::Result<RecordBatch, String>;
}

impl FunctionDef {
    /// The table whose rows a function's procedure answers: columns for the parameters, then one for the result. `None` if its body is no
    /// procedure.
    pub fn answers(&self) -> Option<StreamDef> {
        let Body::Procedure { connector, procedure, options } = &self.body else { return None };
        let mut options: BTreeMap<String, String> = options.clone();
        options.insert("procedure".to_owned(), procedure.clone());
        options.entry("arguments".to_owned()).or_insert_with(|| "positional".to_owned());
        let result = Field::new(RESULT, self.returns.clone(), true);
        let asked_by = self.asked_by();
        let fields = asked_by.fields().iter().cloned().chain([Arc::new(result)]);
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Some(StreamDef { connector: Some(connector.clone()), options, ..engine_stream(&self.name, schema) })
    }

    /// The columns of its arguments.
    fn asked_by(&self) -> SchemaRef {
        let fields = self.parameters.iter().map(|one| Field::new(&one.name, one.kind.clone(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// Whether a procedure can be called like this; if not, why.
pub(super) fn check(def: &FunctionDef) -> std::result::Result<(), SqlError> {
    let wrong = |message: String| Err(SqlError::new(Mistake::Definition, message));
    match def.parameters.iter().find(|one| one.name == RESULT) {
        Some(_) => {
            wrong(format!("'{RESULT}' is what the procedure answers: give the parameter another name"))
        }
        None => Ok(()),
    }
}

/// The function as queries call it.
pub(super) fn scalar(
    def: &Arc<FunctionDef>,
    signature: Signature,
    tables: &Arc<dyn Tables>,
) -> Arc<ScalarUDF> {
    let function = ProcedureFunction { def: Arc::clone(def), signature, tables: Arc::clone(tables) };
    Arc::new(AsyncScalarUDF::new(Arc::new(function)).into_scalar_udf())
}

/// What a procedure gives depends on whoever answers.
pub(super) const VOLATILITY: Volatility = Volatility::Volatile;

/// Whether calling a function asks somebody outside.
pub(crate) fn asks_outside(function: &ScalarUDF) -> bool {
    function.inner().downcast_ref::<AsyncScalarUDF>().is_some()
}

/// The name of the first function in an expression that asks outside.
pub(super) fn asked_in(expr: &Expr) -> Option<String> {
    let mut found = None;
    // It never fails.
    let _ = expr.apply(|part| match part {
        Expr::ScalarFunction(call) if asks_outside(&call.func) => {
            found = Some(call.name().to_owned());
            Ok(TreeNodeRecursion::Stop)
        }
        _ => Ok(TreeNodeRecursion::Continue),
    });
    found
}

/// Refuses calls where rows cannot wait for an answer: anywhere but in SELECT and WHERE, and within each other.
pub(crate) fn check_places(plan: &LogicalPlan) -> Result<()> {
    let wrong = |name: &str, what: &str| {
        let message = format!("'{name}' asks outside, which is done {what}");
        let hint = format!("SELECT ... FROM (SELECT *, {name}(...) AS answer FROM ...)");
        Err(refused(SqlError::new(Mistake::Query, message).hint(hint)))
    };
    plan.apply_with_subqueries(|node| {
        let may_wait = matches!(node, LogicalPlan::Projection(_) | LogicalPlan::Filter(_));
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                let Expr::ScalarFunction(call) = part else { return Ok(TreeNodeRecursion::Continue) };
                if !asks_outside(&call.func) {
                    return Ok(TreeNodeRecursion::Continue);
                }
                match call.args.iter().find_map(asked_in) {
                    Some(_) => wrong(call.name(), "for arguments that are there already"),
                    None if !may_wait => wrong(call.name(), "in SELECT and WHERE"),
                    None => Ok(TreeNodeRecursion::Continue),
                }
            })
        })
    })?;
    Ok(())
}

#[derive(Debug)]
struct ProcedureFunction {
    def: Arc<FunctionDef>,
    signature: Signature,
    tables: Arc<dyn Tables>,
}

/// Two definitions of one name are two functions.
impl PartialEq for ProcedureFunction {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.def, &other.def)
    }
}

impl Eq for ProcedureFunction {}

impl Hash for ProcedureFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.def).hash(state);
    }
}

impl ScalarUDFImpl for ProcedureFunction {
    fn name(&self) -> &str {
        &self.def.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(self.def.returns.clone())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("'{}' is asked, and answers later", self.def.name)
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for ProcedureFunction {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let name = &self.def.name;
        let rows = args.number_rows;
        let columns = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let mut questions = Questions::of(&columns, rows)?;
        let asked = questions.take(self.def.asked_by(), &columns)?;
        let answered = match self.tables.procedure(&self.def) {
            Ok(_) if asked.num_rows() == 0 => Ok(RecordBatch::new_empty(Arc::new(Schema::empty()))),
            Ok(procedure) => procedure.call(asked).await,
            Err(why) => Err(why),
        };
        match answered {
            Ok(answered) if answered.num_rows() == 0 => {
                Ok(ColumnarValue::Array(arrow::array::new_null_array(&self.def.returns, rows)))
            }
            Ok(answered) => match questions.places_in(&answered)? {
                Some(places) => {
                    let result = answered.column(columns.len());
                    Ok(ColumnarValue::Array(take(result, &places, None)?))
                }
                None => {
                    exec_err!("the function '{name}' was answered with several rows for the same arguments")
                }
            },
            Err(why) => exec_err!("the function '{name}' was not answered: {why}"),
        }
    }
}

/// Arguments, each of which is asked about once. A row with a NULL among them asks nothing: its result is NULL.
struct Questions {
    /// `None` if there are no arguments.
    converter: Option<RowConverter>,
    /// Of each row the number of its question.
    of_row: Vec<Option<usize>>,
    /// Of each question its first row.
    first: Vec<u32>,
    /// The number of the question with these arguments.
    numbers: HashMap<Box<[u8]>, usize>,
}

impl Questions {
    fn of(columns: &[ArrayRef], rows: usize) -> Result<Self> {
        if columns.is_empty() {
            let first = if rows == 0 { Vec::new() } else { vec![0] };
            return Ok(Self { converter: None, of_row: vec![Some(0); rows], first, numbers: HashMap::new() });
        }
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let keys = converter.convert_columns(columns)?;
        let (mut first, mut numbers) = (Vec::new(), HashMap::new());
        let nulls: Vec<_> = columns.iter().filter_map(|column| column.logical_nulls()).collect();
        let mut of_row = Vec::with_capacity(rows);
        for (row, key) in keys.iter().enumerate() {
            if nulls.iter().any(|nulls| nulls.is_null(row)) {
                of_row.push(None);
                continue;
            }
            let number = *numbers.entry(Box::from(key.as_ref())).or_insert_with(|| {
                first.push(row as u32);
                first.len() - 1
            });
            of_row.push(Some(number));
        }
        Ok(Self { converter: Some(converter), of_row, first, numbers })
    }

    /// The arguments of each question, once.
    fn take(&self, schema: SchemaRef, columns: &[ArrayRef]) -> Result<RecordBatch> {
        let rows = UInt32Array::from(self.first.clone());
        let columns =
            columns.iter().map(|column| take(column, &rows, None)).collect::<std::result::Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }

    /// Where in what was answered each row's answer is; `None` if there are several for one question.
    fn places_in(&mut self, answered: &RecordBatch) -> Result<Option<UInt32Array>> {
        let mut places: Vec<Option<u32>> = vec![None; self.first.len()];
        let mut put = |number: usize, row: usize| places[number].replace(row as u32).is_none();
        let is_single = match &self.converter {
            None => (0..answered.num_rows()).all(|row| put(0, row)),
            Some(converter) => {
                let arguments = &answered.columns()[..answered.num_columns() - 1];
                let keys = converter.convert_columns(arguments)?;
                let mut all = keys.iter().enumerate();
                all.all(|(row, key)| self.numbers.get(key.as_ref()).is_none_or(|number| put(*number, row)))
            }
        };
        let of_row = self.of_row.iter().map(|number| number.and_then(|number| places[number]));
        Ok(is_single.then(|| of_row.collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, StringArray};

    use super::*;

    fn texts(all: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(all.to_vec()))
    }

    fn answer(keys: &[&str], values: &[f64]) -> RecordBatch {
        let keys = texts(&keys.iter().map(|key| Some(*key)).collect::<Vec<_>>());
        let values: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
        RecordBatch::try_from_iter([("device", keys), (RESULT, values)]).unwrap()
    }

    #[test]
    fn each_question_is_asked_once_and_nothing_is_asked_about_nulls() {
        let columns = [texts(&[Some("a"), None, Some("b"), Some("a")])];
        let mut questions = Questions::of(&columns, 4).unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new("device", DataType::Utf8, true)]));
        let asked = questions.take(schema, &columns).unwrap();
        assert_eq!(asked.column(0), &texts(&[Some("a"), Some("b")]));
        // Rows that nobody asked for do no harm, and what is missing has no answer.
        let places = questions.places_in(&answer(&["x", "a"], &[1.0, 2.0])).unwrap().unwrap();
        assert_eq!(places, UInt32Array::from(vec![Some(1), None, None, Some(1)]));
        assert_eq!(questions.places_in(&answer(&["a", "a"], &[1.0, 2.0])).unwrap(), None);
    }

    #[test]
    fn without_arguments_there_is_one_question() {
        let mut questions = Questions::of(&[], 3).unwrap();
        let asked = questions.take(Arc::new(Schema::empty()), &[]).unwrap();
        assert_eq!(asked.num_rows(), 1);
        let values: ArrayRef = Arc::new(Float64Array::from(vec![7.0]));
        let answer = RecordBatch::try_from_iter([(RESULT, values)]).unwrap();
        assert_eq!(questions.places_in(&answer).unwrap().unwrap(), UInt32Array::from(vec![0, 0, 0]));
    }
}
