//! A log's topics on Kafka: what `headwater-log` asks of a broker, by transactions of one fenced producer and consumers that read what was
//! committed.
//!
//! ```text
//!  commit        one transaction of `transactional.id` LOG         writing.rs
//!  take over     a new producer with that id                       a zombie's next commit fails
//!  read          a consumer that stands where the last read ended  reading.rs
//!  create, remove, remove before                                   topics.rs
//! ```
//!
//! What is stored, and what is promised, is in `engine/log/FORMAT.md` and in the README beside this crate.

mod pause;
mod reading;
mod topics;
mod writing;

pub use topics::KafkaTopics;
