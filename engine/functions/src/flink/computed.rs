//! A function that is computed over columns.

use std::hash::{Hash, Hasher};

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::functions::utils::make_scalar_function;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// A function over columns of one length.
#[derive(Debug)]
pub(super) struct Computed {
    pub(super) name: &'static str,
    /// The types as which it takes arguments of these, or what it takes instead.
    pub(super) coerce: fn(&[DataType]) -> Result<Vec<DataType>>,
    /// The type of the result, from those.
    pub(super) returns: fn(&[DataType]) -> DataType,
    pub(super) call: fn(&[ArrayRef]) -> Result<ArrayRef>,
}

const SIGNATURE: &Signature = &Signature {
    type_signature: datafusion::logical_expr::TypeSignature::UserDefined,
    volatility: Volatility::Immutable,
    parameter_names: None,
};

impl Computed {
    pub(super) fn function(self) -> ScalarUDF {
        ScalarUDF::new_from_impl(self)
    }
}

impl PartialEq for Computed {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Computed {}

impl Hash for Computed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Computed {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        SIGNATURE
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        (self.coerce)(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok((self.returns)(types))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        make_scalar_function(self.call, Vec::new())(&args.args)
    }
}
