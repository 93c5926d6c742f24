//! A fence around readers that were written for files one trusts.
//!
//! The readers of Arrow IPC and Parquet check much of what they read, but slice by some lengths before they do, and panic where
//! those are wrong. Bytes from outside must not take a thread down. The readers own all they touch, so nothing half-changed survives.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{IngestError, Result};

/// Runs a reader; a panic means that the input is not in the format.
pub(super) fn fenced<T>(format: &'static str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it is damaged");
        Err(IngestError::Unreadable { format, reason: text.to_owned() })
    })
}
