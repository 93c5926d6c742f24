//! The tree of names: directories, the files they name, and which names are durable.
//!
//! Each change of names (create, rename, remove) is one transaction. It is seen at once, becomes durable when a
//! directory that it touches is synced, and otherwise survives a loss of power as a whole or not at all, independently of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

use super::SimRandom;
use super::file::FileImage;

/// The number of a file or directory.
pub(super) type NodeId = u64;

/// The directory at the top.
const ROOT: NodeId = 0;

type Names = BTreeMap<String, NodeId>;

#[derive(Default)]
struct Dir {
    seen: Names,
    durable: Names,
}

enum Node {
    File(FileImage),
    Dir(Dir),
}

/// Gives a name in a directory to a node, or takes it away.
#[derive(Clone)]
struct Edit {
    dir: NodeId,
    name: String,
    to: Option<NodeId>,
}

/// All files and directories.
pub(super) struct Tree {
    nodes: BTreeMap<NodeId, Node>,
    next: NodeId,
    /// Changes of names that are not durable yet, oldest first.
    pending: Vec<Vec<Edit>>,
    /// Files that are open, and how often.
    open: BTreeMap<NodeId, usize>,
}

impl Tree {
    pub(super) fn new() -> Self {
        let nodes = BTreeMap::from([(ROOT, Node::Dir(Dir::default()))]);
        Self { nodes, next: ROOT + 1, pending: Vec::new(), open: BTreeMap::new() }
    }

    /// The file or directory of a path, if there is one.
    fn find(&self, path: &Path) -> io::Result<Option<NodeId>> {
        let mut at = ROOT;
        for part in parts(path)? {
            let Node::Dir(dir) = &self.nodes[&at] else { return Err(io::ErrorKind::NotADirectory.into()) };
            match dir.seen.get(part) {
                Some(&next) => at = next,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// The directory that holds the last part of a path, and that part.
    fn parent<'a>(&self, path: &'a Path) -> io::Result<(NodeId, &'a str)> {
        let mut parts = parts(path)?;
        let name = parts.pop().ok_or(io::ErrorKind::IsADirectory)?;
        let mut above = PathBuf::from("/");
        above.extend(&parts);
        Ok((self.dir(&above)?, name))
    }

    /// The directory of a path.
    pub(super) fn dir(&self, path: &Path) -> io::Result<NodeId> {
        let id = self.find(path)?.ok_or(io::ErrorKind::NotFound)?;
        match self.nodes[&id] {
            Node::Dir(_) => Ok(id),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// The file of a path.
    pub(super) fn file(&self, path: &Path) -> io::Result<NodeId> {
        let id = self.find(path)?.ok_or(io::ErrorKind::NotFound)?;
        match self.nodes[&id] {
            Node::File(_) => Ok(id),
            Node::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// The bytes of a file that exists.
    pub(super) fn image(&mut self, file: NodeId) -> &mut FileImage {
        match self.nodes.get_mut(&file) {
            Some(Node::File(image)) => image,
            _ => unreachable!("a file that is named or open is kept"),
        }
    }

    /// The names in a directory and whether each is a directory.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        let id = self.dir(path)?;
        let names = self.dir_of(id).seen.iter();
        Ok(names.map(|(name, node)| (name.clone(), matches!(self.nodes[node], Node::Dir(_)))).collect())
    }

    fn dir_of(&self, id: NodeId) -> &Dir {
        match &self.nodes[&id] {
            Node::Dir(dir) => dir,
            Node::File(_) => unreachable!("only directories are asked for"),
        }
    }

    fn dir_of_mut(&mut self, id: NodeId) -> &mut Dir {
        match self.nodes.get_mut(&id) {
            Some(Node::Dir(dir)) => dir,
            _ => unreachable!("only directories are asked for, and they are never removed"),
        }
    }

    /// Makes a new file.
    pub(super) fn create(&mut self, path: &Path) -> io::Result<NodeId> {
        if self.find(path)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (dir, name) = self.parent(path)?;
        Ok(self.add(dir, name, Node::File(FileImage::default())))
    }

    /// Makes a directory and those above it.
    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        let mut at = ROOT;
        for part in parts(path)? {
            at = match self.dir_of(at).seen.get(part) {
                Some(&next) => next,
                None => self.add(at, part, Node::Dir(Dir::default())),
            };
            if matches!(self.nodes[&at], Node::File(_)) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
        }
        Ok(())
    }

    fn add(&mut self, dir: NodeId, name: &str, node: Node) -> NodeId {
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, node);
        self.edit(vec![Edit { dir, name: name.to_owned(), to: Some(id) }]);
        id
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let moved = self.find(from)?.ok_or(io::ErrorKind::NotFound)?;
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        match self.find(to)? {
            Some(there) if there == moved => return Ok(()),
            Some(there) if matches!(self.nodes[&there], Node::Dir(_)) => {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            _ => {}
        }
        self.edit(vec![
            Edit { dir: from_dir, name: from_name.to_owned(), to: None },
            Edit { dir: to_dir, name: to_name.to_owned(), to: Some(moved) },
        ]);
        self.collect();
        Ok(())
    }

    pub(super) fn rename_new(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        match self.find(to)? {
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => self.rename(from, to),
        }
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        let (dir, name) = self.parent(path)?;
        self.edit(vec![Edit { dir, name: name.to_owned(), to: None }]);
        self.collect();
        Ok(())
    }

    /// Makes the names in a directory durable.
    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.dir(path)?;
        // A change that is older than a durable one of the same name is durable too, or it would undo the newer.
        let mut settled: BTreeSet<(NodeId, String)> = BTreeSet::new();
        let mut durable = Vec::new();
        for change in std::mem::take(&mut self.pending).into_iter().rev() {
            let key = |edit: &Edit| (edit.dir, edit.name.clone());
            if change.iter().any(|edit| edit.dir == dir || settled.contains(&key(edit))) {
                settled.extend(change.iter().map(key));
                durable.push(change);
            } else {
                self.pending.push(change);
            }
        }
        self.pending.reverse();
        for edit in durable.into_iter().rev().flatten() {
            apply(&mut self.dir_of_mut(edit.dir).durable, edit);
        }
        self.collect();
        Ok(())
    }

    /// Notes that a file was opened or closed once.
    pub(super) fn opened(&mut self, file: NodeId) {
        *self.open.entry(file).or_default() += 1;
    }

    pub(super) fn closed(&mut self, file: NodeId) {
        if let Some(count) = self.open.get_mut(&file) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&file);
            }
        }
    }

    /// The end of the process: nothing is open any more.
    pub(super) fn process_crash(&mut self, random: &SimRandom) {
        self.open.clear();
        self.collect();
        self.files(|file| file.drop_lost_pages(random));
    }

    /// The end of power: decides which names and bytes were durable.
    pub(super) fn power_loss(&mut self, random: &SimRandom) {
        self.open.clear();
        let odds = [0, 1, 4, 7, 8][random.index(5)];
        for change in std::mem::take(&mut self.pending) {
            if random.chance(odds, 8) {
                for edit in change {
                    apply(&mut self.dir_of_mut(edit.dir).durable, edit);
                }
            }
        }
        for node in self.nodes.values_mut() {
            if let Node::Dir(dir) = node {
                dir.seen = dir.durable.clone();
            }
        }
        self.collect();
        self.files(|file| file.lose_power(random));
    }

    /// Makes all names and bytes durable as they are seen.
    pub(super) fn settle(&mut self) {
        self.pending.clear();
        for node in self.nodes.values_mut() {
            match node {
                Node::Dir(dir) => dir.durable = dir.seen.clone(),
                Node::File(file) => file.settle(),
            }
        }
        self.collect();
    }

    /// The bytes that files take, open ones without a name included.
    pub(super) fn used(&self) -> usize {
        let mut kept: BTreeSet<NodeId> = self.open.keys().copied().collect();
        self.reach(ROOT, &mut kept, |dir| vec![&dir.seen]);
        let len = |id| match &self.nodes[id] {
            Node::File(file) => file.bytes().len(),
            Node::Dir(_) => 0,
        };
        kept.iter().map(len).sum()
    }

    /// Calls `visit` with each path and, if it is a file, its image; as seen, or as certainly durable.
    pub(super) fn walk(&self, durable: bool, visit: &mut dyn FnMut(PathBuf, Option<&FileImage>)) {
        let mut todo = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, id)) = todo.pop() {
            match &self.nodes[&id] {
                Node::File(file) => visit(path, Some(file)),
                Node::Dir(dir) => {
                    let names = if durable { &dir.durable } else { &dir.seen };
                    todo.extend(names.iter().map(|(name, &id)| (path.join(name), id)));
                    visit(path, None);
                }
            }
        }
    }

    fn files(&mut self, mut each: impl FnMut(&mut FileImage)) {
        for node in self.nodes.values_mut() {
            if let Node::File(file) = node {
                each(file);
            }
        }
    }

    fn edit(&mut self, change: Vec<Edit>) {
        for edit in &change {
            apply(&mut self.dir_of_mut(edit.dir).seen, edit.clone());
        }
        self.pending.push(change);
    }

    /// Drops files that nothing can reach any more, also after a loss of power.
    fn collect(&mut self) {
        let mut kept: BTreeSet<NodeId> = self.open.keys().copied().collect();
        let pending: Vec<NodeId> = self.pending.iter().flatten().filter_map(|edit| edit.to).collect();
        for root in std::iter::once(ROOT).chain(pending) {
            self.reach(root, &mut kept, |dir| vec![&dir.seen, &dir.durable]);
        }
        // A directory that a pending change names is kept whole: the change may yet undo its removal.
        kept.extend(self.pending.iter().flatten().map(|edit| edit.dir));
        self.nodes.retain(|id, _| kept.contains(id));
    }

    fn reach<'a>(
        &'a self,
        root: NodeId,
        kept: &mut BTreeSet<NodeId>,
        names: impl Fn(&'a Dir) -> Vec<&'a Names>,
    ) {
        let mut todo = vec![root];
        while let Some(id) = todo.pop() {
            if kept.insert(id)
                && let Node::Dir(dir) = &self.nodes[&id]
            {
                todo.extend(names(dir).into_iter().flat_map(|names| names.values().copied()));
            }
        }
    }
}

fn apply(names: &mut Names, edit: Edit) {
    match edit.to {
        Some(node) => names.insert(edit.name, node),
        None => names.remove(&edit.name),
    };
}

/// The names along a path. It may be absolute or not; both start at the top.
fn parts(path: &Path) -> io::Result<Vec<&str>> {
    let bad = || {
        io::Error::new(io::ErrorKind::InvalidInput, format!("not a path of this disk: {}", path.display()))
    };
    if path.as_os_str().is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let named = path.components().filter(|part| !matches!(part, Component::RootDir | Component::CurDir));
    named
        .map(|part| match part {
            Component::Normal(name) => name.to_str().ok_or_else(bad),
            _ => Err(bad()),
        })
        .collect()
}
