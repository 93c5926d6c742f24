//! The demo: a year of real weather from three stations, replayed through the HTTP edge.

mod feed;
mod findings;
mod year;

pub(crate) use feed::feed;
pub(crate) use findings::show;
pub(crate) use year::{OVER, QUERIES, Year};
