//! Whole logs, from outside: what they promise, and that they keep it through faults.

mod conformance;
