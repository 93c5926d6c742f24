//! A function of a module, with the types of its columns.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use wasmi::{FuncType, ValType};

use crate::columns;
use crate::error::{Result, WasmError};
use crate::instance::Instance;
use crate::module::{Limits, Module};
use crate::rows;

/// A function that columns of certain types can be given to.
#[derive(Debug)]
pub struct Function {
    pub(crate) module: Module,
    pub(crate) export: String,
    pub(crate) returns: DataType,
    by_batch: bool,
    limits: Limits,
}

impl Function {
    /// The export of a module, for these types.
    pub fn new(
        module: &Module,
        export: &str,
        parameters: &[DataType],
        returns: &DataType,
        limits: Limits,
    ) -> Result<Self> {
        let found = module
            .function(export)
            .ok_or_else(|| WasmError::NoExport { name: export.to_owned(), there: module.exported() })?;
        let by_batch = module.function("alloc").is_some();
        let types = parameters.iter().chain([returns]);
        if by_batch {
            for kind in types {
                columns::check(kind)?;
            }
            let address = || FuncType::new([ValType::I32], [ValType::I32]);
            expect("alloc", &module.function("alloc").unwrap_or_else(address), &address())?;
            expect(export, &found, &address())?;
            if let Some(error) = module.function("error") {
                expect("error", &error, &FuncType::new([], [ValType::I32]))?;
            }
            if !module.has_memory() {
                return Err(WasmError::NoExport { name: "memory".to_owned(), there: module.exported() });
            }
        } else {
            let kinds = types.map(rows::value_type).collect::<Result<Vec<_>>>()?;
            let (taken, given) = kinds.split_at(parameters.len());
            expect(export, &found, &FuncType::new(taken.to_vec(), given.to_vec()))?;
        }
        Ok(Self {
            module: module.clone(),
            export: export.to_owned(),
            returns: returns.clone(),
            by_batch,
            limits,
        })
    }

    /// Whether it is called by batch, and not by row. Only then it sees NULLs.
    pub fn is_by_batch(&self) -> bool {
        self.by_batch
    }

    /// Gives it rows, in columns of its parameters' types and of this length. The column that comes out is as long.
    pub fn call(&self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        // What the rows take by themselves: limits must not depend on how they lie in memory.
        let bytes =
            columns.iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or_default()).sum();
        let mut instance = Instance::new(&self.module, &self.limits, rows, bytes)?;
        if self.by_batch {
            columns::call(&mut instance, &self.export, columns, rows, &self.returns)
        } else {
            rows::call(&mut instance, &self.export, columns, rows, &self.returns)
        }
    }
}

fn expect(name: &str, found: &FuncType, expected: &FuncType) -> Result<()> {
    if found.params() == expected.params() && found.results() == expected.results() {
        return Ok(());
    }
    Err(WasmError::Signature { name: name.to_owned(), found: shown(found), expected: shown(expected) })
}

/// `(i32, f64) -> f64`.
fn shown(kind: &FuncType) -> String {
    let list = |kinds: &[ValType]| {
        let names: Vec<_> = kinds.iter().map(|kind| format!("{kind:?}").to_lowercase()).collect();
        names.join(", ")
    };
    match kind.results() {
        [] => format!("({}) -> ()", list(kind.params())),
        [one] => format!("({}) -> {}", list(kind.params()), list(&[*one])),
        more => format!("({}) -> ({})", list(kind.params()), list(more)),
    }
}
