//! The device's assurance records: a hash chain on the disk, whose head stands in every report.
//!
//! Nobody waits for it: what happens is put into a queue, and a blocking task writes it. A disk
//! that is full, slow or broken stops no wipe and no report; what could not be written is counted,
//! and the chain says so as soon as it can. Every record is on the disk before its digest goes into
//! a report, so that a power cut takes back nothing that the control plane has been told.

mod chain;
mod entry;
mod read;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pawl_local_api::LocalRecords;
use pawl_proto::message;
use pawl_proto::record::DeviceFact;
use pawl_proto::{DeviceId, Epoch};
use tokio::runtime::Handle;

pub(crate) use chain::ChainError;

use crate::clock::WallClock;
use crate::record::Moment;
use crate::store::Disk;
use entry::Entry;
use writer::Writer;

/// The chain of this device's records. Clones share it.
#[derive(Clone)]
pub(crate) struct Audit {
    inner: Arc<Inner>,
}

struct Inner {
    clock: WallClock,
    state: Mutex<State>,
    /// Locked for as long as the disk takes: by blocking tasks alone.
    writer: Mutex<Writer>,
}

/// What never waits for the disk.
#[derive(Default)]
struct State {
    /// Nothing is written before it is known: a chain belongs to one device.
    device: Option<DeviceId>,
    waiting: Vec<Entry>,
    /// Facts for which there was no more room.
    dropped: u64,
    /// A task is going to write what waits.
    writing: bool,
    /// A report waits for the disk.
    reporting: bool,
    acknowledged: u64,
}

/// The facts that wait while the disk hangs.
const WAITING: usize = 256;
/// How long a report waits for the disk; then it goes without the records.
const PATIENCE: Duration = Duration::from_secs(5);

impl Audit {
    /// The chain in `records/` of the state directory. The disk is not touched yet.
    pub(crate) fn new(disk: Arc<dyn Disk>, state_dir: &Path, clock: WallClock) -> Self {
        let writer = Mutex::new(Writer::new(disk, state_dir.join("records"), clock.clone()));
        Self { inner: Arc::new(Inner { clock, state: Mutex::default(), writer }) }
    }

    /// Says which device this is. Until then facts wait in memory.
    pub(crate) fn identify(&self, device: DeviceId) {
        let mut state = self.inner.state();
        state.device = Some(device);
        if !state.waiting.is_empty() {
            self.schedule(&mut state);
        }
    }

    /// Records what happened in `epoch`.
    pub(crate) fn record(&self, epoch: Option<Epoch>, fact: DeviceFact) {
        self.record_at(epoch, None, fact);
    }

    /// Records what happened in `epoch`, at a `moment` of the TPM's clock.
    pub(crate) fn record_at(&self, epoch: Option<Epoch>, moment: Option<Moment>, fact: DeviceFact) {
        let entry = Entry { time: self.inner.clock.unix(), moment, epoch, fact };
        let mut state = self.inner.state();
        if state.waiting.len() < WAITING {
            state.waiting.push(entry);
        } else {
            state.dropped = state.dropped.saturating_add(1);
        }
        self.schedule(&mut state);
    }

    /// Takes note that the control plane has the records up to `sequence`.
    pub(crate) fn acknowledged(&self, sequence: u64) {
        self.inner.state().acknowledged = sequence;
    }

    /// The records that the control plane does not have yet, and the head: for a report. None
    /// while the disk does not let it, or takes too long.
    pub(crate) async fn report(&self) -> Option<message::Audit> {
        if std::mem::replace(&mut self.inner.state().reporting, true) {
            // An earlier report has given up on the disk, which still holds its task.
            return None;
        }
        let inner = Arc::clone(&self.inner);
        let task = tokio::task::spawn_blocking(move || {
            let report = inner.report();
            inner.state().reporting = false;
            report
        });
        match tokio::time::timeout(PATIENCE, task).await {
            Ok(report) => report.ok().flatten(),
            Err(_) => {
                tracing::warn!("the disk is slow: a report goes without the assurance records");
                None
            }
        }
    }

    /// The same as [`report`](Self::report), on the caller's thread.
    #[cfg(feature = "simulation")]
    pub(crate) fn report_now(&self) -> Option<message::Audit> {
        self.inner.report()
    }

    /// The records after the one of sequence `after`, at most `count`, oldest first.
    ///
    /// # Errors
    /// Why the chain cannot be read.
    pub(crate) async fn page(&self, after: u64, count: usize) -> Result<LocalRecords, ChainError> {
        let inner = Arc::clone(&self.inner);
        let task = tokio::task::spawn_blocking(move || inner.page(after, count));
        task.await.unwrap_or(Err(ChainError::Stopping))
    }

    /// Writes what still waits. Blocks: for the end of the process.
    pub(crate) fn flush(&self) {
        drop(self.inner.drain());
    }

    fn schedule(&self, state: &mut State) {
        if state.device.is_none() || state.writing {
            return;
        }
        // Without a runtime the daemon is at its end, and flushes.
        if let Ok(runtime) = Handle::try_current() {
            state.writing = true;
            let audit = self.clone();
            runtime.spawn_blocking(move || audit.flush());
        }
    }
}

impl Inner {
    /// Writes what waits, in order; then nobody else writes while the guard lives.
    fn drain(&self) -> MutexGuard<'_, Writer> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((device, entries, dropped)) = self.take() {
            writer.write(device, entries, dropped);
        }
        writer
    }

    fn take(&self) -> Option<(DeviceId, Vec<Entry>, u64)> {
        let mut state = self.state();
        let Some(device) = state.device.filter(|_| !state.waiting.is_empty()) else {
            state.writing = false;
            return None;
        };
        Some((device, std::mem::take(&mut state.waiting), std::mem::take(&mut state.dropped)))
    }

    fn report(&self) -> Option<message::Audit> {
        let mut writer = self.drain();
        let (device, acknowledged) = {
            let state = self.state();
            (state.device?, state.acknowledged)
        };
        writer.read(device, |chain| chain.report(acknowledged)).ok()
    }

    fn page(&self, after: u64, count: usize) -> Result<LocalRecords, ChainError> {
        let mut writer = self.drain();
        let device = self.state().device;
        let Some(device) = device else { return Ok(LocalRecords { records: Vec::new(), more: false }) };
        writer.read(device, |chain| chain.page(after, count))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
