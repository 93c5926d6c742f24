//! PostgreSQL and MySQL: sinks that keep their position with the rows, and tables to look rows up in.
