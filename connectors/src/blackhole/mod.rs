//! A sink that takes everything and keeps nothing: for measuring what comes before it.

mod config;
mod sink;

pub(crate) use config::CONNECTOR;
