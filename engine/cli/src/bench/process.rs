//! What the system tells of this process.

use anyhow::{Context, Result, bail};

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
