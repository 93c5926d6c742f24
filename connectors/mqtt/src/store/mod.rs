//! What of a broker outlives its process: sessions with what waits for them, and retained messages, in one file of changes.
//!
//! ```text
//!  file    magic (8 bytes) | frame | frame | ..
//!  frame   length (4) | CRC-32C of what follows (4) | change | change | ..
//!  change  1 | key | value       put
//!          2 | key               remove
//!          3 | beginning         remove all whose keys begin like this
//!  key, value, beginning: length (4), bytes; all numbers little-endian
//! ```
//!
//! Frames are appended and synced. When the file is opened, or has grown to several times what is in force, it is written anew
//! under another name and takes the old one's place. A frame at the end that is not whole was never acknowledged and is cut off; one that
//! is damaged with whole ones behind it is an error.

mod change;
mod file;

pub use change::{Change, Entries, Key, Kind};
pub use file::Store;
