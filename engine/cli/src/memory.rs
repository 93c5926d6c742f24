//! How much memory there is.

use std::fs::read_to_string;

/// Bytes of memory that this process may use: the machine's, or what its control group leaves of it (cgroup v2's `memory.max`, the limit of
/// most containers). `None` where the system does not tell.
pub(crate) fn machine_memory() -> Option<u64> {
    let machine = kilobytes(&read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
    let group = read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse::<u64>().ok());
    Some(group.map_or(machine, |group| group.min(machine)))
}

/// How long memory that was freed is kept before the system gets it back, in milliseconds.
///
/// All that is free when this is over goes back at once, however long it has been free. A step of a job with much state takes a good part
/// of a second; with less patience its buffers come anew from the system, which clears them: a fifth of the CPU time of such a job.
const PURGE_DELAY: i64 = 2_000;

/// Number 15 of mimalloc's options, `mi_option_purge_delay`, which the crate does not name.
const PURGE_DELAY_OPTION: libmimalloc_sys::mi_option_t = 15;

/// Keeps freed memory for [`PURGE_DELAY`], unless the environment says otherwise (`MIMALLOC_PURGE_DELAY`).
#[expect(unsafe_code, reason = "the allocator's options are set through its C interface alone")]
pub(crate) fn keep_freed() {
    // SAFETY: the option exists (`mi_option_t` has more than 15), takes any number, and may be set at any time.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY_OPTION, PURGE_DELAY) };
}

/// Bytes: the most that this process held at a time since [`forget_peak`]. `None` where the system does not tell.
pub(crate) fn peak() -> Option<u64> {
    kilobytes(&read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Gives freed memory back and lets [`peak`] begin anew with what the process still holds (proc(5), `clear_refs`); where the system cannot,
/// it goes on.
#[expect(unsafe_code, reason = "the allocator is told to through its C interface alone")]
#[expect(clippy::disallowed_methods, reason = "this file is no file on a disk")]
pub(crate) fn forget_peak() {
    // SAFETY: it may be called at any time, by any thread.
    unsafe { libmimalloc_sys::mi_collect(true) };
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The figure of a name in `/proc/meminfo` or `/proc/self/status`, in bytes: `VmHWM:   123456 kB`.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let figure = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(figure.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(unsafe_code, reason = "the allocator's options are read through its C interface alone")]
    fn freed_memory_is_kept() {
        keep_freed();
        // SAFETY: as above.
        let kept = unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY_OPTION) };
        let wanted = std::env::var("MIMALLOC_PURGE_DELAY").ok().and_then(|text| text.parse().ok());
        assert_eq!(kept, wanted.unwrap_or(PURGE_DELAY));
    }

    #[test]
    fn memory_is_told() {
        assert_eq!(
            kilobytes("MemTotal:       16384000 kB\nMemFree: 1 kB\n", "MemTotal:"),
            Some(16_384_000 << 10)
        );
        assert_eq!(kilobytes("MemFree: 1 kB\n", "MemTotal:"), None);
        assert!(peak().is_some_and(|bytes| bytes > 1 << 16));
        assert!(machine_memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
