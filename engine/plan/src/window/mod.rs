//! Window table functions as a node of DataFusion's logical plans, and how DataFusion runs them over the rows so far.
//!
//! Windows are `[start, end)`; a session ends at its last event plus the gap; `window_time` is the end less one millisecond.

mod exec;
mod node;
mod ordered;
mod relation;

pub(crate) use exec::WindowPlanner;
pub(crate) use node::{Bounds, COLUMNS_OVER_WINDOWS, WINDOW_COLUMNS, WindowTvf, Windowing, is_arrival};
pub(crate) use relation::{WindowRelations, interval_nanos};
