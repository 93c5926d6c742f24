//! What the black hole is called. It has no options.

use super::sink::Blackhole;
use crate::registry::Connector;

/// The entry of the registry.
pub(crate) const CONNECTOR: Connector = Connector {
    name: "blackhole",
    summary: "takes everything and keeps nothing",
    source: None,
    sink: Some(|_, _| Ok(Box::new(Blackhole))),
    gateway: None,
};
