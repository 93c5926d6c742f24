//! WAMP v2: a router that lives in this process, and a client of routers elsewhere.
//!
//! ```text
//!  message    what is said: 25 messages, ids, URIs                 pure values
//!  wire       how it is written: JSON, MessagePack, CBOR           bytes to messages and back
//!  realm      what becomes of it: sessions, broker, dealer        no network, no tasks
//!  auth       who may come in                                     no network, no tasks
//!  router     realms, and the way of a connection into them
//!  net        WebSocket, RawSocket, TLS
//!  client     a session with the router of this process, or with one elsewhere
//!  connector  topics to streams, streams to topics
//!  gateway    the router as a part of the binary
//! ```
//!
//! Invariants:
//! - What does not belong to the network knows nothing of it: messages go in and out as values, time comes in as an argument.
//! - A payload is not read unless it must be written by another serializer than the one it came in.

pub mod auth;
pub mod client;
pub mod connector;
pub mod gateway;
pub mod message;
pub mod net;
pub mod realm;
pub mod router;
pub mod wire;
