//! Sealed files that are open for readers: the ones used last.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashMap;
use headwater_core::world::{Disk, DiskFile, Open};
use parking_lot::Mutex;

use super::store;
use crate::error::Result;

/// Open files by path.
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    most: usize,
    open: Mutex<Opened>,
}

#[derive(Default)]
struct Opened {
    by_path: HashMap<PathBuf, (Arc<dyn DiskFile>, u64)>,
    uses: u64,
}

impl Files {
    /// Keeps so many files open, at least one.
    pub(crate) fn new(disk: Arc<dyn Disk>, most: usize) -> Self {
        Self { disk, most: most.max(1), open: Mutex::default() }
    }

    /// A file, open to read.
    pub(crate) fn get(&self, path: &Path) -> Result<Arc<dyn DiskFile>> {
        let mut open = self.open.lock();
        open.uses += 1;
        let now = open.uses;
        if let Some((file, used)) = open.by_path.get_mut(path) {
            *used = now;
            return Ok(Arc::clone(file));
        }
        let file = store::open(&*self.disk, path, Open::Read)?;
        if open.by_path.len() >= self.most {
            let oldest = open.by_path.iter().min_by_key(|(_, (_, used))| *used).map(|(path, _)| path.clone());
            oldest.map(|path| open.by_path.remove(&path));
        }
        open.by_path.insert(path.to_owned(), (Arc::clone(&file), now));
        Ok(file)
    }

    /// Forgets a file that is removed. Readers that have it open go on.
    pub(crate) fn forget(&self, path: &Path) {
        self.open.lock().by_path.remove(path);
    }
}
