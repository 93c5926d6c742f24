//! A function that stands for an expression over its arguments: it is expanded when a query is optimised, and never called.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};

use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// A function that stands for one expression, whatever the types of its arguments are.
pub(super) type Expanded = Expansion<fn(Vec<Expr>) -> Result<Expr>>;

/// A function that stands for one expression or another, as the types of its arguments are.
pub(super) type ExpandedByType = Expansion<fn(Vec<Expr>, &[DataType]) -> Result<Expr>>;

/// A function that stands for an expression.
#[derive(Debug)]
pub(super) struct Expansion<E> {
    pub(super) name: &'static str,
    pub(super) signature: Signature,
    /// The type of the result, from those of the arguments.
    pub(super) returns: fn(&[DataType]) -> DataType,
    /// The expression; it has that type without further casts.
    pub(super) expand: E,
}

/// Whether a function is one of these.
pub fn is_expanded(function: &ScalarUDF) -> bool {
    function.inner().is::<Expanded>() || function.inner().is::<ExpandedByType>()
}

pub(super) trait Expand: Debug + Send + Sync + 'static {
    fn expand(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<Expr>;
}

impl Expand for fn(Vec<Expr>) -> Result<Expr> {
    fn expand(&self, args: Vec<Expr>, _context: &SimplifyContext) -> Result<Expr> {
        self(args)
    }
}

impl Expand for fn(Vec<Expr>, &[DataType]) -> Result<Expr> {
    fn expand(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<Expr> {
        let types = args.iter().map(|arg| context.get_data_type(arg)).collect::<Result<Vec<_>>>()?;
        self(args, &types)
    }
}

impl<E: Expand> Expansion<E> {
    pub(super) fn function(self) -> ScalarUDF {
        ScalarUDF::new_from_impl(self)
    }
}

impl<E> PartialEq for Expansion<E> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<E> Eq for Expansion<E> {}

impl<E> Hash for Expansion<E> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl<E: Expand> ScalarUDFImpl for Expansion<E> {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok((self.returns)(arguments))
    }

    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(ExprSimplifyResult::Simplified(self.expand.expand(args, context)?))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{} is expanded when a query is optimised", self.name)
    }
}
