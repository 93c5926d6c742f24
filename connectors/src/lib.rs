//! Connectors: the edges where rows come in and go out.
//!
//! Three kinds, one small trait each: a [`Source`] is pulled into a stream, a [`Sink`] is a cursor that delivers a stream
//! outside, a [`Gateway`] serves a protocol. Beside them a [`Lookup`] answers what jobs ask of a table outside, a [`Publisher`] tells of
//! firings, and an [`Actuator`] carries out what a scaling group decides. The promise that connectors keep is in `README.md` beside this
//! crate; one conformance suite drives them all.
//!
//! Invariants:
//! - No connector knows about operators or SQL. The planner knows some by name, where what a statement means depends on them; nothing else
//!   does, but the binary, which adds those that live in crates of their own.
//! - Adding one touches one folder and one line of [`registry::CONNECTORS`], or is a crate and a call of [`registry::add`].
//! - An outage outside is retried with backoff and shown in [`Status`]; it never stops the process.

mod actuate;
mod backoff;
mod blackhole;
mod blocking;
mod connector;
mod datagen;
mod deliver;
mod environment;
mod error;
mod files;
mod full_cache;
mod http;
mod lookup;
mod narrow;
mod nexmark;
mod parking;
pub mod registry;
mod reload;
mod retry;
mod schema_registry;
mod sink_task;
mod source_task;
mod status;
mod stdout;
mod supervisor;
mod task;
mod watermark;

pub use actuate::{
    ATTEMPTS, Activity, Actuator, ActuatorContext, ActuatorDef, ActuatorKind, Deed, SetWorkers, add_actuator,
    attempts_schema,
};
pub use backoff::Backoff;
pub use connector::{Behind, Context, Cursor, Delivery, Gateway, Mark, Pulled, Sink, Source};
pub use deliver::{
    Allowed, DELIVERIES, DeliveryDef, Message, Publisher, PublisherKind, Target, add_publisher,
    deliveries_schema,
};
pub use environment::fill_from_environment;
pub use error::{ConnectorError, Result};
pub use full_cache::{FullCache, WholeTable};
pub use http::Tls;
pub use lookup::{Caching, Kept, Lookup, Retries, Wanted};
pub use parking::{Aside, Parking};
pub use registry::{CONNECTORS, Connector};
pub use reload::Reload;
pub use retry::Retry;
pub use schema_registry::{SchemaRegistry, take_subject};
pub use status::{State, Status};
pub use supervisor::{ConnectorDef, ConnectorSupervisor, Handle};
pub use watermark::{Passed, TellWatermark, Watermarks};
