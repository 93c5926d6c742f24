//! PostgreSQL and MySQL (MariaDB, too): sinks that keep their position with the rows, and tables to look rows up in.
//!
//! ```text
//!  a flush is one transaction:
//!    UPDATE headwater_positions … WHERE next = where we were     nobody else has moved it, and nobody can until we commit
//!    DELETE, INSERT … ON CONFLICT / ON DUPLICATE KEY             the rows, all of a flush in a few statements
//!    rows that break a constraint go to system.dead_letters      before the commit, so that none vanishes
//!    COMMIT
//! ```
//!
//! Invariants:
//! - Rows and position are committed together, so each row is in the table exactly once, whoever dies when. A commit whose answer was lost
//!   is settled by reading the position back.
//! - What does not fit (a column that is missing, a type, a key without a unique index) is said before any row is written.
//! - One row that the database refuses delays nobody: it is found by halving the batch, and parked with what the database said.
//! - A table in which rows are looked up is asked for the keys of a step in one query, or read as a whole in one, so that all rows are of
//!   the same moment. A value that cannot be read as what its column is declared to be is an error, never NULL.

mod address;
mod cells;
mod config;
mod connection;
mod fault;
mod fold;
mod kind;
mod lookup;
mod mysql;
mod postgres;
mod session;
mod sink;
mod statements;
mod table;

pub use config::{CONNECTORS, JDBC, add};
