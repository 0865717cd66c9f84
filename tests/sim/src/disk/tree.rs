//! Files and folders, each as processes see it and as it lies on the medium.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Identifies a file or a folder independently of its path, like an inode number.
pub(super) type Id = u64;

const BLOCK: u64 = 4096;

/// Everything on the disk.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<Id, Node>,
    next: Id,
}

const ROOT: Id = 0;

#[derive(Clone, Debug)]
enum Node {
    File(File),
    Folder(Folder),
}

#[derive(Clone, Debug, Default)]
struct File {
    contents: Vec<u8>,
    allocated: u64,
    /// What the last sync made durable.
    durable: Vec<u8>,
    /// What was done since. A sync that failed has dropped the writes that it should have made durable: a power cut
    /// loses them, unless they are written again.
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

type Names = BTreeMap<OsString, Id>;

#[derive(Clone, Debug, Default)]
struct Folder {
    names: Names,
    durable: Names,
    unsynced: Vec<Renaming>,
}

#[derive(Clone, Debug)]
enum Renaming {
    Add(OsString, Id),
    Remove(OsString),
    Move(OsString, OsString),
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: BTreeMap::from([(ROOT, Node::Folder(Folder::default()))]), next: ROOT + 1 }
    }
}

impl Tree {
    pub(super) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(self.file(self.find(path)?)?.contents.clone())
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let names = self.folder(self.find(path)?)?.names.keys();
        Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<Id> {
        let (folder, name) = self.parent(path)?;
        if self.folder(folder)?.names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.add(folder, name, Node::File(File::default()))
    }

    pub(super) fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (id, (folder, name)) = (self.open(from)?, self.parent(to)?);
        if self.folder(folder)?.names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.folder_mut(folder)?.change(Renaming::Add(name, id));
        Ok(())
    }

    pub(super) fn open(&self, path: &Path) -> io::Result<Id> {
        let id = self.find(path)?;
        self.file(id).map(|_| id)
    }

    pub(super) fn write(&mut self, id: Id, contents: &[u8], offset: u64) -> io::Result<()> {
        let file = self.file_mut(id)?;
        apply(&mut file.contents, &Change::Write(offset, contents.to_vec()));
        file.unsynced.push(Change::Write(offset, contents.to_vec()));
        Ok(())
    }

    pub(super) fn set_length(&mut self, id: Id, length: u64) -> io::Result<()> {
        let file = self.file_mut(id)?;
        apply(&mut file.contents, &Change::Length(length));
        file.allocated = file.allocated.min(length);
        file.unsynced.push(Change::Length(length));
        Ok(())
    }

    pub(super) fn allocate(&mut self, id: Id, length: u64) -> io::Result<()> {
        let grown = length.max(size(&self.file(id)?.contents));
        self.set_length(id, grown)?;
        self.file_mut(id)?.allocated = grown;
        Ok(())
    }

    pub(super) fn sync(&mut self, id: Id) -> io::Result<()> {
        let file = self.file_mut(id)?;
        for change in file.unsynced.drain(..) {
            apply(&mut file.durable, &change);
        }
        Ok(())
    }

    /// Drops the writes that a failing sync should have made durable.
    pub(super) fn drop_unsynced(&mut self, id: Id) {
        if let Ok(file) = self.file_mut(id) {
            file.unsynced.clear();
        }
    }

    pub(super) fn sync_folder(&mut self, path: &Path) -> io::Result<()> {
        let id = self.find(path)?;
        self.folder_mut(id)?.sync();
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let ((folder, from), (other, to)) = (self.parent(from)?, self.parent(to)?);
        if folder != other {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the model renames within a folder"));
        }
        let names = &self.folder(folder)?.names;
        let moved = *names.get(&from).ok_or(io::ErrorKind::NotFound)?;
        if let Some(replaced) = names.get(&to) {
            match (self.nodes.get(&moved), self.nodes.get(replaced)) {
                (Some(Node::File(_)), Some(Node::File(_))) => {}
                (Some(Node::Folder(_)), Some(Node::Folder(folder))) if folder.names.is_empty() => {}
                (Some(Node::Folder(_)), Some(Node::Folder(_))) => {
                    return Err(io::ErrorKind::DirectoryNotEmpty.into());
                }
                _ => return Err(io::ErrorKind::IsADirectory.into()),
            }
        }
        self.folder_mut(folder)?.change(Renaming::Move(from, to));
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        let id = *self.folder(folder)?.names.get(&name).ok_or(io::ErrorKind::NotFound)?;
        if self.folder(id).is_ok_and(|folder| !folder.names.is_empty()) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.folder_mut(folder)?.change(Renaming::Remove(name));
        Ok(())
    }

    pub(super) fn make_folder(&mut self, path: &Path) -> io::Result<()> {
        match self.find(path) {
            Ok(id) => self.folder(id).map(drop),
            Err(_) => {
                let (folder, name) = self.parent(path)?;
                self.add(folder, name, Node::Folder(Folder::default())).map(drop)
            }
        }
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<Id> {
        let mut id = ROOT;
        for component in path.components() {
            if let Component::Normal(name) = component {
                id = *self.folder(id)?.names.get(name).ok_or(io::ErrorKind::NotFound)?;
            }
        }
        Ok(id)
    }

    /// Returns the blocks that files take.
    pub(super) fn blocks(&self) -> u64 {
        let files: BTreeSet<Id> = self.files().iter().filter_map(|path| self.find(path).ok()).collect();
        files.into_iter().filter_map(|id| self.file(id).ok()).map(File::blocks).sum()
    }

    /// Returns how many blocks a file grows by when `length` bytes of it are written.
    pub(super) fn growth(&self, id: Id, length: u64) -> u64 {
        self.file(id).map_or(0, |file| length.div_ceil(BLOCK).saturating_sub(file.blocks()))
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        let (mut files, mut folders) = (Vec::new(), vec![(PathBuf::from("/"), ROOT)]);
        while let Some((path, id)) = folders.pop() {
            for (name, id) in self.folder(id).into_iter().flat_map(|folder| &folder.names) {
                match self.nodes.get(id) {
                    Some(Node::Folder(_)) => folders.push((path.join(name), *id)),
                    _ => files.push(path.join(name)),
                }
            }
        }
        files.sort();
        files
    }

    /// Writes over a file under all its names, or makes it, durably.
    pub(super) fn put(&mut self, path: &Path, contents: &[u8]) -> io::Result<()> {
        if let Ok(id) = self.open(path) {
            *self.file_mut(id)? = File::of(contents.to_vec(), 0);
            return Ok(());
        }
        let (folder, name) = self.parent(path)?;
        self.add(folder, name.clone(), Node::File(File::of(contents.to_vec(), 0)))?;
        let folder = self.folder_mut(folder)?;
        if let Some(id) = folder.names.get(&name) {
            folder.durable.insert(name, *id);
        }
        Ok(())
    }

    pub(super) fn durable(&self, path: &Path) -> Option<Vec<u8>> {
        let mut id = ROOT;
        for component in path.components() {
            if let Component::Normal(name) = component {
                let folder = self.folder(id).ok()?;
                id = *folder.durable.get(name).filter(|id| folder.names.get(name) == Some(id))?;
            }
        }
        let file = self.file(id).ok()?;
        file.unsynced.is_empty().then(|| file.durable.clone())
    }

    pub(super) fn sync_all(&mut self) {
        for node in self.nodes.values_mut() {
            match node {
                Node::File(file) => *file = File::of(file.contents.clone(), file.allocated),
                Node::Folder(folder) => folder.sync(),
            }
        }
    }

    /// Keeps what was synced, and of the rest what `choose` keeps.
    pub(super) fn lose_power(&mut self, choose: &mut dyn FnMut(u64) -> u64) {
        for node in self.nodes.values_mut() {
            match node {
                Node::File(file) => file.lose_power(choose),
                Node::Folder(folder) => folder.lose_power(choose),
            }
        }
    }

    fn add(&mut self, folder: Id, name: OsString, node: Node) -> io::Result<Id> {
        let id = self.next;
        self.folder_mut(folder)?.change(Renaming::Add(name, id));
        self.nodes.insert(id, node);
        self.next += 1;
        Ok(id)
    }

    fn parent(&self, path: &Path) -> io::Result<(Id, OsString)> {
        let (folder, name) = path.parent().zip(path.file_name()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.find(folder)?, name.to_owned()))
    }

    fn file(&self, id: Id) -> io::Result<&File> {
        match self.nodes.get(&id) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Folder(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn file_mut(&mut self, id: Id) -> io::Result<&mut File> {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn folder(&self, id: Id) -> io::Result<&Folder> {
        match self.nodes.get(&id) {
            Some(Node::Folder(folder)) => Ok(folder),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn folder_mut(&mut self, id: Id) -> io::Result<&mut Folder> {
        match self.nodes.get_mut(&id) {
            Some(Node::Folder(folder)) => Ok(folder),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }
}

impl File {
    fn of(contents: Vec<u8>, allocated: u64) -> Self {
        Self { durable: contents.clone(), contents, allocated, ..Self::default() }
    }

    fn blocks(&self) -> u64 {
        size(&self.contents).max(self.allocated).div_ceil(BLOCK)
    }

    fn lose_power(&mut self, choose: &mut dyn FnMut(u64) -> u64) {
        let mut contents = std::mem::take(&mut self.durable);
        for change in self.unsynced.drain(..) {
            match (choose(3), change) {
                (0, _) => {}
                (1, Change::Write(offset, mut bytes)) => {
                    let eighth = bytes.len() / 8;
                    bytes.truncate(eighth * usize::try_from(choose(8)).unwrap_or(0));
                    apply(&mut contents, &Change::Write(offset, bytes));
                }
                (_, change) => apply(&mut contents, &change),
            }
        }
        *self = Self::of(contents, self.allocated);
    }
}

impl Folder {
    fn change(&mut self, renaming: Renaming) {
        rename(&mut self.names, &renaming);
        self.unsynced.push(renaming);
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.names);
        self.unsynced.clear();
    }

    fn lose_power(&mut self, choose: &mut dyn FnMut(u64) -> u64) {
        let kept = if self.unsynced.is_empty() { 0 } else { choose(size(&self.unsynced) + 1) };
        for renaming in self.unsynced.drain(..).take(usize::try_from(kept).unwrap_or(usize::MAX)) {
            rename(&mut self.durable, &renaming);
        }
        self.names.clone_from(&self.durable);
    }
}

fn apply(contents: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, bytes) => {
            let start = usize::try_from(*offset).unwrap_or(usize::MAX);
            let end = start.saturating_add(bytes.len());
            contents.resize(contents.len().max(end), 0);
            if let Some(place) = contents.get_mut(start..end) {
                place.copy_from_slice(bytes);
            }
        }
        Change::Length(length) => contents.resize(usize::try_from(*length).unwrap_or(usize::MAX), 0),
    }
}

fn rename(names: &mut Names, renaming: &Renaming) {
    match renaming {
        Renaming::Add(name, id) => drop(names.insert(name.clone(), *id)),
        Renaming::Remove(name) => drop(names.remove(name)),
        Renaming::Move(from, to) => {
            if let Some(id) = names.remove(from) {
                names.insert(to.clone(), id);
            }
        }
    }
}

fn size<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}
