//! Patterns of events: `(?1)`, `.`, `.*`, `(?t<=60)`.
//!
//! | part | what it stands for |
//! |---|---|
//! | `(?N)` | the next event, for which condition `N` holds, from 1 |
//! | `.` | the next event, whatever it is |
//! | `.*` | any number of events, as few as will do |
//! | `(?t<=T)`, with `<`, `<=`, `>`, `>=` or `==` | events, as few as will do, until one whose distance from the event before is so |
//!
//! A pattern begins anywhere. Only events for which some condition holds are there at all: others are between no two events.

mod matching;
mod parse;
mod parts;

pub use parts::Pattern;
