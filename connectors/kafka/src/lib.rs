//! Kafka: a source that keeps its offsets with its rows, and a sink that commits by transactions.
