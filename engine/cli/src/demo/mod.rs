//! The demo: a year of real weather from three stations, replayed through the HTTP edge, and what is decided over it.

mod decisions;
mod feed;
mod findings;
mod wait;
mod year;

pub(crate) use decisions::decide;
pub(crate) use feed::feed;
pub(crate) use findings::{show, show_decisions};
pub(crate) use wait::wait_until;
pub(crate) use year::{JOBS, OVER, QUERIES, Year};
