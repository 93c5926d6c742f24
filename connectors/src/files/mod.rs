//! Files: a directory or a glob as a source, rolled files or a single growing one as a sink, and rows to be looked up.
//!
//! The source reads files in the order of their names, on disk or in an object store; those that end with `.gz` are
//! unpacked. Each file is a partition; its mark is where to go on in it, or that it is done. A file must not change once it
//! is there: write it under another name and rename it.
//!
//! `filesystem` as a sink writes files named by what is in them,
//!
//! ```text
//! STREAM-ID-SHARD-FIRST-NEXT.EXT     such as  weather-12-00000-00000000000000000000-00000000000000004096.parquet
//! ```
//!
//! first under a name that begins with a dot. A table `PARTITIONED BY` columns has a folder for each of their values, and what is
//! flushed at once is several files: a manifest names them, and makes them one. The names, or the manifest, are the sink's own cursor:
//! each row is there exactly once. `ID` is the number of the stream in the log, so that a table that was dropped and created anew does
//! not take its predecessor's files for its own.
//!
//! `single_file` as a sink appends to one file; the length of the file is stored with the cursor, and what lies beyond it is cut
//! off when the sink is opened again. The file begins anew when the sink does.

mod chunks;
mod config;
mod input;
mod listing;
mod lookup;
mod manifest;
mod partitions;
mod rolled_sink;
mod single_sink;
mod source;
#[cfg(test)]
mod test;
mod unpack;

pub(crate) use config::{FILESYSTEM, SINGLE_FILE, lookup};
