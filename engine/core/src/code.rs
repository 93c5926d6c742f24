//! Error codes: a short name that an operator can look up.
//!
//! A code is `HW` and four digits. The first digit names the layer: 1 log, 2 ingest, 3 SQL, 4 jobs, 5 connectors,
//! 6 edges and command line. Every code has a page of remedy, `docs/errors/HWnnnn.md`; the tidy test fails on a
//! code without a page and on a page without a code.

use std::fmt;

/// The code of an error, such as `HW1003`; see the page of the same name under `docs/errors/`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(&'static str);

impl Code {
    /// Makes a code. It must be `HW` followed by four digits.
    pub const fn new(code: &'static str) -> Self {
        assert!(code.len() == 6, "a code is HW and four digits");
        Self(code)
    }

    /// The code as text.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
