use crate::control_plane::{Approved, SessionNo};
use crate::fleet::DeviceId;
use crate::tpm::{Epoch, Record};

/// The state directory, `agent/daemon/src/store`. Each write is atomic and lasts, but for the note.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    /// `pairing/pairing.cbor`; it stays when the pairing ends.
    pub(crate) record: Option<Record>,
    /// The key blobs and the lease beside it.
    pub(crate) keys: bool,
    /// `revocation.cbor`
    pub(crate) note: Option<Note>,
    /// `pairing.new/`
    pub(crate) making: Making,
}

/// A pairing in the making.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Making {
    #[default]
    Nothing,
    /// Approved, and no more.
    Approved(Approved),
    /// There in full: it has only to take its place.
    Staged(Record),
}

/// That a pairing is about to end, or has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Note {
    pub(crate) ended: Epoch,
    /// Without this a power cut takes it away. It outlives a killed process.
    pub(crate) synced: bool,
    pub(crate) receipt: Option<Receipt>,
}

/// What `TPM2_NV_Certify` says of the counter of a TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Receipt {
    pub(crate) tpm: DeviceId,
    pub(crate) counter: Epoch,
}

impl Note {
    pub(super) fn lasting(record: &Record) -> Self {
        Self { ended: record.epoch, synced: true, receipt: None }
    }
}

impl Disk {
    /// The pairing that is here, or about to be.
    pub(crate) fn holds(&self) -> Option<SessionNo> {
        match self.making {
            Making::Staged(record) => Some(record.pairing),
            Making::Nothing | Making::Approved(_) => self.record.map(|record| record.pairing),
        }
    }

    /// What a power cut leaves.
    pub(crate) fn lose_what_is_not_synced(&mut self) {
        self.note = self.note.filter(|note| note.synced);
    }
}
