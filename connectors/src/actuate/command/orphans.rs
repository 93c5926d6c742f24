//! Workers that a former life of this process has left behind, as `/proc` tells of them (proc(5)). Elsewhere none are found.

use std::fs;

use super::worker::{SLOT, TOKEN};

/// A process that is not a child of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orphan {
    pub(super) pid: i32,
    pub(super) slot: u32,
    /// When it was started, in clock ticks since the machine was: with this, a process is told from a later one of its number.
    started: u64,
}

/// The workers of a token, ordered by slot and age. Only those that lead a process group are: what a worker has started has its
/// environment, too.
pub(super) fn find(token: &str) -> Vec<Orphan> {
    if token.is_empty() {
        return Vec::new();
    }
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|process| process.file_name().to_str()?.parse::<i32>().ok());
    let mut found: Vec<Orphan> = pids.filter_map(|pid| worker(pid, token)).collect();
    found.sort_by_key(|orphan| (orphan.slot, orphan.started, orphan.pid));
    found
}

/// Whether it is still there, and the same.
pub(super) fn is_alive(orphan: &Orphan) -> bool {
    stat(orphan.pid).is_some_and(|stat| stat.started == orphan.started)
}

fn worker(pid: i32, token: &str) -> Option<Orphan> {
    // A process of somebody else's cannot be read, which is as well.
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = |name: &str| {
        let mut variables =
            environment.split(|byte| *byte == 0).filter_map(|one| std::str::from_utf8(one).ok());
        variables.find_map(|one| one.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    if value(TOKEN).as_deref() != Some(token) {
        return None;
    }
    let stat = stat(pid).filter(|stat| stat.group == pid)?;
    Some(Orphan { pid, slot: value(SLOT)?.parse().ok()?, started: stat.started })
}

struct Stat {
    group: i32,
    started: u64,
}

/// What is of interest of `/proc/PID/stat`; none of a process that has ended and is not waited for.
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold anything.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let is_there = !matches!(*fields.first()?, "Z" | "X" | "x");
    // Fields are counted from 1, and the first of these is the third.
    let field = |nth: usize| fields.get(nth - 3).copied();
    is_there.then_some(Stat { group: field(5)?.parse().ok()?, started: field(22)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_found_by_its_token_as_long_as_it_lives() {
        use std::os::unix::process::CommandExt as _;
        let token = format!("a-token-of-{}", std::process::id());
        let mut child = Command::new("/bin/sh")
            // What the shell starts has the same environment, and is no worker.
            .args(["-c", "sleep 60 & wait"])
            .env(TOKEN, &token)
            .env(SLOT, "3")
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let pid = child.id().cast_signed();
        let found = find(&token);
        assert_eq!(found.iter().map(|orphan| (orphan.pid, orphan.slot)).collect::<Vec<_>>(), [(pid, 3)]);
        assert!(is_alive(&found[0]));
        assert!(
            !is_alive(&Orphan { started: found[0].started + 1, ..found[0] }),
            "a later one of the number"
        );
        let group = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(find(&token).is_empty() && !is_alive(&found[0]));
        assert!(find("").is_empty());
    }
}
