//! How much memory there is.

use std::fs::read_to_string;

/// Bytes of memory that this process may use: the machine's, or what its control group leaves of it (cgroup v2's `memory.max`, the limit of
/// most containers). `None` where the system does not tell.
pub(crate) fn machine_memory() -> Option<u64> {
    let machine = total(&read_to_string("/proc/meminfo").ok()?)?;
    let group = read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse::<u64>().ok());
    Some(group.map_or(machine, |group| group.min(machine)))
}

/// The first figure of `/proc/meminfo`, `MemTotal:       16384000 kB`.
fn total(text: &str) -> Option<u64> {
    let figure = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(figure.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told() {
        assert_eq!(total("MemTotal:       16384000 kB\nMemFree: 1 kB\n"), Some(16_384_000 << 10));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert!(machine_memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
