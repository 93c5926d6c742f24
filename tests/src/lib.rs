//! End to end: real clients, crashes, simulation, tidy.
