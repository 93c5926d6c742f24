//! A machine in memory, driven by a seed.
