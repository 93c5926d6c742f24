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
//! Those who wait for a partition are told that it is complete by an empty file in its folder, `_SUCCESS`, with the options of Flink's
//! partition commit:
//!
//! | `sink.partition-commit.trigger` | a partition is committed |
//! |---|---|
//! | `process-time` | when its first row came to the sink so long ago as the delay says |
//! | `partition-time` | when all rows before a watermark are in their files, and that has passed the time of its values and the delay |
//!
//! - It happens after a flush, and where nothing waits for one up to half a second later than it could. The file is there when those of
//!   the partition have their names and are durable. After a crash it comes with the next start.
//! - The watermark is the least of the jobs that write into the table, as `system.watermarks` shows them, less what the results of a join
//!   or of OVER lie behind it. A job without one (it reads streams without `WATERMARK`, or could not start) holds all partitions back.
//!   A `WATERMARK` that the table itself declares is of those who read it, as in Flink.
//! - What no job writes (`INSERT INTO t VALUES`, an INSERT that is done once, HTTP) moves no watermark. If no job writes into the table
//!   it is whole with the statement that brought it, and `partition-time` commits it with the next flush. After `DROP JOB` of one that
//!   has not come to its end partitions wait for another job: what the dropped one wrote last is not whole.
//! - When all jobs that write into the table have come to their ends, all partitions are committed.
//! - A partition whose values say no time waits for that end; `last_error` in `system.connectors` shows why.
//! - A partition that gets rows after it was committed is committed again: nothing changes, as the empty file is there.
//! - Which partitions wait is written down with each flush, so that a crash forgets none. Where event time stands still they add up.
//!
//! `single_file` as a sink appends to one file; the length of the file is stored with the cursor, and what lies beyond it is cut
//! off when the sink is opened again. The file begins anew when the sink does.

mod chunks;
mod commit;
#[cfg(test)]
mod commit_test;
mod config;
mod input;
mod listing;
mod lookup;
mod manifest;
mod partition_time;
mod partitions;
mod rolled_sink;
mod single_sink;
mod source;
#[cfg(test)]
mod test;
mod unpack;

pub(crate) use config::{FILESYSTEM, SINGLE_FILE, lookup};
