//! Jobs: steps, checkpoints, journal, replay; queries over the log.
