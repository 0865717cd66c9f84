//! The one writer of the chain.

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

/// Writes entries, and counts those that the disk does not take.
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    clock: WallClock,
    /// None until it is wanted, and after an error: then it is opened anew, which cuts away what
    /// was written by half.
    chain: Option<Chain>,
    missed: u64,
    complained: Option<Instant>,
}

/// A disk that stays full is reported this often.
const COMPLAINTS: Duration = Duration::from_secs(60);

impl Writer {
    pub(super) fn new(disk: Arc<dyn Disk>, folder: PathBuf, clock: WallClock) -> Self {
        Self { disk, folder, clock, chain: None, missed: 0, complained: None }
    }

    /// Appends the entries, and makes them last. `dropped` were lost before they came here.
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

    /// Reads from the chain.
    ///
    /// # Errors
    /// Why it cannot be read; it is opened anew by the next who wants it.
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

    /// The chain of this device; it begins where there is none.
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
            tracing::error!(%error, missed = self.missed, "the assurance records cannot be kept");
        }
    }
}

/// Appends what the chain says of itself.
fn append(chain: &mut Chain, time: u64, fact: DeviceFact) -> Result<(), ChainError> {
    chain.append(&Entry { time, moment: None, epoch: None, fact }.into_record(chain.next))
}
