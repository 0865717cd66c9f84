//! A disk in memory that fails as disks do.
//!
//! What is not synced may be lost: of a file's writes since its last sync a power cut keeps any, and any in part; of the
//! changes of a folder's names it keeps the first so many, as a journal does. Everything is decided by numbers of
//! operations and by the caller's choices, so that a seed repeats exactly.

mod mount;
#[cfg(test)]
mod record_tests;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;
mod tree;

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use mount::Mount;
use pawld::store::Disk;
use tree::Tree;

/// A disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct ModelDisk {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    tree: Tree,
    /// Counts the restarts: a process from before a restart can no longer use the disk.
    boot: u64,
    operations: u64,
    /// The power is off.
    off: bool,
    locked: bool,
    /// Blocks that files may take; none without a bound.
    blocks: Option<u64>,
    broken: Option<io::ErrorKind>,
    armed: Vec<(u64, Fault)>,
    /// Operations that hang.
    hanging: u64,
    /// Counts the calls that let hanging operations continue.
    resumed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    PowerCut,
    Error(io::ErrorKind),
    Hang,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It was killed, and the system keeps running: nothing is lost.
    Process,
    /// The power failed.
    Power,
}

/// What a disk held at one moment.
#[derive(Clone, Debug)]
pub struct Image(Tree);

impl ModelDisk {
    /// Returns a copy of a disk.
    pub fn of(image: &Image) -> Self {
        let disk = Self::default();
        disk.restore(image);
        disk
    }

    /// Returns the disk as one process has it. After [`restart`](Self::restart) it refuses everything.
    pub fn mount(&self) -> Arc<dyn Disk> {
        Arc::new(Mount { disk: self.clone(), boot: self.state().boot })
    }

    /// Returns the number of operations so far. Reads are none.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The power fails after `operations` more: the one that follows is cut in its midst, and none succeeds after it.
    pub fn cut_power_in(&self, operations: u64) {
        self.arm(operations, Fault::PowerCut);
    }

    /// One operation fails, after `operations` more. A sync that fails has dropped what it was to make last, as Linux
    /// does; the next one succeeds and makes nothing of it last that was not written again.
    pub fn fail_in(&self, operations: u64, error: io::ErrorKind) {
        self.arm(operations, Fault::Error(error));
    }

    /// One operation hangs, after `operations` more, until [`resume`](Self::resume) or a restart.
    pub fn hang_in(&self, operations: u64) {
        self.arm(operations, Fault::Hang);
    }

    /// Lets the operations that hang continue.
    pub fn resume(&self) {
        self.state().resumed += 1;
        self.shared.changed.notify_all();
    }

    /// Every operation but reads fails until [`repair`](Self::repair).
    pub fn break_down(&self, error: io::ErrorKind) {
        self.state().broken = Some(error);
    }

    /// Leaves no block free. Removed files give theirs back.
    pub fn fill(&self) {
        let mut state = self.state();
        state.blocks = Some(state.tree.blocks());
    }

    /// Returns how many blocks the files take.
    pub fn blocks(&self) -> u64 {
        self.state().tree.blocks()
    }

    /// Ends every fault but those that hang: the disk has space and works, and nothing is armed.
    pub fn repair(&self) {
        let mut state = self.state();
        (state.blocks, state.broken) = (None, None);
        state.armed.clear();
    }

    /// Returns whether the power has failed.
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// Takes the disk from all processes, and loses what was not synced where the power failed.
    ///
    /// `choose(n)` returns one of the numbers below `n`: what is lost. 0 loses the most.
    pub fn restart(&self, stop: Stop, choose: &mut dyn FnMut(u64) -> u64) {
        let mut state = self.state();
        if stop == Stop::Power || state.off {
            state.tree.lose_power(choose);
        }
        state.boot += 1;
        (state.off, state.locked) = (false, false);
        state.armed.clear();
        self.shared.changed.notify_all();
    }

    /// Returns what a copy of the running disk holds.
    pub fn snapshot(&self) -> Image {
        Image(self.state().tree.clone())
    }

    /// Puts the disk back to what the copy holds. Do it between two processes.
    pub fn restore(&self, image: &Image) {
        let mut state = self.state();
        state.tree = image.0.clone();
        state.tree.sync_all();
    }

    /// Returns what a process reads in a file.
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        self.state().tree.read(path).ok()
    }

    /// Returns what a file holds for sure after a power cut now; none if it may be missing or torn.
    pub fn durable(&self, path: &Path) -> Option<Vec<u8>> {
        self.state().tree.durable(path)
    }

    /// Writes over a file, under all the names that it has, or makes it: as rot does, or somebody who has the disk in
    /// their hands.
    ///
    /// # Errors
    /// Where its folder is missing.
    pub fn write(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        self.state().tree.put(path, contents)
    }

    /// Returns the paths of all files.
    pub fn files(&self) -> Vec<std::path::PathBuf> {
        self.state().tree.files()
    }

    /// Waits until no thread is in an operation: each has ended, or hangs. Returns whether one hangs.
    ///
    /// `is_running` tells whether a thread that uses the disk has not ended.
    pub fn wait_for_hang(&self, is_running: impl Fn() -> bool) -> bool {
        let mut state = self.state();
        while state.hanging == 0 && is_running() {
            let wait = std::time::Duration::from_millis(1);
            (state, _) =
                self.shared.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
        }
        state.hanging > 0
    }

    fn arm(&self, operations: u64, fault: Fault) {
        let mut state = self.state();
        let at = state.operations + operations;
        state.armed.push((at, fault));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
