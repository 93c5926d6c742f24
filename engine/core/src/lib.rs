//! What every other crate of Headwater agrees on: ids, time and time zones, key hashing, wider types, maps as JSON, names of this
//! machine and the [`World`].
//!
//! Invariants:
//! - This crate depends on nothing of ours.
//! - Log and jobs reach clock, disk, randomness and background threads through [`World`] and nowhere else, so that a
//!   simulation can put its own in their place and the same seed gives the same bytes.

mod causes;
pub mod code;
pub mod hash;
pub mod ids;
mod json_map;
mod loopback;
pub mod size;
pub mod time;
mod widening;
pub mod world;
pub mod zone;

pub use causes::causes;
pub use code::Code;
pub use ids::{Epoch, ProducerId, SchemaId, Sequence, ShardId, StreamId, StreamName};
pub use json_map::encoder_of_map;
pub use loopback::is_loopback_name;
pub use time::EventTime;
pub use widening::is_wider;
pub use world::World;
pub use zone::Zone;
