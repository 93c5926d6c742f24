//! `RAND([seed])` and `RAND_INTEGER([seed,] bound)`. From a seed come the numbers of Java's `Random`, one after the other in each call
//! that a query has.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use arrow::array::{ArrayRef, AsArray, Float64Array, Int32Array};
use arrow::datatypes::{DataType, Float64Type, Int32Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::functions::expr_fn::random;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::computed::Computed;

pub(super) fn functions() -> Vec<ScalarUDF> {
    let signature = || Signature::user_defined(Volatility::Volatile);
    [false, true].map(|is_whole| ScalarUDF::new_from_impl(Random { is_whole, signature: signature() })).into()
}

const NAMES: [&str; 2] = ["rand", "rand_integer"];

/// What stands in a query. As it is planned, the seed goes into a [`Seeded`].
#[derive(Debug, PartialEq, Eq, Hash)]
struct Random {
    /// Whether it is `RAND_INTEGER`, which has a bound.
    is_whole: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Random {
    fn name(&self) -> &str {
        NAMES[usize::from(self.is_whole)]
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let are_whole = types.iter().all(|kind| kind.is_integer() || kind.is_null());
        let least = usize::from(self.is_whole);
        if !are_whole || types.len() < least || types.len() > least + 1 {
            return plan_err!(
                "RAND takes a seed or nothing, and RAND_INTEGER a seed or nothing, and a bound"
            );
        }
        Ok(vec![DataType::Int32; types.len()])
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(if self.is_whole { DataType::Int32 } else { DataType::Float64 })
    }

    fn simplify(&self, mut args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        static BELOW: LazyLock<ScalarUDF> = LazyLock::new(below);
        let is_seeded = args.len() > usize::from(self.is_whole);
        Ok(match args.first() {
            Some(Expr::Literal(ScalarValue::Int32(Some(seed)), _)) if is_seeded => {
                let seeded = Seeded::new(self.is_whole, *seed);
                args.remove(0);
                ExprSimplifyResult::Simplified(ScalarUDF::new_from_impl(seeded).call(args))
            }
            _ if is_seeded => ExprSimplifyResult::Original(args),
            Some(_) => {
                args.insert(0, random());
                ExprSimplifyResult::Simplified(BELOW.call(args))
            }
            None => ExprSimplifyResult::Simplified(random()),
        })
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("the seed of {} is a number that stands in the query", self.name().to_uppercase())
    }
}

/// `$below(x, bound)`: a number from 0 that is below the bound, as `x` is from 0 and below 1.
fn below() -> ScalarUDF {
    let below = Computed {
        name: "$below",
        coerce: |_| Ok(vec![DataType::Float64, DataType::Int32]),
        returns: |_| DataType::Int32,
        call: |args| {
            let (xs, bounds) = (args[0].as_primitive::<Float64Type>(), args[1].as_primitive::<Int32Type>());
            let numbers = xs.iter().zip(bounds).map(|(x, bound)| {
                let (Some(x), Some(bound)) = (x, bound) else { return Ok(None) };
                checked(bound).map(|bound| Some((x * f64::from(bound)) as i32))
            });
            Ok(Arc::new(numbers.collect::<Result<Int32Array>>()?))
        },
    };
    below.function()
}

fn checked(bound: i32) -> Result<i32> {
    match bound {
        1.. => Ok(bound),
        _ => exec_err!("RAND_INTEGER: the bound {bound} is not above zero"),
    }
}

/// One call with a seed, in one query: it goes on where the rows before it have ended.
#[derive(Debug)]
struct Seeded {
    is_whole: bool,
    signature: Signature,
    state: Mutex<JavaRandom>,
}

impl Seeded {
    fn new(is_whole: bool, seed: i32) -> Self {
        let state = Mutex::new(JavaRandom::new(seed.into()));
        Self { is_whole, signature: Signature::user_defined(Volatility::Volatile), state }
    }
}

/// Another call has numbers of its own.
impl PartialEq for Seeded {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Seeded {}

impl Hash for Seeded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::from_ref(self).hash(state);
    }
}

impl ScalarUDFImpl for Seeded {
    fn name(&self) -> &str {
        NAMES[usize::from(self.is_whole)]
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(if self.is_whole { DataType::Int32 } else { DataType::Float64 })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut random = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers: ArrayRef = match args.args.first() {
            None => Arc::new((0..args.number_rows).map(|_| Some(random.double())).collect::<Float64Array>()),
            Some(bounds) => {
                let bounds = bounds.to_array(args.number_rows)?;
                let bounds = bounds.as_primitive::<Int32Type>().iter();
                let numbers =
                    bounds.map(|bound| Ok(bound.map(checked).transpose()?.map(|n| random.below(n))));
                Arc::new(numbers.collect::<Result<Int32Array>>()?)
            }
        };
        Ok(ColumnarValue::Array(numbers))
    }
}

/// The linear congruential generator that Java's documentation of `java.util.Random` specifies: 48 bits of state.
#[derive(Debug)]
struct JavaRandom(u64);

impl JavaRandom {
    const FACTOR: u64 = 0x5_deec_e66d;
    const MASK: u64 = (1 << 48) - 1;

    fn new(seed: i64) -> Self {
        Self((seed as u64 ^ Self::FACTOR) & Self::MASK)
    }

    fn next(&mut self, bits: u32) -> u64 {
        self.0 = self.0.wrapping_mul(Self::FACTOR).wrapping_add(0xb) & Self::MASK;
        self.0 >> (48 - bits)
    }

    fn double(&mut self) -> f64 {
        let high = self.next(26) << 27;
        (high + self.next(27)) as f64 / (1_u64 << 53) as f64
    }

    /// Of a bound that is above zero.
    fn below(&mut self, bound: i32) -> i32 {
        let bound = u64::from(bound.unsigned_abs());
        if bound.is_power_of_two() {
            return ((bound * self.next(31)) >> 31) as i32;
        }
        // All numbers are as likely: what is left over at the end is drawn again.
        loop {
            let drawn = self.next(31);
            let rest = drawn % bound;
            if drawn - rest + bound <= 1 << 31 {
                return rest as i32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_numbers_of_java() {
        let mut random = JavaRandom::new(42);
        assert_eq!([random.double(), random.double()], [0.7275636800328681, 0.6832234717598454]);
        let mut random = JavaRandom::new(42);
        assert_eq!([10; 5].map(|bound| random.below(bound)), [0, 3, 8, 4, 0]);
    }
}
