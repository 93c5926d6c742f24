//! The headwater binary: commands, configuration, wiring.
