//! A disk in memory that can lose power, fill up and fail.
//!
//! What it promises is what [`Disk`] promises, and no more: a program that relies on anything else is found out by
//! [`SimDisk::power_loss`]. The modules `names` and `file` say what exactly may survive.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::SimRandom;
use super::names::{NodeId, Tree};
use crate::world::faulty_disk::join;
use crate::world::{Disk, DiskEntry, DiskFile, DiskLock, Errno, Faults, Op, Open};

/// A disk in memory. A clone is another handle of the same disk.
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

struct Shared {
    faults: Faults,
    random: SimRandom,
    state: Mutex<DiskState>,
}

struct DiskState {
    tree: Tree,
    locks: BTreeSet<NodeId>,
    /// Grows with each crash; a handle of an older generation is dead.
    generation: u64,
    capacity: Option<usize>,
}

/// All directories and files of a disk, for tests that compare, damage or restore them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DiskImage {
    /// The directories, the top one included.
    pub dirs: BTreeSet<PathBuf>,
    /// The files and their bytes.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
}

impl SimDisk {
    /// An empty disk. What survives a loss of power is drawn from `random`.
    pub fn new(random: SimRandom) -> Self {
        let state = DiskState { tree: Tree::new(), locks: BTreeSet::new(), generation: 0, capacity: None };
        Self { shared: Arc::new(Shared { faults: Faults::default(), random, state: Mutex::new(state) }) }
    }

    /// The failures to come. A sync that is made to fail marks the pages clean without making them durable.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Limits the bytes that all files together may take; a write beyond writes what fits and fails.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.state.lock().capacity = bytes.map(|bytes| bytes as usize);
    }

    /// The bytes that all files take.
    pub fn used(&self) -> u64 {
        self.shared.state.lock().tree.used() as u64
    }

    /// Cuts the power. Of what was not synced, each page and each change of names survives or not; handles are dead.
    pub fn power_loss(&self) {
        let mut state = self.shared.state.lock();
        state.end_process();
        state.tree.power_loss(&self.shared.random);
    }

    /// Ends the process. What was written stays, synced or not; handles are dead.
    pub fn process_crash(&self) {
        let mut state = self.shared.state.lock();
        state.end_process();
        state.tree.process_crash(&self.shared.random);
    }

    /// What a reader sees.
    pub fn image(&self) -> DiskImage {
        self.take_image(false)
    }

    /// What would be left if nothing unsynced survived.
    pub fn durable_image(&self) -> DiskImage {
        self.take_image(true)
    }

    fn take_image(&self, durable: bool) -> DiskImage {
        let mut image = DiskImage::default();
        self.shared.state.lock().tree.walk(durable, &mut |path, file| match file {
            Some(file) => {
                let bytes = if durable { file.durable_bytes() } else { file.bytes() };
                image.files.insert(path, bytes.to_vec());
            }
            None => {
                image.dirs.insert(path);
            }
        });
        image
    }

    /// Puts an image in the place of everything, all of it durable. Handles are dead.
    pub fn restore(&self, image: &DiskImage) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        state.end_process();
        let mut tree = Tree::new();
        for dir in &image.dirs {
            tree.create_dir(dir)?;
        }
        for (path, bytes) in &image.files {
            let file = tree.create(path)?;
            tree.image(file).write(bytes, 0);
        }
        tree.settle();
        state.tree = tree;
        Ok(())
    }

    /// Flips the bits of `xor` in one byte of a file, durably and behind everybody's back.
    pub fn corrupt(&self, path: &Path, at: u64, xor: u8) -> io::Result<()> {
        self.damage(path, |bytes| match bytes.get_mut(at as usize) {
            Some(byte) => {
                *byte ^= xor;
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        })
    }

    /// Cuts a file, durably and behind everybody's back.
    pub fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.damage(path, |bytes| {
            bytes.truncate(len as usize);
            Ok(())
        })
    }

    fn damage(&self, path: &Path, how: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        let file = state.tree.file(path)?;
        let image = state.tree.image(file);
        let mut bytes = image.bytes().to_vec();
        how(&mut bytes)?;
        *image = super::file::FileImage::durable(bytes);
        Ok(())
    }

    fn check(&self, op: Op, path: &Path) -> io::Result<()> {
        self.shared.faults.check(op, &path.to_string_lossy())
    }
}

impl DiskState {
    fn end_process(&mut self) {
        self.generation += 1;
        self.locks.clear();
    }

    /// How many of `wanted` more bytes fit.
    fn room(&self, wanted: usize) -> usize {
        self.capacity.map_or(wanted, |capacity| wanted.min(capacity.saturating_sub(self.tree.used())))
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        self.check(if how == Open::Create { Op::Create } else { Op::Open }, path)?;
        let mut state = self.shared.state.lock();
        let file = match how {
            Open::Read | Open::Write => state.tree.file(path)?,
            Open::Create => state.tree.create(path)?,
        };
        state.tree.opened(file);
        Ok(Arc::new(SimFile {
            shared: Arc::clone(&self.shared),
            file,
            path: path.to_string_lossy().into_owned(),
            writable: how != Open::Read,
            generation: state.generation,
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        self.check(Op::List, dir)?;
        let names = self.shared.state.lock().tree.list(dir)?;
        Ok(names.into_iter().map(|(name, is_dir)| DiskEntry { name, is_dir }).collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.check(Op::CreateDir, dir)?;
        self.shared.state.lock().tree.create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Op::Rename, from)?;
        self.shared.state.lock().tree.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Op::Rename, from)?;
        self.shared.state.lock().tree.rename_new(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check(Op::Remove, path)?;
        self.shared.state.lock().tree.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.check(Op::SyncDir, dir)?;
        self.shared.state.lock().tree.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        self.check(Op::Lock, path)?;
        let mut state = self.shared.state.lock();
        let file = match state.tree.file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => state.tree.create(path)?,
            found => found?,
        };
        if !state.locks.insert(file) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(DiskLock::new(SimLock { shared: Arc::clone(&self.shared), file, generation: state.generation }))
    }
}

struct SimLock {
    shared: Arc<Shared>,
    file: NodeId,
    generation: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if state.generation == self.generation {
            state.locks.remove(&self.file);
        }
    }
}

struct SimFile {
    shared: Arc<Shared>,
    file: NodeId,
    path: String,
    writable: bool,
    generation: u64,
}

impl SimFile {
    /// Runs `with` on the disk, unless it has crashed since the file was opened.
    fn with<T>(&self, with: impl FnOnce(&mut DiskState) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.shared.state.lock();
        if state.generation != self.generation {
            return Err(io::Error::other(format!(
                "{}: opened before a crash, so the handle is dead",
                self.path
            )));
        }
        with(&mut state)
    }

    fn write(&self, bytes: &[u8], at: usize) -> io::Result<()> {
        if !self.writable {
            return Err(rustix::io::Errno::BADF.into());
        }
        self.with(|state| {
            let len = state.tree.image(self.file).bytes().len();
            let grows = (at + bytes.len()).saturating_sub(len);
            let short = grows - state.room(grows);
            let fits = bytes.len().saturating_sub(short);
            state.tree.image(self.file).write(&bytes[..fits], at);
            if short == 0 { Ok(()) } else { Err(Errno::NoSpace.into()) }
        })
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if state.generation == self.generation {
            state.tree.closed(self.file);
        }
    }
}

impl DiskFile for SimFile {
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.shared.faults.check(Op::Read, &self.path)?;
        self.with(|state| {
            let bytes = state.tree.image(self.file).bytes();
            let start = at as usize;
            match bytes.get(start..start.saturating_add(buffer.len())) {
                Some(found) => {
                    buffer.copy_from_slice(found);
                    Ok(())
                }
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        })
    }

    fn write_all_at(&self, slices: &mut [IoSlice<'_>], at: u64) -> io::Result<()> {
        let bytes = join(slices);
        match self.shared.faults.strike(Op::Write, &self.path) {
            None => self.write(&bytes, at as usize),
            Some(failure) => {
                self.write(&bytes[..failure.written.min(bytes.len())], at as usize)?;
                Err(failure.errno.into())
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        let failure = self.shared.faults.strike(Op::Sync, &self.path);
        self.with(|state| {
            let image = state.tree.image(self.file);
            match failure {
                None => {
                    image.sync();
                    Ok(())
                }
                Some(failure) => {
                    image.fail_sync();
                    Err(failure.errno.into())
                }
            }
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.shared.faults.check(Op::SetLen, &self.path)?;
        if !self.writable {
            return Err(rustix::io::Errno::INVAL.into());
        }
        self.with(|state| {
            let len = len as usize;
            let grows = len.saturating_sub(state.tree.image(self.file).bytes().len());
            if state.room(grows) < grows {
                return Err(Errno::NoSpace.into());
            }
            state.tree.image(self.file).set_len(len);
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.shared.faults.check(Op::Len, &self.path)?;
        self.with(|state| Ok(state.tree.image(self.file).bytes().len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::world::{Fault, Random};

    fn disk(seed: u64) -> SimDisk {
        SimDisk::new(SimRandom::new(seed))
    }

    fn put(disk: &SimDisk, path: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
        let file = disk.open(path.as_ref(), Open::Create).unwrap();
        file.write_all_at(&mut [IoSlice::new(bytes)], 0).unwrap();
        file
    }

    fn get(disk: &SimDisk, path: &str) -> Vec<u8> {
        disk.image().files[Path::new(path)].clone()
    }

    /// The names in the top directory after a loss of power, over many seeds.
    fn names_left(make: impl Fn(&SimDisk)) -> BTreeSet<Vec<String>> {
        let left = |seed| {
            let disk = disk(seed);
            make(&disk);
            disk.power_loss();
            disk.list("/".as_ref()).unwrap().into_iter().map(|entry| entry.name).collect()
        };
        (0..100).map(left).collect()
    }

    #[test]
    fn it_is_a_disk() {
        let disk = disk(0);
        let root = Path::new("/");
        let kind = |result: io::Result<Arc<dyn DiskFile>>| result.err().map(|error| error.kind());
        assert_eq!(kind(disk.open("/no/dir".as_ref(), Open::Create)), Some(io::ErrorKind::NotFound));
        disk.create_dir("/d/e".as_ref()).unwrap();
        disk.create_dir("/d/e".as_ref()).unwrap();
        assert_eq!(kind(disk.open("/d/a".as_ref(), Open::Write)), Some(io::ErrorKind::NotFound));
        let file = put(&disk, "/d/a", b"0123456789");
        assert_eq!(kind(disk.open("d/a".as_ref(), Open::Create)), Some(io::ErrorKind::AlreadyExists));
        let mut some = [0; 3];
        file.read_exact_at(&mut some, 7).unwrap();
        assert_eq!(&some, b"789");
        assert_eq!(file.read_exact_at(&mut some, 8).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(disk.open("/d/a".as_ref(), Open::Read).unwrap().set_len(0).is_err());
        disk.rename("/d/a".as_ref(), "/d/e/b".as_ref()).unwrap();
        let names = |dir: &str| disk.list(dir.as_ref()).unwrap().into_iter().map(|e| (e.name, e.is_dir));
        assert_eq!(names("/d").collect::<Vec<_>>(), [("e".to_owned(), true)]);
        assert_eq!(names("/d/e").collect::<Vec<_>>(), [("b".to_owned(), false)]);
        disk.remove("/d/e/b".as_ref()).unwrap();
        assert_eq!(file.len().unwrap(), 10, "an open file outlives its name");
        assert_eq!(disk.used(), 10);
        drop(file);
        assert_eq!(disk.used(), 0);
        assert!(disk.list(root.join("x").as_path()).is_err());
    }

    #[test]
    fn a_lock_is_exclusive_until_dropped_or_the_process_ends() {
        let disk = disk(0);
        let path = Path::new("/lock");
        let held = disk.lock(path).unwrap();
        assert_eq!(disk.lock(path).err().map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
        drop(held);
        let held = disk.lock(path).unwrap();
        disk.process_crash();
        let again = disk.lock(path).unwrap();
        drop(held);
        assert!(disk.lock(path).is_err(), "a dead lock frees nothing when dropped");
        drop(again);
        assert!(disk.lock(path).is_ok());
    }

    #[test]
    fn a_name_survives_for_certain_only_after_sync_dir() {
        let unsynced = names_left(|disk| {
            put(disk, "/a", b"").sync().unwrap();
            put(disk, "/b", b"").sync().unwrap();
        });
        let sets = |sets: &[&[&str]]| -> BTreeSet<Vec<String>> {
            sets.iter().map(|set| set.iter().map(|&name| name.to_owned()).collect()).collect()
        };
        assert_eq!(unsynced, sets(&[&[], &["a"], &["b"], &["a", "b"]]));
        let synced = names_left(|disk| {
            put(disk, "/a", b"");
            disk.sync_dir("/".as_ref()).unwrap();
            put(disk, "/b", b"");
            disk.remove("/a".as_ref()).unwrap();
            disk.rename("/b".as_ref(), "/c".as_ref()).unwrap();
            disk.sync_dir("/".as_ref()).unwrap();
        });
        assert_eq!(synced, sets(&[&["c"]]));
    }

    #[test]
    fn a_rename_survives_whole_or_not_at_all() {
        let left: BTreeSet<Vec<u8>> = (0..100)
            .map(|seed| {
                let disk = disk(seed);
                put(&disk, "/old", b"old").sync().unwrap();
                put(&disk, "/new", b"new").sync().unwrap();
                disk.sync_dir("/".as_ref()).unwrap();
                disk.rename("/new".as_ref(), "/old".as_ref()).unwrap();
                disk.power_loss();
                let renamed = !disk.image().files.contains_key(Path::new("/new"));
                assert_eq!(get(&disk, "/old"), if renamed { b"new" } else { b"old" });
                get(&disk, "/old")
            })
            .collect();
        assert_eq!(left.len(), 2);
    }

    #[test]
    fn syncing_one_directory_never_brings_back_what_moved_out_of_another() {
        let disk = disk(0);
        disk.create_dir("/a".as_ref()).unwrap();
        disk.create_dir("/b".as_ref()).unwrap();
        put(&disk, "/a/x", b"x");
        disk.rename("/a/x".as_ref(), "/b/x".as_ref()).unwrap();
        for dir in ["/b", "/a", "/"] {
            disk.sync_dir(dir.as_ref()).unwrap();
        }
        let files: Vec<_> = disk.durable_image().files.into_keys().collect();
        assert_eq!(files, [Path::new("/b/x")]);
    }

    #[test]
    fn a_crash_of_the_process_loses_no_byte_and_kills_handles() {
        let disk = disk(0);
        let file = put(&disk, "/a", b"kept");
        disk.process_crash();
        assert!(file.sync().is_err() && file.len().is_err() && file.read_exact_at(&mut [0], 0).is_err());
        assert_eq!(get(&disk, "/a"), b"kept");
        assert_eq!(disk.durable_image().files.len(), 0, "it is still not durable");
    }

    #[test]
    fn a_full_disk_takes_what_fits_and_more_after_a_removal() {
        let disk = disk(0);
        disk.set_capacity(Some(10));
        let file = put(&disk, "/a", b"0123456");
        let error = file.write_all_at(&mut [IoSlice::new(b"789abc")], 7).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(get(&disk, "/a"), b"0123456789");
        file.write_all_at(&mut [IoSlice::new(b"xx")], 0).unwrap();
        file.set_len(4).unwrap();
        file.write_all_at(&mut [IoSlice::new(b"456789")], 4).unwrap();
        assert!(file.set_len(11).is_err());
        disk.remove("/a".as_ref()).unwrap();
        drop(file);
        put(&disk, "/b", b"0123456789");
    }

    #[test]
    fn faults_strike_and_a_failed_sync_leaves_pages_that_no_later_sync_writes() {
        let disk = disk(0);
        let file = put(&disk, "/a", b"lost");
        disk.sync_dir("/".as_ref()).unwrap();
        disk.faults().add(Fault::new(&[Op::Sync], Errno::Io));
        assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(5));
        file.sync().unwrap();
        assert_eq!(get(&disk, "/a"), b"lost");
        assert_eq!(disk.durable_image().files[Path::new("/a")], [0; 4]);
        disk.faults().add(Fault::new(&[Op::Write], Errno::NoSpace).after_bytes(2));
        assert!(file.write_all_at(&mut [IoSlice::new(b"wri"), IoSlice::new(b"tten")], 0).is_err());
        assert_eq!(get(&disk, "/a"), b"wrst");
    }

    #[test]
    fn an_image_can_be_damaged_and_restored() {
        let disk = disk(0);
        disk.create_dir("/empty".as_ref()).unwrap();
        put(&disk, "/a", b"0123");
        let image = disk.image();
        disk.corrupt("/a".as_ref(), 1, 0x80).unwrap();
        assert_eq!(get(&disk, "/a"), [b'0', b'1' ^ 0x80, b'2', b'3']);
        assert!(disk.corrupt("/a".as_ref(), 4, 1).is_err());
        disk.truncate("/a".as_ref(), 2).unwrap();
        assert_eq!(get(&disk, "/a").len(), 2);
        disk.restore(&image).unwrap();
        assert_eq!(disk.image(), image);
        assert_eq!(disk.durable_image(), image);
    }

    /// Random operations, a few crashes among them; what is left.
    fn random_life(seed: u64) -> DiskImage {
        let disk = disk(seed);
        let random = SimRandom::new(seed).fork("operations");
        let path = |n: u64| PathBuf::from(format!("/d{}/f{}", n % 2, n / 2));
        disk.create_dir("/d0".as_ref()).unwrap();
        disk.create_dir("/d1".as_ref()).unwrap();
        disk.sync_dir("/".as_ref()).unwrap();
        for _ in 0..300 {
            let (one, two) = (path(random.below(8)), path(random.below(8)));
            match random.below(24) {
                0 => disk.power_loss(),
                1 => disk.process_crash(),
                2..5 => drop(disk.open(&one, Open::Create)),
                5 => drop(disk.rename(&one, &two)),
                6 => drop(disk.remove(&one)),
                7..10 => disk.sync_dir(one.parent().unwrap()).unwrap(),
                10 => disk.faults().add(Fault::new(&[Op::Sync], Errno::Io)),
                op => {
                    let Ok(file) = disk.open(&one, Open::Write) else { continue };
                    match op {
                        11..14 => drop(file.sync()),
                        14 => file.set_len(random.below(20_000)).unwrap(),
                        _ => {
                            let bytes = vec![random.next() as u8; random.index(9_000)];
                            file.write_all_at(&mut [IoSlice::new(&bytes)], random.below(12_000)).unwrap();
                        }
                    }
                }
            }
        }
        disk.power_loss();
        assert_eq!(disk.image(), disk.durable_image());
        disk.image()
    }

    #[test]
    fn the_same_seed_twice_gives_the_same_bytes() {
        for seed in 0..20 {
            assert_eq!(random_life(seed), random_life(seed));
        }
        assert_ne!(random_life(1), random_life(2));
    }
}
