//! The writer of the chain.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pawl_proto::DeviceId;
use pawl_proto::record::DeviceFact;
use tokio::time::Instant;

use super::chain::{Chain, ChainError};
use super::entry::Entry;
use crate::clock::WallClock;
use crate::store::Disk;

/// Writes entries to the chain, and counts those that it could not write.
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    clock: WallClock,
    /// The open chain; none before the first use and after an error. Opening it again cuts off an incomplete record.
    chain: Option<Chain>,
    /// Number of entries that were not written, for the next [`DeviceFact::Missed`].
    missed: u64,
    /// When the last error was logged.
    complained: Option<Instant>,
}

/// Interval between log entries about a disk that keeps failing.
const COMPLAINTS: Duration = Duration::from_secs(60);

impl Writer {
    pub(super) fn new(disk: Arc<dyn Disk>, folder: PathBuf, clock: WallClock) -> Self {
        Self { disk, folder, clock, chain: None, missed: 0, complained: None }
    }

    /// Appends the entries, and syncs them. `dropped` is the number of entries that the queue had no room for.
    pub(super) fn write(&mut self, device: DeviceId, entries: Vec<Entry>, dropped: u64) {
        self.missed = self.missed.saturating_add(dropped);
        for entry in entries {
            if let Err(error) = self.append(device, entry) {
                self.missed = self.missed.saturating_add(1);
                self.failed(&error);
            }
        }
        if let Some(Err(error)) = self.chain.as_ref().map(Chain::sync) {
            self.failed(&error);
        }
    }

    /// Runs `look` on the chain.
    ///
    /// # Errors
    /// [`ChainError`] if the chain cannot be read. The next call opens it again.
    pub(super) fn read<T>(
        &mut self,
        device: DeviceId,
        look: impl FnOnce(&Chain) -> Result<T, ChainError>,
    ) -> Result<T, ChainError> {
        let outcome = self.chain(device).and_then(|chain| look(chain));
        if let Err(error) = &outcome {
            self.failed(error);
        }
        outcome
    }

    fn append(&mut self, device: DeviceId, entry: Entry) -> Result<(), ChainError> {
        let (missed, now) = (self.missed, self.clock.unix());
        let chain = self.chain(device)?;
        if missed > 0 {
            append(chain, now, DeviceFact::Missed { count: missed })?;
            self.missed = 0;
        }
        let chain = self.chain(device)?;
        chain.append(&entry.into_record(chain.next))
    }

    /// Returns the open chain of this device. Opens it first if it is not open, and starts a new one if there is none.
    fn chain(&mut self, device: DeviceId) -> Result<&mut Chain, ChainError> {
        let chain = match self.chain.take().filter(|chain| chain.is_of(device)) {
            Some(chain) => chain,
            None => Chain::open(&self.disk, &self.folder, device)?,
        };
        let chain = self.chain.insert(chain);
        if chain.is_empty() {
            append(chain, self.clock.unix(), DeviceFact::Began { device })?;
            chain.sync()?;
        }
        Ok(chain)
    }

    fn failed(&mut self, error: &ChainError) {
        self.chain = None;
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAINTS) {
            self.complained = Some(Instant::now());
            tracing::error!(%error, missed = self.missed, "cannot write or read the audit records");
        }
    }
}

/// Appends a fact about the chain itself.
fn append(chain: &mut Chain, time: u64, fact: DeviceFact) -> Result<(), ChainError> {
    chain.append(&Entry { time, moment: None, epoch: None, fact }.into_record(chain.next))
}
