//! Which operation of a disk fails, when, and how.
//!
//! A test says it in one line: `faults.add(Fault::new(&[Op::Write], Errno::NoSpace).nth(3).for_good())`. The plan is
//! consulted by [`SimDisk`](super::sim::SimDisk) and, on top of any other disk, by [`FaultyDisk`](super::FaultyDisk).

use std::io;

use parking_lot::Mutex;

/// A kind of operation on a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "they are the methods of Disk and DiskFile")]
pub enum Op {
    Open,
    Create,
    List,
    CreateDir,
    Rename,
    Remove,
    SyncDir,
    Lock,
    Read,
    Write,
    Sync,
    SetLen,
    Len,
}

impl Op {
    /// Every operation that changes something or makes it durable.
    pub const CHANGES: &'static [Self] = &[
        Self::Create,
        Self::CreateDir,
        Self::Rename,
        Self::Remove,
        Self::SyncDir,
        Self::Write,
        Self::Sync,
        Self::SetLen,
    ];
}

/// What the system says about a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Errno {
    /// ENOSPC: no space left on the device.
    NoSpace,
    /// EIO: the device failed.
    Io,
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NoSpace => rustix::io::Errno::NOSPC.into(),
            Errno::Io => rustix::io::Errno::IO.into(),
        }
    }
}

/// A failure to come.
#[derive(Clone, Debug)]
pub struct Fault {
    ops: &'static [Op],
    errno: Errno,
    pass: u64,
    for_good: bool,
    written: usize,
    path: Option<String>,
}

impl Fault {
    /// The next operation of one of these kinds fails, once.
    pub fn new(ops: &'static [Op], errno: Errno) -> Self {
        Self { ops, errno, pass: 0, for_good: false, written: 0, path: None }
    }

    /// Not the next one but the one after `pass` others, counted from when the fault is added.
    pub fn nth(self, pass: u64) -> Self {
        Self { pass, ..self }
    }

    /// All later ones fail too.
    pub fn for_good(self) -> Self {
        Self { for_good: true, ..self }
    }

    /// A write that fails has written this many of its bytes before.
    pub fn after_bytes(self, written: usize) -> Self {
        Self { written, ..self }
    }

    /// Only operations on paths that contain this text count.
    pub fn on(self, path: &str) -> Self {
        Self { path: Some(path.to_owned()), ..self }
    }

    fn concerns(&self, op: Op, path: &str) -> bool {
        self.ops.contains(&op) && self.path.as_ref().is_none_or(|part| path.contains(part.as_str()))
    }
}

/// How one operation fails.
#[derive(Debug)]
pub(super) struct Failure {
    /// What to answer.
    pub(super) errno: Errno,
    /// How many bytes of a write are written all the same.
    pub(super) written: usize,
}

/// The failures to come, and how many operations there were.
#[derive(Default)]
pub struct Faults {
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    faults: Vec<Fault>,
    ops: u64,
    changes: u64,
    struck: u64,
}

impl Faults {
    /// Adds a failure to come.
    pub fn add(&self, fault: Fault) {
        self.plan.lock().faults.push(fault);
    }

    /// Forgets all failures to come.
    pub fn clear(&self) {
        self.plan.lock().faults.clear();
    }

    /// How many operations there were, failed ones included.
    pub fn ops(&self) -> u64 {
        self.plan.lock().ops
    }

    /// How many of them were [`Op::CHANGES`]: what a test counts that lets each one fail in turn.
    pub fn changes(&self) -> u64 {
        self.plan.lock().changes
    }

    /// How many were made to fail.
    pub fn struck(&self) -> u64 {
        self.plan.lock().struck
    }

    /// Counts an operation and says whether it is to fail.
    pub(super) fn strike(&self, op: Op, path: &str) -> Option<Failure> {
        let mut plan = self.plan.lock();
        plan.ops += 1;
        plan.changes += u64::from(Op::CHANGES.contains(&op));
        let mut hit = None;
        for (index, fault) in plan.faults.iter_mut().enumerate() {
            if !fault.concerns(op, path) {
                continue;
            }
            if fault.pass > 0 {
                fault.pass -= 1;
            } else if hit.is_none() {
                hit = Some((index, Failure { errno: fault.errno, written: fault.written }));
            }
        }
        let (index, failure) = hit?;
        plan.struck += 1;
        if !plan.faults[index].for_good {
            plan.faults.remove(index);
        }
        Some(failure)
    }

    /// [`Faults::strike`] for what fails as a whole.
    pub(super) fn check(&self, op: Op, path: &str) -> io::Result<()> {
        self.strike(op, path).map_or(Ok(()), |failure| Err(failure.errno.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of ten writes to "a/1" fail, reads of "b" in between.
    fn failing(fault: Fault) -> Vec<usize> {
        let faults = Faults::default();
        faults.add(fault);
        let failed = (0..10).filter(|_| {
            assert!(faults.check(Op::Read, "b").is_ok());
            faults.check(Op::Write, "a/1").is_err()
        });
        let failed = failed.collect();
        assert_eq!((faults.ops(), faults.changes()), (20, 10));
        failed
    }

    #[test]
    fn a_fault_strikes_what_it_names_and_nothing_else() {
        let write = || Fault::new(&[Op::Write], Errno::Io);
        assert_eq!(failing(write()), [0]);
        assert_eq!(failing(write().nth(3)), [3]);
        assert_eq!(failing(write().nth(8).for_good()), [8, 9]);
        assert_eq!(failing(write().on("a/").nth(1)), [1]);
        assert_eq!(failing(write().on("c")), [0; 0]);
        assert_eq!(failing(Fault::new(&[Op::Sync], Errno::Io)), [0; 0]);
        assert_eq!(failing(Fault::new(Op::CHANGES, Errno::NoSpace).nth(9)), [9]);
    }

    #[test]
    fn errors_look_like_the_systems() {
        assert_eq!(io::Error::from(Errno::NoSpace).kind(), io::ErrorKind::StorageFull);
        assert_eq!(io::Error::from(Errno::Io).raw_os_error(), Some(5));
    }

    #[test]
    fn cleared_faults_do_not_strike() {
        let faults = Faults::default();
        faults.add(Fault::new(&[Op::Sync], Errno::Io).for_good());
        assert!(faults.check(Op::Sync, "a").is_err());
        faults.clear();
        assert!(faults.check(Op::Sync, "a").is_ok());
        assert_eq!(faults.struck(), 1);
    }
}
