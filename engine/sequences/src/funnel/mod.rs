//! Funnels: how many steps of a chain of conditions were taken within a window.
//!
//! The conditions are the steps. A chain begins with an event of the first, and goes on with an event of the next, in the order of
//! time, no later than the window after the chain's first event. The level is the length of the longest chain.

mod once;
mod steps;

pub use steps::{Funnel, FunnelMode};
