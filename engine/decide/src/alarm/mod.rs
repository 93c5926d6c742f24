//! Alarms: points of a metric in, states out.

mod comparison;
mod evaluate;
mod fold;
mod missing;
mod rule;
mod state;
mod statistic;
mod timing;

pub use comparison::{Comparison, Side};
pub use evaluate::{Because, Evaluation, evaluate};
pub use fold::{AlarmFold, Point, Saved};
pub use missing::{LowSamples, MissingData};
pub use rule::AlarmRule;
pub use state::AlarmState;
pub use statistic::Statistic;
pub use timing::{Timing, check_period, range_of};
