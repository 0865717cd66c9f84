//! The disk as one process has it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

use pawld::store::{DirectoryError, Disk, DiskFile};

use super::tree::{Id, Tree};
use super::{Fault, ModelDisk, State};

#[derive(Clone, Debug)]
pub(super) struct Mount {
    pub(super) disk: ModelDisk,
    pub(super) boot: u64,
}

impl Mount {
    /// Counts an operation, and brings about the fault that is armed for it. `cut` is what is done of one in whose midst
    /// the power fails, and `failed` what follows where it fails.
    fn change<T>(
        &self,
        operation: impl FnOnce(&mut State) -> io::Result<T>,
        is_sync: bool,
        failed: impl FnOnce(&mut Tree),
    ) -> io::Result<T> {
        let mut state = self.state()?;
        let number = state.operations;
        state.operations += 1;
        let armed = state.armed.iter().position(|(at, _)| *at == number);
        match armed.map(|position| state.armed.swap_remove(position).1) {
            Some(Fault::PowerCut) => {
                state.off = true;
                self.disk.shared.changed.notify_all();
                // What it did is not synced, and may be lost or torn. A sync has done nothing yet.
                if !is_sync {
                    drop(operation(&mut state));
                }
                return Err(off());
            }
            Some(Fault::Error(error)) => {
                failed(&mut state.tree);
                return Err(error.into());
            }
            Some(Fault::Hang) => state = self.hang(state)?,
            None => {}
        }
        if let Some(error) = state.broken {
            failed(&mut state.tree);
            return Err(error.into());
        }
        operation(&mut state)
    }

    fn hang<'a>(&'a self, mut state: MutexGuard<'a, State>) -> io::Result<MutexGuard<'a, State>> {
        let (shared, resumed) = (&self.disk.shared, state.resumed);
        state.hanging += 1;
        shared.changed.notify_all();
        while state.resumed == resumed && state.boot == self.boot && !state.off {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.hanging -= 1;
        shared.changed.notify_all();
        self.check(state)
    }

    /// Locks the state, where this process still has the disk.
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        self.check(self.disk.state())
    }

    fn check<'a>(&self, state: MutexGuard<'a, State>) -> io::Result<MutexGuard<'a, State>> {
        if state.off || state.boot != self.boot { Err(off()) } else { Ok(state) }
    }

    fn change_tree<T>(&self, operation: impl FnOnce(&mut Tree) -> io::Result<T>) -> io::Result<T> {
        self.change(|state| operation(&mut state.tree), false, |_| {})
    }
}

impl Disk for Mount {
    fn lock(&self, root: &Path) -> Result<Box<dyn Send + Sync>, DirectoryError> {
        let io = |error| DirectoryError::Io { path: root.to_owned(), error };
        if std::mem::replace(&mut self.state().map_err(io)?.locked, true) {
            return Err(DirectoryError::InUse(root.to_owned()));
        }
        let lock = Lock(self.clone());
        self.make_folder(root).map_err(io)?;
        Ok(Box::new(lock))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let id = self.change_tree(|tree| tree.create(path))?;
        Ok(Box::new(OpenFile { mount: self.clone(), id }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let id = self.state()?.tree.open(path)?;
        Ok(Box::new(OpenFile { mount: self.clone(), id }))
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut contents = self.state()?.tree.read(path)?;
        contents.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(contents)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change_tree(|tree| tree.rename(from, to))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change_tree(|tree| tree.link(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        // A missing file changes nothing, so this does not count as an operation at which power could fail.
        self.state()?.tree.find(path)?;
        self.change_tree(|tree| tree.remove(path))
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        let missing: Vec<PathBuf> =
            path.ancestors().take_while(|folder| !self.exists(folder)).map(Path::to_owned).collect();
        missing.iter().rev().try_for_each(|folder| self.change_tree(|tree| tree.make_folder(folder)))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.state()?.tree.list(folder)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        for name in self.list(path)? {
            let inner = path.join(name);
            let is_folder = self.state()?.tree.list(&inner).is_ok();
            if is_folder { self.remove_folder(&inner)? } else { self.remove(&inner)? }
        }
        self.remove(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.change(|state| state.tree.sync_folder(path), true, |_| {})
    }

    fn exists(&self, path: &Path) -> bool {
        self.state().is_ok_and(|state| state.tree.find(path).is_ok())
    }
}

#[derive(Debug)]
struct OpenFile {
    mount: Mount,
    id: Id,
}

impl OpenFile {
    fn sync_file(&self) -> io::Result<()> {
        let id = self.id;
        self.mount.change(|state| state.tree.sync(id), true, |tree| tree.drop_unsynced(id))
    }

    /// Does what lets the file grow to `length`, where the disk has the blocks.
    fn grow(&self, length: u64, operation: impl FnOnce(&mut Tree) -> io::Result<()>) -> io::Result<()> {
        let grow = |state: &mut State| {
            let free = state.blocks.map(|blocks| blocks.saturating_sub(state.tree.blocks()));
            if free.is_some_and(|free| free < state.tree.growth(self.id, length)) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            operation(&mut state.tree)
        };
        self.mount.change(grow, false, |_| {})
    }
}

impl DiskFile for OpenFile {
    fn write_at(&self, contents: &[u8], offset: u64) -> io::Result<()> {
        let length = offset.saturating_add(u64::try_from(contents.len()).unwrap_or(u64::MAX));
        self.grow(length, |tree| tree.write(self.id, contents, offset))
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.mount.change_tree(|tree| tree.set_length(self.id, length))
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.grow(length, |tree| tree.allocate(self.id, length))
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_file()
    }

    fn sync_contents(&self) -> io::Result<()> {
        self.sync_file()
    }
}

/// The lock of the state directory.
struct Lock(Mount);

impl Drop for Lock {
    fn drop(&mut self) {
        // After a restart it is the next process's.
        if let Ok(mut state) = self.0.state() {
            state.locked = false;
        }
    }
}

fn off() -> io::Error {
    io::Error::other("the process has lost the disk")
}
