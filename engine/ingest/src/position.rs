//! Where sources and sinks stand: a stream that is folded to its newest rows.

/// Where one partition is to be resumed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The partition, as the source names it.
    pub partition: String,
    /// The position, as the source writes it.
    pub position: String,
}

/// Marks of all sources, or of all sinks.
pub struct Marks;
