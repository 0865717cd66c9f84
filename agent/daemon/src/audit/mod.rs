//! The device's audit records: a hash chain on the disk. Every report contains its head.
//!
//! A fact goes into a queue, and a blocking task writes it to the disk. So a full, slow or broken disk delays neither a wipe nor
//! a report. The writer counts the records that it could not write, and records their number as soon as the disk works again. A
//! record is on the disk before its digest is in a report: a power cut cannot remove a record that the control plane knows of.

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
    /// Locked during accesses to the disk, and therefore only by blocking tasks.
    writer: Mutex<Writer>,
}

/// The queue, and what is known without the disk. Its lock is never held during an access to the disk.
#[derive(Default)]
struct State {
    /// The device that the chain belongs to. Nothing is written before it is known.
    device: Option<DeviceId>,
    /// The queue.
    waiting: Vec<Entry>,
    /// Number of facts that the queue had no room for.
    dropped: u64,
    /// Whether a task is scheduled to write the queue.
    writing: bool,
    /// Whether a report waits for the disk.
    reporting: bool,
    /// The sequence number of the last record that the control plane has.
    acknowledged: u64,
}

/// Limit of the queue, which fills up while the disk hangs.
const WAITING: usize = 256;
/// How long a report waits for the disk. After that it leaves the audit records out.
const PATIENCE: Duration = Duration::from_secs(5);

impl Audit {
    /// Returns the chain in `records/` of the state directory. Does not access the disk yet.
    pub(crate) fn new(disk: Arc<dyn Disk>, state_dir: &Path, clock: WallClock) -> Self {
        let writer = Mutex::new(Writer::new(disk, state_dir.join("records"), clock.clone()));
        Self { inner: Arc::new(Inner { clock, state: Mutex::default(), writer }) }
    }

    /// Sets the device that the chain belongs to. Until then the queue stays in memory.
    pub(crate) fn identify(&self, device: DeviceId) {
        let mut state = self.inner.state();
        state.device = Some(device);
        if !state.waiting.is_empty() {
            self.schedule(&mut state);
        }
    }

    /// Queues a fact about `epoch`.
    pub(crate) fn record(&self, epoch: Option<Epoch>, fact: DeviceFact) {
        self.record_at(epoch, None, fact);
    }

    /// Queues a fact about `epoch`, with its time on the TPM's clock.
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

    /// Sets the sequence number up to which the control plane has the records.
    pub(crate) fn acknowledged(&self, sequence: u64) {
        self.inner.state().acknowledged = sequence;
    }

    /// Returns the records that the control plane does not have, and the head, for a report; none if the disk fails or does not
    /// answer within [`PATIENCE`].
    pub(crate) async fn report(&self) -> Option<message::Audit> {
        if std::mem::replace(&mut self.inner.state().reporting, true) {
            // The task of an earlier report still waits for the disk.
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
                tracing::warn!("the disk is slow; sending a report without the audit records");
                None
            }
        }
    }

    /// Does the same as [`report`](Self::report) on the caller's thread.
    #[cfg(feature = "simulation")]
    pub(crate) fn report_now(&self) -> Option<message::Audit> {
        self.inner.report()
    }

    /// Returns at most `count` records after sequence number `after`, oldest first.
    ///
    /// # Errors
    /// [`ChainError`] if the chain cannot be read.
    pub(crate) async fn page(&self, after: u64, count: usize) -> Result<LocalRecords, ChainError> {
        let inner = Arc::clone(&self.inner);
        let task = tokio::task::spawn_blocking(move || inner.page(after, count));
        task.await.unwrap_or(Err(ChainError::Stopping))
    }

    /// Writes the queue to the disk. Blocks.
    pub(crate) fn flush(&self) {
        drop(self.inner.drain());
    }

    fn schedule(&self, state: &mut State) {
        if state.device.is_none() || state.writing {
            return;
        }
        // Without a runtime the daemon is stopping, and calls `flush` itself.
        if let Ok(runtime) = Handle::try_current() {
            state.writing = true;
            let audit = self.clone();
            runtime.spawn_blocking(move || audit.flush());
        }
    }
}

impl Inner {
    /// Writes the queue in its order. Returns the lock of the writer: nothing else is written while it is held.
    fn drain(&self) -> MutexGuard<'_, Writer> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((device, entries, dropped)) = self.take_queue() {
            writer.write(device, entries, dropped);
        }
        writer
    }

    fn take_queue(&self) -> Option<(DeviceId, Vec<Entry>, u64)> {
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
