//! A function that stands for an expression over its arguments: it is expanded when a query is optimised, and never called.

use std::hash::{Hash, Hasher};

use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// A function that stands for an expression.
#[derive(Debug)]
pub(super) struct Expanded {
    pub(super) name: &'static str,
    pub(super) signature: Signature,
    /// The type of the result, from those of the arguments.
    pub(super) returns: fn(&[DataType]) -> DataType,
    /// The expression; it has that type without further casts.
    pub(super) expand: fn(Vec<Expr>) -> Result<Expr>,
}

impl Expanded {
    pub(super) fn function(self) -> ScalarUDF {
        ScalarUDF::new_from_impl(self)
    }
}

/// A function that stands for one expression or another, as the types of its arguments are.
#[derive(Debug)]
pub(super) struct ExpandedByType {
    pub(super) name: &'static str,
    pub(super) signature: Signature,
    /// The type of the result, from those of the arguments.
    pub(super) returns: fn(&[DataType]) -> DataType,
    /// The expression, given the types of the arguments; it has that type without further casts.
    pub(super) expand: fn(Vec<Expr>, &[DataType]) -> Result<Expr>,
}

impl ExpandedByType {
    pub(super) fn function(self) -> ScalarUDF {
        ScalarUDF::new_from_impl(self)
    }
}

/// Whether a function is one of these.
pub(crate) fn is_expanded(function: &ScalarUDF) -> bool {
    function.inner().is::<Expanded>() || function.inner().is::<ExpandedByType>()
}

impl PartialEq for ExpandedByType {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for ExpandedByType {}

impl Hash for ExpandedByType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for ExpandedByType {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok((self.returns)(arguments))
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let types = args.iter().map(|arg| info.get_data_type(arg)).collect::<Result<Vec<_>>>()?;
        Ok(ExprSimplifyResult::Simplified((self.expand)(args, &types)?))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{} is expanded when a query is optimised", self.name)
    }
}

impl PartialEq for Expanded {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Expanded {}

impl Hash for Expanded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Expanded {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok((self.returns)(arguments))
    }

    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(ExprSimplifyResult::Simplified((self.expand)(args)?))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{} is expanded when a query is optimised", self.name)
    }
}
