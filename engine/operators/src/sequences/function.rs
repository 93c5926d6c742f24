//! The aggregate functions as DataFusion knows them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, GroupsAccumulator, Signature, Volatility,
};

use super::accumulators::{Grouped, Single};
use super::arguments::{bind, coerce};
use super::call::{Call, Kind};
use crate::aggregates::Aggregator;

/// An aggregate function over sequences. As a query names it, it has no call; when the query is optimised, one with its
/// constants takes its place.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SequenceFunction {
    kind: Kind,
    call: Option<Call>,
    aliases: Vec<String>,
    signature: Signature,
}

impl SequenceFunction {
    pub(super) fn new(kind: Kind) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Self { kind, call: None, aliases: kind.aliases(), signature }
    }

    fn call(&self) -> Result<&Call> {
        match &self.call {
            Some(call) => Ok(call),
            // They are bound where rows are grouped, and nowhere else.
            None => plan_err!(
                "{} goes with GROUP BY, also over windows of time (TUMBLE, HOP, SESSION), but not with OVER",
                self.kind.name()
            ),
        }
    }

    /// State for an operator's groups, over columns of these types.
    pub(crate) fn aggregator(&self, types: &[DataType]) -> Result<Box<dyn Aggregator>> {
        Ok(self.call()?.aggregator(types)?)
    }
}

fn types(args: &AccumulatorArgs<'_>) -> Vec<DataType> {
    args.expr_fields.iter().map(|field| field.data_type().clone()).collect()
}

impl AggregateUDFImpl for SequenceFunction {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(self.kind, self.call.as_ref(), types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.kind.returns())
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        if self.call.is_some() {
            return None;
        }
        let kind = self.kind;
        Some(Box::new(move |aggregate: AggregateFunction, _context| {
            let mut params = aggregate.params;
            if params.distinct {
                return plan_err!(
                    "{} counts in the order of time; DISTINCT does not go with it",
                    kind.name()
                );
            }
            let (call, args) = bind(kind, params.args)?;
            params.args = args;
            let bound = Self { call: Some(call), ..Self::new(kind) };
            let func = Arc::new(AggregateUDF::new_from_impl(bound));
            Ok(Expr::AggregateFunction(AggregateFunction { func, params }))
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |kind| Arc::new(Field::new(format_state_name(args.name, "state"), kind, true));
        Ok(self.call()?.state_types().into_iter().map(field).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Single::new(self.call()?.aggregator(&types(&args))?)))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        self.call.is_some()
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Grouped::try_new(self.call()?.clone(), types(&args))?))
    }
}
