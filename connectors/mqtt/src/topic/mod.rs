//! Names of topics, filters over them, and which filters a topic matches.

mod filter;
mod tree;

pub use filter::{check_filter, check_topic, matches, segment, split_shared};
pub use tree::Tree;
