//! A function whose body is a WebAssembly module.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, make_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use headwater_wasm::{Function, Limits, Module, WasmError};

use super::definition::FunctionDef;
use crate::error::{Mistake, SqlError};

/// The bytes of a module. It is loaded once, when it is first needed.
#[derive(Debug)]
pub struct Program {
    bytes: Vec<u8>,
    loaded: OnceLock<std::result::Result<Module, WasmError>>,
}

impl Program {
    /// The most bytes of a module.
    pub const BYTES_MAX: usize = Module::BYTES_MAX;

    /// A module as it was given.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, loaded: OnceLock::new() }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The SHA-256 of its bytes, in hexadecimal.
    pub fn hash(&self) -> String {
        headwater_wasm::hash_of(&self.bytes)
    }

    /// The module; an error if it is none.
    fn module(&self) -> std::result::Result<&Module, WasmError> {
        self.loaded.get_or_init(|| Module::new(&self.bytes)).as_ref().map_err(Clone::clone)
    }
}

/// The export of a module for the parameters of a function.
fn function(def: &FunctionDef, export: &str, program: &Program) -> std::result::Result<Function, WasmError> {
    let types: Vec<DataType> = def.parameters.iter().map(|parameter| parameter.kind.clone()).collect();
    Function::new(program.module()?, export, &types, &def.returns, Limits::default())
}

/// Whether a module can do what a function says; if not, why.
pub(super) fn check(def: &FunctionDef, export: &str, program: &Program) -> std::result::Result<(), SqlError> {
    let wrong = |error: WasmError| {
        SqlError::new(Mistake::Definition, format!("the function '{}': {error}", def.name))
            .hint("docs/wasm.md says how a module is written")
    };
    function(def, export, program).map(drop).map_err(wrong)
}

/// The function as queries call it.
pub(super) fn scalar(
    def: &Arc<FunctionDef>,
    signature: Signature,
    export: &str,
    program: &Program,
) -> Arc<ScalarUDF> {
    let function = function(def, export, program).map_err(|error| error.to_string());
    Arc::new(ScalarUDF::new_from_impl(WasmFunction { def: Arc::clone(def), signature, function }))
}

/// What a module gives depends on its arguments alone.
pub(super) const VOLATILITY: Volatility = Volatility::Immutable;

#[derive(Debug)]
struct WasmFunction {
    def: Arc<FunctionDef>,
    signature: Signature,
    function: std::result::Result<Function, String>,
}

impl PartialEq for WasmFunction {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.def, &other.def)
    }
}

impl Eq for WasmFunction {}

impl Hash for WasmFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.def).hash(state);
    }
}

impl ScalarUDFImpl for WasmFunction {
    fn name(&self) -> &str {
        &self.def.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        match &self.function {
            Ok(_) => Ok(self.def.returns.clone()),
            Err(why) => plan_err!("the function '{}' does not work: {why}", self.def.name),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (name, rows) = (&self.def.name, args.number_rows);
        let function = match &self.function {
            Ok(function) => function,
            Err(why) => return exec_err!("the function '{name}' does not work: {why}"),
        };
        let columns = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let given = match function.call(&columns, rows) {
            Ok(given) => given,
            // Not the fault of a row, and too dear to find out for each.
            Err(error @ (WasmError::Fuel(_) | WasmError::Memory(_))) => {
                let message =
                    format!("the function '{name}' failed over rows 1 to {rows} of its batch: {error}");
                return Err(DataFusionError::ResourcesExhausted(message));
            }
            Err(error) => {
                return exec_err!("the function '{name}' failed over rows 1 to {rows} of its batch: {error}");
            }
        };
        Ok(ColumnarValue::Array(if self.def.strict { without_nulls_of(&columns, &given)? } else { given }))
    }
}

/// NULL wherever one of the columns is NULL.
fn without_nulls_of(columns: &[ArrayRef], given: &ArrayRef) -> Result<ArrayRef> {
    let nulls = columns.iter().fold(given.nulls().cloned(), |nulls, column| {
        NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref())
    });
    Ok(make_array(given.to_data().into_builder().nulls(nulls).build()?))
}
