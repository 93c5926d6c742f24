//! Skeleton.

use std::time::Duration;

/// How far into the future, against arrival, event time may lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockGuard(pub Option<Duration>);
