//! What the system tells of this process.

use anyhow::{Context, Result, bail};

/// The size of a page, as Linux has it wherever its pages are not set larger.
const PAGE: u64 = 4096;

/// The CPU time of this process so far, all threads together.
pub(super) fn cpu_seconds() -> Result<f64> {
    // Linux counts in hundredths of a second there, whatever the kernel's own clock is.
    let text =
        std::fs::read_to_string("/proc/self/stat").context("CPU time is told by /proc, as Linux has it")?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |nth: usize| fields.get(nth).and_then(|field| field.parse::<f64>().ok());
    let (Some(user), Some(system)) = (ticks(11), ticks(12)) else {
        bail!("/proc/self/stat has another form")
    };
    Ok((user + system) / 100.0)
}

/// The memory that this process has now.
pub(super) fn resident_bytes() -> Result<u64> {
    let text =
        std::fs::read_to_string("/proc/self/statm").context("memory is told by /proc, as Linux has it")?;
    match text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()) {
        Some(pages) => Ok(pages * PAGE),
        None => bail!("/proc/self/statm has another form"),
    }
}
