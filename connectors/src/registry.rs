//! Which connectors there are.

use headwater_ingest::Options;

use crate::connector::{Context, Gateway, Sink, Source};
use crate::error::Result;

/// A connector: what it is called, and how to make one. Making one checks its options and touches nothing outside.
pub struct Connector {
    /// The name, as `connector = '…'` has it.
    pub name: &'static str,
    /// What it is, in a few words.
    pub summary: &'static str,
    /// Makes a source, if it can be one.
    pub source: Option<fn(Context, &mut Options) -> Result<Box<dyn Source>>>,
    /// Makes a sink, if it can be one.
    pub sink: Option<fn(Context, &mut Options) -> Result<Box<dyn Sink>>>,
    /// Makes a gateway, if it can be one.
    pub gateway: Option<fn(Context, &mut Options) -> Result<Box<dyn Gateway>>>,
}

/// All connectors, by name.
pub const CONNECTORS: &[Connector] = &[];
