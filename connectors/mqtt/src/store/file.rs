//! The file of changes: appended to frame by frame, and written anew when most of it is out of force.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_core::World;
use headwater_core::world::{DiskFile, Open};

use super::{Change, Entries};

const MAGIC: &[u8; 8] = b"HWMQTT\0\x01";

/// The length and the checksum of a frame.
const HEAD_BYTES: usize = 8;

/// About how many bytes of changes a frame has at most.
const FRAME_BYTES: usize = 4 << 20;

/// A file is not written anew before it has so many bytes.
const BYTES_MIN: u64 = 64 << 20;

/// How many times larger than what is in force a file may become.
const GROWTH: u64 = 4;

/// Keeps changes on a disk.
pub struct Store {
    world: World,
    dir: PathBuf,
    file: Arc<dyn DiskFile>,
    length: u64,
    /// At which length the file is written anew.
    renew_at: u64,
}

impl Store {
    /// Opens a directory's store, or makes one; answers what is in force, too.
    pub fn open(world: &World, dir: &Path) -> io::Result<(Self, Entries)> {
        world.disk.create_dir(dir)?;
        let entries = match world.disk.open(&path(dir), Open::Read) {
            Ok(file) => read(&*file)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path(dir).display())))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Entries::new(),
            Err(error) => return Err(error),
        };
        let (file, length) = renew(world, dir, &entries)?;
        let renew_at = BYTES_MIN.max(GROWTH * length);
        Ok((Self { world: world.clone(), dir: dir.to_owned(), file, length, renew_at }, entries))
    }

    /// Appends changes; they are durable when this returns. After an error nothing more may be appended.
    pub fn append(&mut self, changes: &[Change]) -> io::Result<()> {
        let frames = frames(changes);
        self.file.write_all_at(&mut [IoSlice::new(&frames)], self.length)?;
        self.file.sync()?;
        self.length += frames.len() as u64;
        if self.length >= self.renew_at {
            let entries = read(&*self.file)?;
            (self.file, self.length) = renew(&self.world, &self.dir, &entries)?;
            self.renew_at = BYTES_MIN.max(GROWTH * self.length);
        }
        Ok(())
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("sessions")
}

/// Writes a file of what is in force and puts it in the old one's place.
fn renew(world: &World, dir: &Path, entries: &Entries) -> io::Result<(Arc<dyn DiskFile>, u64)> {
    let new = dir.join("sessions.new");
    match world.disk.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = world.disk.open(&new, Open::Create)?;
    let puts: Vec<Change> =
        entries.iter().map(|(key, value)| Change::Put(key.clone(), value.clone())).collect();
    let frames = frames(&puts);
    file.write_all_at(&mut [IoSlice::new(MAGIC), IoSlice::new(&frames)], 0)?;
    file.sync()?;
    world.disk.rename(&new, &path(dir))?;
    world.disk.sync_dir(dir)?;
    Ok((file, (MAGIC.len() + frames.len()) as u64))
}

fn frames(changes: &[Change]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut start = None;
    for change in changes {
        let begin = *start.get_or_insert_with(|| {
            out.extend_from_slice(&[0; HEAD_BYTES]);
            out.len()
        });
        change.write(&mut out);
        if out.len() - begin >= FRAME_BYTES {
            finish(&mut out, begin);
            start = None;
        }
    }
    if let Some(begin) = start {
        finish(&mut out, begin);
    }
    out
}

/// Fills in the head of the frame whose changes begin at `begin`.
fn finish(out: &mut [u8], begin: usize) {
    let (head, body) = out.split_at_mut(begin);
    let head = &mut head[begin - HEAD_BYTES..];
    head[..4].copy_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    head[4..].copy_from_slice(&crc_fast::crc32_iscsi(body).to_le_bytes());
}

/// What the frames of a file leave in force.
fn read(file: &dyn DiskFile) -> io::Result<Entries> {
    let damaged = |what: &str, at: usize| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{what} at byte {at}; put the file aside to go on without"),
        )
    };
    let length = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    let bytes = file.read_vec_at(length, 0)?;
    let mut entries = Entries::new();
    // A file is renamed to its name when all of its beginning is there.
    if !bytes.starts_with(MAGIC) {
        return Err(damaged("this is no store of MQTT sessions", 0));
    }
    let mut at = MAGIC.len();
    while at < bytes.len() {
        let Some(mut body) = frame(&bytes, at) else {
            // What was cut short is the last thing that was written.
            let next =
                bytes.get(at..at + 4).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes);
            let next = next.map(|length| at.saturating_add(HEAD_BYTES).saturating_add(length as usize));
            if next.is_some_and(|next| frame(&bytes, next).is_some()) {
                return Err(damaged("a frame is damaged", at));
            }
            break;
        };
        at += HEAD_BYTES + body.len();
        while !body.is_empty() {
            let change = Change::read(&mut body).ok_or_else(|| damaged("a change cannot be read", at))?;
            change.apply(&mut entries);
        }
    }
    Ok(entries)
}

/// The changes of the frame that begins at `at`, if it is whole.
fn frame(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let head = bytes.get(at..)?.get(..HEAD_BYTES)?;
    let length = usize::try_from(u32::from_le_bytes(head[..4].try_into().ok()?)).ok()?;
    let body = bytes.get(at + HEAD_BYTES..)?.get(..length)?;
    let is_whole = !body.is_empty() && crc_fast::crc32_iscsi(body).to_le_bytes() == head[4..];
    is_whole.then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Change {
        Change::Put(key.into(), value.into())
    }

    fn shown(entries: &Entries) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        entries.iter().map(|(key, value)| (text(key), text(value))).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_was_appended_is_in_force_when_opened_again() {
        let (world, dir) = (World::real(), tempfile::tempdir().unwrap());
        let (mut store, entries) = Store::open(&world, dir.path()).unwrap();
        assert!(entries.is_empty());
        store.append(&[put("a1", "x"), put("a2", "y"), put("b", "z")]).unwrap();
        store.append(&[Change::Remove(b"b".to_vec()), put("a2", "w")]).unwrap();
        let (mut store, entries) = Store::open(&world, dir.path()).unwrap();
        assert_eq!(shown(&entries), pairs(&[("a1", "x"), ("a2", "w")]));
        store.append(&[Change::RemoveAll(b"a".to_vec()), put("c", &"long ".repeat(2_000_000))]).unwrap();
        let (_, entries) = Store::open(&world, dir.path()).unwrap();
        assert_eq!(entries.keys().collect::<Vec<_>>(), [b"c"]);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test damages the file itself")]
    fn a_torn_end_is_cut_off_and_damage_before_it_is_not_passed_over() {
        let (world, dir) = (World::real(), tempfile::tempdir().unwrap());
        let file = path(dir.path());
        let (mut store, _) = Store::open(&world, dir.path()).unwrap();
        store.append(&[put("a", "1")]).unwrap();
        let whole = std::fs::read(&file).unwrap();
        store.append(&[put("b", "2")]).unwrap();
        let both = std::fs::read(&file).unwrap();
        for length in whole.len()..both.len() {
            std::fs::write(&file, &both[..length]).unwrap();
            let (_, entries) = Store::open(&world, dir.path()).unwrap();
            assert_eq!(shown(&entries), pairs(&[("a", "1")]), "cut at {length}");
        }
        let mut damaged = both.clone();
        damaged[whole.len() - 1] ^= 1;
        std::fs::write(&file, &damaged).unwrap();
        let error = Store::open(&world, dir.path()).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("damaged at byte 8"), "{error}");
        std::fs::write(&file, b"something else").unwrap();
        assert!(Store::open(&world, dir.path()).is_err());
    }
}
