//! Files that get their names together.
//!
//! ```text
//! .STREAM-ID-SHARD-NEXT.manifest     hidden name, tab, path under which it is to be; a line for each file
//!                                    @, nanoseconds since 1970, tab, folder; a line for each partition that waits to be committed
//! ```
//!
//! The files are written under hidden names and synced, then the manifest is, under another name, and renamed: from then on the files are
//! there. They get their names at once, or when the sink is opened the next time, whichever is possible; a file that has its name is left
//! as it is. The newest manifest of a shard stays, and says how far the shard is.
//!
//! Which partitions wait to be committed ([`super::commit`]), and since when, is in the manifest that gives their files names, and in each
//! later one until they are. So one whose files are there is not forgotten; one that was committed meanwhile is committed again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::Path;

use headwater_core::world::{Disk, Open};
use headwater_core::{EventTime, Sequence, ShardId};

/// How the line of a partition begins; a hidden name begins with a dot.
const WAITING: char = '@';

const EXTENSION: &str = ".manifest";

/// What one says.
pub(super) struct Manifest {
    /// The hidden name of each file, and its path, both within the sink's folder.
    pub(super) files: Vec<(String, String)>,
    /// The partitions of all shards that wait to be committed, and since when.
    pub(super) waiting: Vec<(String, EventTime)>,
    /// The shard's next row behind what is in the files.
    pub(super) next: Sequence,
}

/// Whether a name is that of a manifest.
pub(super) fn is_one(name: &str) -> bool {
    name.ends_with(EXTENSION)
}

impl Manifest {
    fn name(&self, stem: &str, shard: ShardId) -> String {
        format!(".{stem}{:05}-{:020}{EXTENSION}", shard.0, self.next.0)
    }

    /// Writes it down, and does what it says. `before`: the shard's last one, which is of no use any more.
    pub(super) fn carry_out(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        stem: &str,
        shard: ShardId,
        before: Option<&Self>,
    ) -> io::Result<()> {
        let name = self.name(stem, shard);
        let draft = dir.join(format!("{name}.draft"));
        let file = match disk.open(&draft, Open::Create) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.open(&draft, Open::Write).and_then(|file| file.set_len(0).map(|()| file))
            }
            opened => opened,
        }?;
        let files = self.files.iter().map(|(hidden, path)| format!("{hidden}\t{path}\n"));
        let waiting = self.waiting.iter().map(|(folder, since)| format!("{WAITING}{}\t{folder}\n", since.0));
        let text: String = files.chain(waiting).collect();
        file.write_all_at(&mut [IoSlice::new(text.as_bytes())], 0)?;
        file.sync()?;
        // Their hidden names must last when the manifest does.
        disk.sync_dir(dir)?;
        disk.rename(&draft, &dir.join(&name))?;
        disk.sync_dir(dir)?;
        self.name_files(disk, dir)?;
        if let Some(before) = before.filter(|before| before.next != self.next) {
            disk.remove(&dir.join(before.name(stem, shard)))?;
        }
        Ok(())
    }

    /// Gives the files their names that have them not yet.
    fn name_files(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let (mut folders, mut above) = (BTreeSet::new(), BTreeSet::new());
        for (_, path) in &self.files {
            let path = dir.join(path);
            let folder = path.parent().unwrap_or(dir);
            if folders.insert(folder.to_owned()) {
                disk.create_dir(folder)?;
                let within = folder.ancestors().skip(1).take_while(|above| above.starts_with(dir));
                above.extend(within.map(Path::to_owned));
            }
        }
        // A file in a folder whose own name is lost is lost, too, and its hidden name is gone by then.
        above.iter().try_for_each(|folder| disk.sync_dir(folder))?;
        for (hidden, path) in &self.files {
            match disk.rename(&dir.join(hidden), &dir.join(path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        folders.iter().try_for_each(|folder| disk.sync_dir(folder))?;
        disk.sync_dir(dir)
    }
}

/// Finds the manifests of a sink, does what they say, and leaves the newest of each shard.
pub(super) fn take_up(disk: &dyn Disk, dir: &Path, stem: &str) -> io::Result<BTreeMap<ShardId, Manifest>> {
    let mut newest: BTreeMap<ShardId, Manifest> = BTreeMap::new();
    for entry in disk.list(dir)? {
        let name = entry.name.strip_prefix('.').and_then(|name| name.strip_prefix(stem));
        let Some((shard, next)) = name.and_then(read_name) else { continue };
        let manifest = read(disk, &dir.join(&entry.name), next)?;
        manifest.name_files(disk, dir)?;
        // They are listed in the order of their names, and so of their rows.
        if let Some(older) = newest.insert(shard, manifest) {
            disk.remove(&dir.join(older.name(stem, shard)))?;
        }
    }
    Ok(newest)
}

/// Reads `SHARD-NEXT.manifest`.
fn read_name(name: &str) -> Option<(ShardId, Sequence)> {
    let (shard, next) = name.strip_suffix(EXTENSION)?.split_once('-')?;
    Some((ShardId(shard.parse().ok()?), Sequence(next.parse().ok()?)))
}

fn read(disk: &dyn Disk, path: &Path, next: Sequence) -> io::Result<Manifest> {
    let file = disk.open(path, Open::Read)?;
    let bytes = file.read_vec_at(file.len()?.try_into().unwrap_or(usize::MAX), 0)?;
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", path.display()));
    let mut manifest = Manifest { files: Vec::new(), waiting: Vec::new(), next };
    for line in String::from_utf8_lossy(&bytes).lines() {
        let (first, second) = line.split_once('\t').ok_or_else(damaged)?;
        match first.strip_prefix(WAITING) {
            Some(since) => {
                let since = EventTime(since.parse().map_err(|_| damaged())?);
                manifest.waiting.push((second.to_owned(), since));
            }
            None => manifest.files.push((first.to_owned(), second.to_owned())),
        }
    }
    Ok(manifest)
}
