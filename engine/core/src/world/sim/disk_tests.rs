//! Tests of the simulated disk.

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
